"""Events to store and to tell, and a small disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_alpr.types import Box, Candidate, Event, Point

START_MS = 1_767_348_000_000  # 2026-01-02 10:00:00 UTC
AS_ROOT = os.geteuid() == 0


def make_event(number: int = 1, **changes: Any) -> Event:
    """A confirmed event as the pipeline makes it; `number` sets uuid, plate and time (a second apart)."""
    plate = f"B{number:04d}XO"
    event = Event(
        version=1,
        uuid=f"0193e5a0-0000-7000-8000-{number:012d}",
        state="confirmed",
        seq=0,
        device_id="car-7",
        camera_id="camera0",
        timestamp="2026-01-02T10:00:01.400Z",
        clock_source="ntp",
        epoch_start=START_MS + 1000 * number,
        epoch_end=START_MS + 1000 * number + 400,
        plate=plate,
        score=0.97,
        candidates=(Candidate(plate, 0.97), Candidate(plate.replace("O", "0"), 0.02)),
        char_scores=(0.99, 0.98, 0.99, 1.0, 1.0, 0.99, 0.97),
        reads=12,
        agreement=0.92,
        box=Box(500, 300, 620, 330),
        coordinates=(Point(500.5, 301.0), Point(619.0, 300.0), Point(619.5, 329.0), Point(501.0, 330.0)),
        track_id=number,
        processing_time_ms={"detect": 4.1, "read": 1.2},
        models={"detector": "onnxruntime-cpu:1f3a", "reader": "onnxruntime-cpu:77b0"},
    )
    return replace(event, **changes)


def one_line(error: BaseException) -> str:
    """The message, after a check that it is one line a user can act on."""
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    assert 20 < len(text) < 400
    return text


def start_child(code: str, *values: object) -> subprocess.Popen[str]:
    """Another process of this interpreter; `code` finds `values` in sys.argv[1:]."""
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, values)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": here},
    )


@contextmanager
def small_disk(folder: Path, size_kib: int) -> Iterator[Path]:
    """A file system of its own, in memory. Skips where that takes root."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "none", str(folder)]
    if not AS_ROOT or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change a small disk: `size=4m`, `ro`."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
