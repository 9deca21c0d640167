"""The page for the screen, served by the real command, and drives that play beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
from helpers_label import drawn_plate
from helpers_sinks import make_event

from edge_alpr.config import StoreConfig
from edge_alpr.sinks.pictures import Pictures
from edge_alpr.sinks.store import EventStore
from edge_alpr.types import Event

ROOT = Path(__file__).resolve().parents[1]
PLAYING = """
import json, sys, time
from pathlib import Path
from edge_alpr import drive
from edge_alpr.bench.paced import paced
from edge_alpr.camera import open_source
from edge_alpr.config import load_config

read, publish, frame = drive.Pipeline.read, drive.Dispatcher.publish, [0]

def reading(self, found):
    frame[0] = found.stamp_ns
    return read(self, found)

def publishing(self, event, pictures=None):
    at, age_ms = time.time() * 1e3, (time.monotonic_ns() - frame[0]) / 1e6
    publish(self, event, pictures)
    print(json.dumps({"uuid": event.uuid, "state": event.state, "at_ms": at, "age_ms": age_ms}), flush=True)

drive.Pipeline.read, drive.Dispatcher.publish = reading, publishing
probe = drive.Probe(source=lambda wanted: paced(lambda: open_source(wanted), "live", True))
player = drive.Drive(load_config(Path(sys.argv[1])), drive.Screen(), probe)
player.run(float(sys.argv[2]))
"""
"""Plays the configured recording at a camera's pace, over and over, for so many seconds. Prints of each event when it
was made (before it is stored), and how old the frame was that made it."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def configured(folder: Path, text: str = "", **display: object) -> Path:
    """A configuration with all files in `folder`; `text` is further TOML."""
    values = {"runtime": str(folder / "run"), **display}
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    path = folder / "car.toml"
    store = f'[store]\npath = "{folder / "store"}"\nsigning_key = "{folder / "signing-key"}"'
    path.write_text(f"{store}\n[display]\n{lines}\n{text}\n")
    return path


@contextmanager
def screen(config: Path, port: int = 0, **more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of `edge-alpr display`, running; it must end well."""
    child = subprocess.Popen(
        [sys.executable, "-m", "edge_alpr.cli", "display", "--config", str(config), "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**environment(), **more},
    )  # fmt: skip
    try:
        address = child.stdout.readline().strip()
        assert address, child.stderr.read()
        yield address.rstrip("/"), child
    finally:
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    assert child.returncode in (0, -signal.SIGKILL), err
    assert "Traceback" not in err, err


@contextmanager
def playing(config: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A drive in another process; a line on its standard output is an event."""
    child = subprocess.Popen(
        [sys.executable, "-c", PLAYING, str(config), str(seconds)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    try:
        yield child
    finally:
        child.terminate()
        child.communicate(timeout=30)


class Reader:
    """Stands for a drive: the real store, held open, and events as they are needed."""

    def __init__(self, folder: Path, **store: Any) -> None:
        self.store = EventStore(folder / "store", StoreConfig(path=str(folder / "store"), **store))

    def __enter__(self) -> Reader:
        self.store.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.store.__exit__(*error)

    def tell(self, number: int, plate: str, pictured: bool = False, **changes: Any) -> Event:
        """An event of now."""
        now = time.time_ns() // 1_000_000
        event = make_event(number, plate=plate, epoch_start=now - 400, epoch_end=now, **changes)
        data = cv2.imencode(".jpg", drawn_plate(plate))[1].tobytes() if pictured else b""
        return self.store.append(event, Pictures(data, data) if pictured else None)
