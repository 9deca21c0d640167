"""Several cameras in one pipeline and in one drive: tracks of their own, one memory of vehicles for all."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers_traffic import observation, slots_of
from rich.console import Console

from edge_alpr.config import (
    Config,
    EventConfig,
    LearningConfig,
    ModelsConfig,
    OutputConfig,
    SourceConfig,
    StoreConfig,
    TrackConfig,
)
from edge_alpr.drive import Drive, Screen
from edge_alpr.errors import SourceCorruptError, SurfaceError
from edge_alpr.evidence import canonical
from edge_alpr.pipeline import Effort, Identity, Lane, Pipeline, Stages
from edge_alpr.screen import show_summary, watching
from edge_alpr.stages.event import EventMaker
from edge_alpr.stages.track import CameraMotion, Tracker
from edge_alpr.types import Crop, Detection, DevicePlane, Event, Frame, Luma, Memory, Read

FRAME_NS = 33_333_333


class Views:
    """Cameras that each see one plate, all in the same place of the picture; their frames come by turns."""

    def __init__(self, plates: dict[str, str], effort: Effort | None = None) -> None:
        self.seen = {name: observation(slots_of(text)) for name, text in plates.items()}
        self.searched: Counter[str] = Counter()
        self._camera = ""
        stages = Stages(self._detect, self._cut, self._read, self._lane, EventMaker(EventConfig(), "car-7"))
        self.pipeline = Pipeline(stages, Identity("car-7", {}))
        self.pipeline.effort = effort or Effort()

    def play(self, frames: int) -> list[Event]:
        luma, told = np.full((720, 1280), 90, np.uint8), []
        for index in range(frames):
            for camera in self.seen:
                self._camera, stamp_ns = camera, index * FRAME_NS
                told += self.pipeline.process(Frame(luma, index, stamp_ns, stamp_ns // 1_000_000, camera))
                assert self.pipeline.ended == []
        return [t.event for t in told + self.pipeline.finish()]

    def _lane(self) -> Lane:
        tracker = Tracker(TrackConfig())
        return Lane(CameraMotion(), tracker, tracker)

    def _detect(self, luma: Luma) -> list[Detection]:
        self.searched[self._camera] += 1
        return [self.seen[self._camera].detection]

    def _cut(self, luma: Luma, detection: Detection) -> Crop:
        return self.seen[self._camera].crop

    def _read(self, crops: Sequence[Crop]) -> list[Read]:
        return [self.seen[self._camera].read for _ in crops]


def test_tracks_of_two_cameras_do_not_mix() -> None:
    views = Views({"front": "B69BMA", "rear": "TR95XMI"})
    told = views.play(20)
    confirmed = [(e.camera_id, e.plate, e.reads) for e in told if e.state == "confirmed"]
    assert [(camera, plate) for camera, plate, _ in confirmed] == [("front", "B69BMA"), ("rear", "TR95XMI")]
    ended = [(s.camera_id, s.read.plate, s.reads, s.agreement) for s in views.pipeline.ended]
    assert ended == [("front", "B69BMA", 20, 1.0), ("rear", "TR95XMI", 20, 1.0)]
    assert len({e.uuid for e in told}) == 2


def test_one_vehicle_seen_by_two_cameras_is_confirmed_once() -> None:
    views = Views({"front": "B69BMA", "rear": "B69BMA"})
    told = views.play(20)
    assert [(e.camera_id, e.state, e.plate) for e in told] == [
        ("front", "possible", "B69BMA"), ("front", "confirmed", "B69BMA")
    ]  # fmt: skip
    assert len(views.pipeline.ended) == 2, "each camera followed it"


@pytest.mark.parametrize("interval", [1, 2, 3])
def test_every_camera_is_searched_however_few_frames_are(interval: int) -> None:
    views = Views({"front": "B69BMA", "rear": "TR95XMI"}, Effort(interval=interval))
    views.play(12)
    assert views.searched == {"front": 12 // interval, "rear": 12 // interval}
    assert views.pipeline.counts.coasted == 24 - 24 // interval


def test_a_frame_that_nobody_can_look_at_is_no_empty_street() -> None:
    views = Views({"front": "B69BMA"})
    unseen, plane = np.empty((0, 0), np.uint8), DevicePlane(256, 1280, 720, 1536, Memory.NVMM)
    released: list[bool] = []
    frame = Frame(unseen, 0, 0, 0, "front", release=lambda: released.append(True), memory=Memory.NVMM, plane=plane)
    with pytest.raises(SurfaceError, match="run_on"):
        views.pipeline.process(frame)
    assert released == [True]


# --- a drive


def config(folder: Path, *uris: str) -> Config:
    first, *others = (SourceConfig(uri=uri, camera_id=name) for uri, name in zip(uris, ("front", "rear"), strict=False))
    return Config(
        source=first,
        cameras=tuple(others),
        store=StoreConfig(path=str(folder / "store"), device_id="car-7"),
        output=OutputConfig(events=str(folder / "events.jsonl")),
        models=ModelsConfig(tier="large"),
        learning=LearningConfig(watch_drift=False),
    )


def _texts(frames: int, least: int) -> set[str]:
    """Plates wholly in view for at least so many of the first frames of the sample drive."""
    seen: Counter[str] = Counter()
    text = resources.files("edge_alpr.samples").joinpath("drive.jsonl").read_text(encoding="utf-8")
    for line in text.splitlines()[:frames]:
        seen.update(canonical(p["text"]) for p in msgspec.json.decode(line)["plates"] if p["visible"] == 1.0)
    return {plate for plate, count in seen.items() if count >= least}


def test_a_drive_with_two_recordings_tells_each_vehicle_once(tmp_path: Path) -> None:
    """Both cameras see the first five seconds of the sample drive."""
    text = io.StringIO()
    console = Console(file=text, width=160)
    with watching(console, True) as screen:
        watched = Screen(console, screen.opened, lambda n: n >= 300 and drive.stop())
        drive = Drive(config(tmp_path, "sample://drive", "sample://drive"), watched)
        summary = drive.run()
    show_summary(console, summary)
    events = [msgspec.json.decode(line, type=Event) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    plates = [canonical(event.plate) for event in events if event.state == "confirmed"]
    assert len(plates) == len(set(plates))
    assert _texts(150, 30) <= set(plates) <= _texts(150, 1)
    possible = {event.camera_id for event in events if event.state == "possible"}
    assert possible == {"front"}, "whose frame comes first of two of one moment"
    assert summary.frames in (300, 301) and summary.dropped == 0, "one more may have been taken when it was stopped"
    assert {name: each.frames for name, each in summary.cameras.items()} == {
        "front": summary.frames - 150, "rear": 150
    }  # fmt: skip
    rows = [line.split() for line in text.getvalue().splitlines()]
    front = f"{summary.frames - 150},"
    assert ["front", front, "none", "dropped"] in rows and ["rear", "150,", "none", "dropped"] in rows


def test_a_drive_goes_on_without_the_camera_that_is_lost_and_says_so(tmp_path: Path) -> None:
    whole = resources.files("edge_alpr.samples").joinpath("drive.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 10])
    statuses: list[str] = []
    screen = Screen(progress=lambda n: n >= 200 and drive.stop(), status=statuses.append)
    drive = Drive(config(tmp_path, str(tmp_path / "cut.mp4"), "sample://drive"), screen)
    with pytest.raises(SourceCorruptError, match=r"cut\.mp4: the file is cut off"):
        drive.run()
    counted = drive.summary.cameras
    assert counted["front"].frames < counted["rear"].frames and drive.summary.frames in (200, 201)
    assert statuses[0] == "" and statuses[-1] == "front lost"
    text = io.StringIO()
    show_summary(Console(file=text, width=200), drive.summary)
    assert "lost: " in text.getvalue()
