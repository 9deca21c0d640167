"""Who is told of heartbeats."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import msgspec

from edge_alpr.config import Config
from edge_alpr.ops.heartbeat import FILE, Heartbeat
from edge_alpr.sinks.jsonl import LineFile

HeartSink: TypeAlias = Callable[[Heartbeat], None]
"""Takes one heartbeat, on the heart's thread. What it raises is logged."""


def path_of(config: Config) -> Path:
    """Where the newest heartbeat lies."""
    return Path(config.store.path).expanduser() / FILE


def heart_sinks(config: Config, live: bool, stack: ExitStack) -> list[HeartSink]:
    """Those of a drive; none for a recording, where no file is asked for. Raises `SinkError`."""
    if not config.output.heartbeat:
        return [newest_in(path_of(config))] if live else []
    lines = stack.enter_context(LineFile(config.output.heartbeat, "heartbeat"))
    return [newest_in(path_of(config)), appended_to(lines)]


def newest_in(path: Path) -> HeartSink:
    """Keeps the newest in a file, whole at any time. It is not durable: a power cut may lose it."""

    def tell(beat: Heartbeat) -> None:
        part = path.with_name(f".{path.name}-{os.getpid()}.part")
        part.write_bytes(msgspec.json.encode(beat) + b"\n")
        part.replace(path)

    return tell


def appended_to(lines: LineFile) -> HeartSink:
    """Appends each as a line of JSON."""
    return lambda beat: lines.append(msgspec.json.encode(beat))
