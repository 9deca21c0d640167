"""The whole way on real video: the sample drive goes in, every plate comes out once."""

from __future__ import annotations

import io
import json
from importlib import resources
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from rich.console import Console

from edge_alpr.config import Config, OutputConfig, SourceConfig, StoreConfig
from edge_alpr.drive import Drive, Screen, Summary
from edge_alpr.errors import SourceError
from edge_alpr.evidence import canonical
from edge_alpr.sinks.store import EventStore
from edge_alpr.timings import Recent
from edge_alpr.types import Event


def config(folder: Path, uri: str = "sample://drive") -> Config:
    return Config(
        source=SourceConfig(uri=uri),
        store=StoreConfig(path=str(folder / "store"), device_id="car-7"),
        output=OutputConfig(events=str(folder / "events.jsonl")),
    )


class Played:
    """One run over the sample drive, shared by the tests of this file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.screen = io.StringIO()
        console = Console(file=self.screen, width=100)
        self.summary: Summary = Drive(config(folder), Screen(console)).run()
        lines = (folder / "events.jsonl").read_bytes().splitlines()
        self.events = [msgspec.json.decode(line, type=Event) for line in lines]
        self.confirmed = [e for e in self.events if e.state == "confirmed"]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return Played(tmp_path_factory.mktemp("drive"))


@pytest.fixture(scope="module")
def truth() -> list[dict[str, object]]:
    text = resources.files("edge_alpr.samples").joinpath("drive.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def texts(truth: list[dict[str, object]]) -> set[str]:
    return {canonical(p["text"]) for frame in truth for p in frame["plates"]}  # type: ignore[index,attr-defined]


def test_every_plate_of_the_drive_is_told_once_and_no_other(played: Played, truth: list[dict[str, object]]) -> None:
    assert sorted(canonical(e.plate) for e in played.confirmed) == sorted(texts(truth))


def test_every_frame_is_processed(played: Played, truth: list[dict[str, object]]) -> None:
    assert played.summary.frames == max(int(f["index"]) for f in truth) + 1  # type: ignore[call-overload]
    assert played.summary.dropped == 0


def test_an_event_is_stored_before_it_is_told_and_both_agree(played: Played) -> None:
    with EventStore(played.folder / "store", StoreConfig()) as store:
        assert store.after(0) == played.events
    assert [e.seq for e in played.events] == sorted({e.seq for e in played.events})


def test_every_life_ends_in_confirmed_or_withdrawn(played: Played) -> None:
    ends = {e.uuid: e.state for e in played.events}
    assert set(ends.values()) <= {"confirmed", "withdrawn"}


def test_pictures_of_confirmed_events_show_the_plate(played: Played) -> None:
    for event in played.confirmed:
        plate = cv2.imread(str(played.folder / "store" / event.images.plate))
        scene = cv2.imread(str(played.folder / "store" / event.images.frame))
        assert scene.shape == (360, 640, 3)
        assert plate.shape[1] >= event.box.xmax - event.box.xmin
    assert all(not e.images.plate for e in played.events if e.state == "possible")


def test_the_scene_keeps_its_colours(played: Played) -> None:
    scenes = [cv2.imread(str(played.folder / "store" / e.images.frame)) for e in played.confirmed]
    spread = max(float(np.ptp(scene.astype(int), axis=2).mean()) for scene in scenes)
    assert spread > 3


def test_the_screen_shows_each_plate_once(played: Played) -> None:
    rows = played.screen.getvalue()
    assert "-0:" not in rows, "times count from the start of the drive"
    for event in played.confirmed:
        assert rows.count(event.plate) == 1


def test_scores_and_box_keep_the_contract(played: Played) -> None:
    for event in played.events:
        assert event.device_id == "car-7"
        assert event.version == 1
        assert 0 <= event.box.xmin < event.box.xmax < 1280
        assert len(event.coordinates) == 4
        assert len(event.char_scores) == len(event.plate)
        assert event.candidates[0].plate == event.plate
        assert len(event.candidates) <= 10
        assert set(event.models) == {"detector", "reader"}


def test_a_drive_that_breaks_off_keeps_what_was_read(tmp_path: Path, played: Played) -> None:
    whole = resources.files("edge_alpr.samples").joinpath("drive.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    drive = Drive(config(tmp_path, str(tmp_path / "cut.mp4")), Screen())
    with pytest.raises(SourceError) as caught:
        drive.run()
    assert "\n" not in str(caught.value)
    with EventStore(tmp_path / "store", StoreConfig()) as store:
        kept = {e.plate for e in store.after(0) if e.state == "confirmed"}
    assert drive.summary.frames > 100
    assert len(kept) >= 1


def test_times_are_kept_of_the_latest_frames_only() -> None:
    recent = Recent(3)
    assert recent.percentile(50) == 0.0
    for value in (9.0, 1.0, 2.0, 3.0):
        recent.add(value)
    assert (recent.count, recent.last, recent.percentile(50), recent.percentile(100)) == (4, 3.0, 2.0, 3.0)
    assert [recent.since(count).tolist() for count in (0, 2, 4)] == [[1.0, 2.0, 3.0], [2.0, 3.0], []]
