"""A real drive at the pace of a camera, of which a core is taken away while it runs, and given back."""

from __future__ import annotations

import os
import runpy
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_alpr.bench.paced import paced
from edge_alpr.bench.rendered import Rendered
from edge_alpr.config import (
    Config,
    GovernorConfig,
    LearningConfig,
    ModelsConfig,
    OutputConfig,
    SourceConfig,
    StoreConfig,
)
from edge_alpr.drive import Drive, Probe, Screen
from edge_alpr.ops.governor import Governor
from edge_alpr.ops.heartbeat import Heartbeat
from edge_alpr.ports import FrameSource

BURNERS = 6
SETTLED_S = 4.0
"""A level that holds for so long keeps its limit."""
BACK_S = 12.0


class Squeeze:
    """Takes the core once the drive runs, gives it back once the governor has settled, and stops at a step up."""

    def __init__(self, governor: Governor, tools: dict[str, Any], stack: ExitStack) -> None:
        self._governor, self._tools, self._stack = governor, tools, stack
        self._cores = os.sched_getaffinity(0)
        self._begun_s = time.monotonic()
        self._squeezed_s = self._released_s = self._changed_s = 0.0
        self._changes = 0
        self.lowest = 0
        self.stop: Callable[[], None] = lambda: None

    def progress(self, frames: int) -> None:
        """Once a frame."""
        now_s = time.monotonic()
        if self._governor.changes != self._changes:
            self._changes, self._changed_s = self._governor.changes, now_s
        if not self._squeezed_s and now_s > self._begun_s + 1:
            self._squeezed_s = now_s
            self._stack.enter_context(self._tools["burners"](BURNERS))
            self._tools["use_cores"]({min(self._cores)})
        elif self._squeezed_s and not self._released_s and self._settled(now_s):
            self.lowest, self._released_s = self._governor.place, now_s
            self.release()
        elif self._released_s and (self._governor.place < self.lowest or now_s > self._released_s + BACK_S):
            self.stop()

    def release(self) -> None:
        """All cores are ours again."""
        self._stack.close()
        self._tools["use_cores"](self._cores)

    def _settled(self, now_s: float) -> bool:
        if self._governor.place == self._governor.least:
            return True
        since_s = max(self._changed_s, self._squeezed_s)
        return now_s > since_s + SETTLED_S


def config(folder: Path) -> Config:
    return Config(
        source=SourceConfig(camera_id="front"),
        store=StoreConfig(path=str(folder / "store"), device_id="car-7"),
        models=ModelsConfig(tier="large"),
        output=OutputConfig(heartbeat=str(folder / "beats.jsonl")),
        learning=LearningConfig(watch_drift=False),
    )


def rendered(_: SourceConfig) -> FrameSource:
    """Three plates, 30 frames a second, as a camera shows them."""
    return paced(lambda: Rendered(3, (1280, 720), "front"), "live", repeat=False)


def usual_ms(folder: Path) -> float:
    """What a frame takes here and now, at the full level; so the test holds on a busy machine as well."""
    drive = Drive(config(folder), Screen(progress=lambda n: n >= 40 and drive.stop()), Probe(rendered))
    stages = drive.run().stages
    assert stages is not None
    return stages["total"][0]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core only: there is none to take away")
def test_a_drive_that_loses_a_core_does_less_says_so_and_comes_back(tmp_path: Path, repo: Path) -> None:
    tools = runpy.run_path(str(repo / "docs" / "governor_drive.py"))
    limit_ms = 3 * usual_ms(tmp_path / "before")
    governor = Governor(GovernorConfig(p99_ms=limit_ms), dwell_s=2)
    with ExitStack() as stack:
        squeeze = Squeeze(governor, tools, stack)
        drive = Drive(config(tmp_path), Screen(progress=squeeze.progress), Probe(rendered), governor)
        squeeze.stop = drive.stop
        try:
            summary = drive.run()
        finally:
            squeeze.release()
    beats = [msgspec.json.decode(line, type=Heartbeat) for line in (tmp_path / "beats.jsonl").read_bytes().splitlines()]
    levels = {beat.level.place: beat.level.reason for beat in beats if beat.level}
    assert squeeze.lowest > 0
    assert governor.place < squeeze.lowest, "up again"
    assert summary.level == governor.level.name and summary.last_change.startswith("well inside all limits for ")
    assert " over " in levels[squeeze.lowest]
    assert summary.level_changes == governor.changes >= 2
    assert summary.coasted > 0 or squeeze.lowest < 2
    assert not [beat for beat in beats if beat.level and beat.level.place and beat.keeping_up]
