"""A whole drive that is slower than its source: a camera's newest frame wins, a recording waits."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers_camera import Around, Clip, film, opened, rtsp_camera
from rich.console import Console

from edge_alpr.config import Config, GovernorConfig, ModelsConfig, SourceConfig, StoreConfig
from edge_alpr.drive import Drive, Probe, Screen, Summary
from edge_alpr.ports import FrameSource
from edge_alpr.screen import show_summary
from edge_alpr.types import Frame

INTERVAL_S = 1 / 30
SLOW_S = 0.06
"""Added to finding plates in each frame: about 15 frames a second are left of 30."""


class Aged(Around):
    """Notes of each frame its stamp, its age when its turn comes, and what was dropped by then."""

    def __init__(self, source: FrameSource) -> None:
        super().__init__(source)
        self.stamps_s: list[float] = []
        self.ages_s: list[float] = []
        self.dropped: list[int] = []

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            self.ages_s.append((time.monotonic_ns() - frame.stamp_ns) / 1e9)
            self.stamps_s.append(frame.stamp_ns / 1e9)
            self.dropped.append(self.counters.dropped)
            yield frame


def drive_slowly(uri: str, folder: Path, limit_s: float | None = None) -> tuple[Summary, Aged]:
    """A drive whose detector takes longer than a camera's frame lasts; nothing is left out to keep up."""
    config = Config(
        source=SourceConfig(uri=uri),
        models=ModelsConfig(tier="small", threads=1),
        store=StoreConfig(path=str(folder / "store")),
        governor=GovernorConfig(enabled=False),
    )
    sources: list[Aged] = []

    def source(wanted: SourceConfig) -> FrameSource:
        sources.append(Aged(opened(wanted.uri)))
        return sources[0]

    def slow(name: str, _begin: int, _end: int) -> None:
        if name == "find":  # heard within the detector, while the frame is lent
            time.sleep(SLOW_S)

    return Drive(config, Screen(), Probe(source, slow)).run(limit_s), sources[0]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Aged]:
    with rtsp_camera() as camera:
        return drive_slowly(camera.uri, tmp_path_factory.mktemp("live"), limit_s=8.0)


def test_the_newest_frame_of_a_camera_wins(live: tuple[Summary, Aged]) -> None:
    ages = np.array(live[1].ages_s)
    third = len(ages) // 3
    assert third >= 20
    assert np.percentile(ages, 90) < 2 * INTERVAL_S + SLOW_S
    assert abs(np.median(ages[-third:]) - np.median(ages[:third])) < INTERVAL_S, "no queue grows"


def test_every_frame_that_a_camera_sent_was_taken_or_counted(live: tuple[Summary, Aged]) -> None:
    summary, seen = live
    sent = round((seen.stamps_s[-1] - seen.stamps_s[0]) / INTERVAL_S) + 1
    dropped = seen.dropped[-1] - seen.dropped[0]
    assert dropped > sent / 4
    assert abs(len(seen.stamps_s) + dropped - sent) <= 1
    assert summary.frames == len(seen.stamps_s) and summary.dropped == seen.counters.dropped >= dropped

    shown = io.StringIO()
    show_summary(Console(file=shown, width=120), summary)
    assert f"{summary.frames} ({summary.dropped} dropped)" in shown.getvalue()


def test_a_recording_waits_for_the_same_drive_and_drops_nothing(tmp_path: Path) -> None:
    summary, seen = drive_slowly(str(film(tmp_path / "clip.mp4", Clip(frames=30))), tmp_path)
    assert summary.frames == len(seen.stamps_s) == 30 and summary.dropped == 0
    assert summary.seconds > 30 * SLOW_S > seen.stamps_s[-1], "slower than it was filmed"
    shown = io.StringIO()
    show_summary(Console(file=shown, width=120), summary)
    assert "30, none dropped" in shown.getvalue()
