"""What the governor is told, and what it steers: the pipeline, and drives on real video."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers_camera import rtsp_camera
from helpers_traffic import observation, slots_of
from rich.console import Console

from edge_alpr.app import Tiers, make_pipeline, open_models, steer
from edge_alpr.camera import open_source
from edge_alpr.config import (
    Config,
    EventConfig,
    GovernorConfig,
    LearningConfig,
    ModelsConfig,
    SourceConfig,
    StoreConfig,
    TrackConfig,
)
from edge_alpr.device import BoardReading
from edge_alpr.drive import Drive, Screen
from edge_alpr.evidence import canonical
from edge_alpr.ops.governor import (
    LEVELS,
    Governor,
    Level,
)
from edge_alpr.ops.steering import FrameAge, Sensors, Steering, Window
from edge_alpr.pipeline import Effort, Identity, Lane, Pipeline, Stages
from edge_alpr.screen import show_summary, watching
from edge_alpr.stages.event import EventMaker
from edge_alpr.stages.track import CameraMotion, Tracker
from edge_alpr.types import Crop, Detection, Event, Frame, Luma, Read

# --- what is measured


def test_one_slow_frame_is_no_sign_and_old_ones_are_forgotten() -> None:
    window = Window(seconds=3)
    assert window.p99(0) is None
    for i in range(30):
        window.add(300.0 if i == 7 else 20.0, i / 30)
    assert window.p99(1) == 20.0
    window.add(300.0, 1)
    assert window.p99(1) == 300.0
    for i in range(30):
        window.add(20.0, 4.1 + i / 30)
    assert window.p99(5.1) == 20.0


def test_a_camera_s_own_delay_and_a_drifting_clock_are_no_queue() -> None:
    ages = FrameAge()
    hour = [ages.over_least_ms(250 + 5 * (i % 3) + 50e-6 * i * 1e3, float(i)) for i in range(3600)]
    assert max(hour) < 20
    assert ages.over_least_ms(250 + 180 + 300, 3600.0) > 290


def test_a_camera_with_a_longer_delay_of_its_own_is_no_queue_beside_another() -> None:
    applied: list[Level] = []
    steering, now_ns = Steering(Governor(GovernorConfig(queue_ms=200)), applied.append), 0
    for i in range(400):
        now_ns += 20_000_000
        delay_ns = (30_000_000, 900_000_000)[i % 2]
        steering.frame(now_ns - delay_ns, 10_000_000, True, now_ns, ("front", "rear")[i % 2])
    assert applied == []
    for i in range(100):
        now_ns += 20_000_000
        delay_ns = (330_000_000, 1_200_000_000)[i % 2]
        steering.frame(now_ns - delay_ns, 10_000_000, True, now_ns, ("front", "rear")[i % 2])
    assert applied[:1] == [LEVELS[1]]


def test_after_a_change_only_frames_of_the_new_level_count() -> None:
    applied: list[Level] = []
    steering, now_ns = Steering(Governor(GovernorConfig(p99_ms=33)), applied.append), 0
    for i in range(150):
        took_ns = 20_000_000 if applied else 40_000_000
        now_ns += 40_000_000
        steering.frame(now_ns - took_ns, took_ns, i % 2 == 0, now_ns)
    assert applied == [LEVELS[1]], "within the window there were slow ones until long after the cool-off"


def test_the_board_is_asked_four_times_a_second_and_a_change_is_logged_with_its_power_mode(
    caplog: pytest.LogCaptureFixture,
) -> None:
    read, applied = [], []

    def board() -> BoardReading:
        read.append(1)
        return BoardReading(celsius=95, power_mode="7W")

    steering = Steering(Governor(GovernorConfig(celsius=90)), applied.append, Sensors(board))
    with caplog.at_level(logging.INFO):
        for i in range(90):
            steering.frame(i * 33_000_000, 20_000_000, True, i * 33_000_000 + 25_000_000)
    assert len(read) == 12
    assert applied == [LEVELS[1]]
    assert caplog.messages == ["governor: level 1, fewer reads: 95.0 °C over 90 °C (power mode 7W)"]


# --- what is steered


class Row:
    """Three plates that stand still side by side, and what a pipeline makes of them at an effort."""

    TEXTS = ("B69BMA", "IF14UPS", "TR95XMI")

    def __init__(self, effort: Effort) -> None:
        self.given: list[int] = []
        """How many crops the reader was given, frame by frame."""
        self.seen = [
            observation(slots_of(text), (200 + 300 * i, 400, 300 + 300 * i, 422)) for i, text in enumerate(self.TEXTS)
        ]
        tracker = Tracker(TrackConfig())
        lane = Lane(CameraMotion(), tracker, tracker)
        detections = [o.detection for o in self.seen]
        decide = EventMaker(EventConfig(), "car-7")
        stages = Stages(lambda luma: detections, self._cut, self._read, lambda: lane, decide)
        self.pipeline = Pipeline(stages, Identity("car-7", {}))
        self.pipeline.effort = effort

    def play(self, frames: int, step_ns: int) -> list[Event]:
        luma, told = np.full((720, 1280), 90, np.uint8), []
        for index in range(frames):
            told += self.pipeline.process(Frame(luma, index, index * step_ns, index * step_ns // 1_000_000))
            assert self.pipeline.ended == [], "no track ends while its plate is there"
        return [t.event for t in told + self.pipeline.finish()]

    def _cut(self, luma: Luma, detection: Detection) -> Crop:
        return next(o.crop for o in self.seen if o.detection is detection)

    def _read(self, crops: Sequence[Crop]) -> list[Read]:
        self.given.append(len(crops))
        return [next(o.read for o in self.seen if o.crop is crop) for crop in crops]


@pytest.mark.parametrize("reads", [1, 2, 3, None])
def test_however_few_are_read_each_plate_gets_its_own_reads(reads: int | None) -> None:
    row = Row(Effort(reads=reads))
    told = row.play(30, 33_333_333)
    assert row.given == [reads or 3] * 30
    assert row.pipeline.counts.unread == 30 * (3 - (reads or 3))
    assert sorted((e.plate, e.coordinates[0].x) for e in told if e.state == "confirmed") == [
        ("B69BMA", 200.0), ("IF14UPS", 500.0), ("TR95XMI", 800.0)
    ]  # fmt: skip
    assert {sighting.agreement for sighting in row.pipeline.ended} == {1.0}


def test_frames_between_searches_are_followed_however_slow_the_camera() -> None:
    row = Row(Effort(interval=4))
    row.play(16, 1_000_000_000)
    counts = row.pipeline.counts
    assert (len(row.given), counts.frames, counts.coasted) == (4, 16, 12)
    assert len(row.pipeline.ended) == 3
    assert row.pipeline.timings.stages["detect"].count == 4, "frames not searched do not make it look fast"


# --- on real video


def config(folder: Path, uri: str = "sample://drive", **limits: float) -> Config:
    return Config(
        source=SourceConfig(uri=uri),
        store=StoreConfig(path=str(folder / "store"), device_id="car-7"),
        governor=GovernorConfig(**limits),
        models=ModelsConfig(tier="large"),
        learning=LearningConfig(watch_drift=False),
    )


def test_the_sample_drive_loses_no_vehicle_when_it_is_searched_in_part(tmp_path: Path) -> None:
    """The first six seconds: every third frame and one read, then the small detector."""
    settings_ = config(tmp_path)
    models = open_models(settings_)
    pipeline = make_pipeline(settings_, models)
    governor = Governor(GovernorConfig(celsius=0, queue_ms=0, lost_percent=0))
    steering = steer(Tiers(settings_, pipeline, models), pipeline, governor)
    told = []
    with open_source(settings_.source) as source:
        for frame in source:
            if frame.index == 0:
                pipeline.effort = Effort(3, 1)
            if frame.index == 75:
                steering._apply(LEVELS[3])
                assert pipeline.effort == Effort(2, 4)
            if frame.index == 190:
                break
            told += pipeline.process(frame)
    told += pipeline.finish()
    counts = pipeline.counts
    assert (counts.frames, counts.coasted) == (190, 50 + 58)
    assert counts.unread > 0
    confirmed = [t.event for t in told if t.event.state == "confirmed"]
    plates = [canonical(event.plate) for event in confirmed]
    assert len(plates) == len(set(plates)) == len({event.track_id for event in confirmed})
    assert sorted(plates) == sorted(_in_view(190))


def _in_view(frames: int) -> set[str]:
    """Plates wholly in view for a second of the first frames of the sample drive."""
    from importlib import resources  # noqa: PLC0415

    seen: dict[str, int] = {}
    text = resources.files("edge_alpr.samples").joinpath("drive.jsonl").read_text(encoding="utf-8")
    for line in text.splitlines()[:frames]:
        for plate in msgspec.json.decode(line)["plates"]:
            if plate["visible"] == 1.0:
                seen[canonical(plate["text"])] = seen.get(canonical(plate["text"]), 0) + 1
    return {plate for plate, count in seen.items() if count >= 30}


def test_a_recording_is_not_governed(tmp_path: Path) -> None:
    drive_ = Drive(config(tmp_path, p99_ms=0.01), Screen(progress=lambda n: n >= 15 and drive_.stop()))
    summary = drive_.run()
    assert summary.frames in (15, 16), "one more may have been taken when it was stopped"
    assert (summary.level_changes, summary.coasted, summary.level) == (0, 0, "")


def test_a_recording_is_governed_where_a_test_wants_it_and_the_screen_says_so(tmp_path: Path) -> None:
    screen = io.StringIO()
    console, statuses = Console(file=screen, width=200), []
    with watching(console, True) as shown:
        watched = replace(
            shown,
            progress=lambda n: n >= 150 and drive_.stop(),
            status=lambda text: (statuses.append(text), shown.status(text)),
        )
        drive_ = Drive(config(tmp_path), watched, governor=Governor(GovernorConfig(p99_ms=0.01, queue_ms=0)))
        summary = drive_.run()
    show_summary(console, summary)
    assert summary.level_changes >= 1
    assert summary.level != "full"
    assert statuses[0] == "" and " of 5, " in statuses[-1] and "p99 " in statuses[-1]
    assert "changes, the last to" in screen.getvalue()


def test_a_live_camera_is_governed(tmp_path: Path) -> None:
    def progress(frames: int) -> None:
        if frames >= 40:
            drive_.stop()

    with rtsp_camera() as camera:
        drive_ = Drive(config(tmp_path, camera.uri, p99_ms=0.01, queue_ms=0), Screen(progress=progress))
        summary = drive_.run()
    assert summary.level_changes >= 1
    assert summary.last_change.startswith("p99 ") and summary.last_change.endswith("over 0.01 ms")
