"""Heartbeats as lines: what they say of updates, kept and counted; roll-outs that go wrong are paused."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Annotated

import msgspec
from msgspec import Meta, Struct

from deploy.repo_tool.files import append_line
from deploy.repo_tool.rates import Result, Tally, Verdict
from deploy.repo_tool.rollouts import Rollouts, decode
from deploy.repo_tool.settings import Fleet
from deploy.repo_tool.topics import StrangerError, own_name, split

LINE_BYTES = 1 << 17
"""Of a heartbeat at the most; longer ones are passed over."""
Text = Annotated[str, Meta(max_length=128)]


class Update(Struct, frozen=True):
    """In a heartbeat: what came of the last update of a unit."""

    unit: Text
    version: Text
    result: Result
    why: str = ""


class _Heartbeat(Struct, frozen=True):
    """The part that counts here; all else is passed over."""

    device_id: Annotated[str, Meta(min_length=1, max_length=128)]
    timestamp: Annotated[datetime, Meta(tz=True)]
    sent: Annotated[datetime, Meta(tz=True)] | None = None
    """Of the uplink, which also goes on telling of updates where the reader makes no new heartbeat."""
    update: Update | tuple[Update, ...] = ()


_heartbeats = msgspec.json.Decoder(_Heartbeat)
_verdicts = msgspec.json.Decoder(Verdict)


def read_line(line: bytes, pattern: str = "") -> list[Verdict]:
    """What one heartbeat says; an event, or a heartbeat without an update, says nothing.

    `pattern` is `mqtt.topic` of the cars; empty: the line is the heartbeat, and whoever wrote it is trusted.
    Raises `ValueError` for what is no heartbeat, and `StrangerError`, which is one, for one under another's topic.
    """
    topic, payload = split(line) if pattern else ("", line)
    heartbeat = _heartbeats.decode(payload)
    name = own_name(topic, pattern, heartbeat.device_id) if pattern else ""
    updates = (heartbeat.update,) if isinstance(heartbeat.update, Update) else heartbeat.update
    at = heartbeat.sent or heartbeat.timestamp
    return [
        Verdict(heartbeat.device_id, one.unit, one.version, one.result, at, _plain(one.why), name)
        for one in updates
    ]


@dataclass(slots=True)
class Results:
    """The verdicts of `results.jsonl`, where they outlive the tool."""

    fleet: Fleet
    pattern: str = ""
    """As `read_line` has it."""
    tally: Tally = field(default_factory=Tally)
    rollouts: Rollouts = field(default_factory=dict)
    """What cars say of other versions is not kept: what a car can send has no end."""
    news: bool = False
    """Something new was heard since `rollouts` were last looked at."""
    unread: int = 0
    """Lines that were no heartbeat, or not of the car that they name."""
    stranger: str = ""
    """Why the first of the latter is not counted."""

    def load(self) -> Results:
        """What earlier runs took in, and the roll-outs. A line torn by a power cut is left out."""
        self.look()
        path = self.fleet.results_file
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                self.tally.take(_verdicts.decode(line))
            except ValueError:
                self.unread += 1
        return self

    def look(self) -> None:
        """Read the roll-outs anew."""
        path = self.fleet.rollouts_file
        self.rollouts = decode(path.read_bytes()) if path.exists() else {}
        self.news = False

    def take(self, line: bytes, now: datetime) -> None:
        """Hear a line. A car's clock that is ahead does not count for more than ours."""
        try:
            verdicts = read_line(line, self.pattern)
        except StrangerError as error:
            self.unread += 1
            self.stranger = self.stranger or _plain(str(error), 500)
            return
        except (ValueError, RecursionError):  # msgspec's errors are, those of wrong UTF-8, and values without end
            self.unread += 1
            return
        sent = {(one.unit, one.version) for one in self.rollouts.values()}
        for verdict in verdicts:
            held = msgspec.structs.replace(verdict, at=min(verdict.at, now))
            if (held.unit, held.version) in sent and self.tally.take(held):
                append_line(self.fleet.results_file, msgspec.json.encode(held))
                self.news = True


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Whole lines; of one that is too long only the end, which is no heartbeat."""
    while line := stream.readline(LINE_BYTES):
        if line.strip():
            yield line


def follow(path: Path, pause: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
    """Lines of a file that grows, for ever; b"" while there is none. A file that is put in its place is read anew."""
    file = path.open("rb")
    rest = b""
    while True:
        piece = file.readline(LINE_BYTES)
        rest += piece
        if rest.endswith(b"\n") or len(rest) >= LINE_BYTES:
            yield rest
            rest = b""
        elif not piece:
            yield b""
            pause(1.0)
            if path.exists() and (path.stat().st_size < file.tell() or path.stat().st_ino != _inode(file)):
                file.close()
                file, rest = path.open("rb"), b""


def utc_now() -> datetime:
    """To the second, as metadata has it."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino


def _plain(text: str, most: int = 200) -> str:
    """A car's words: on one line, without what a terminal obeys, and not endless."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:most].strip()
