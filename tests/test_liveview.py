"""The live picture: made while somebody looks, never else, and never waited for."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_alpr.config import Config, DetectConfig, DisplayConfig, SourceConfig, StoreConfig
from edge_alpr.display.facts import live_facts, live_picture
from edge_alpr.drive import Drive, Screen
from edge_alpr.ops.liveview import FACTS, PICTURE, WATCHED_S, WATCHING, LiveView
from edge_alpr.pipeline import Found, Lane
from edge_alpr.types import Crop, Detection, Observation, Read, Scene, Sighting, SmallLuma

QUAD = np.array([[100, 100], [300, 100], [300, 160], [100, 160]], np.float32)
PATIENCE_S = 20.0


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def found(camera_id: str = "front") -> Found:
    """A grey frame of 640 x 360, kept at half its size."""
    scene = Scene(np.full((180, 320), 90, np.uint8), (), 640, 360)
    return replace(Found(0, 1_767_348_000_000, camera_id, Lane(None, None), SmallLuma(scene.luma, 1.0), [0, 0]),
                   searched=True, scene=scene)  # fmt: skip


def sighting(plate: str = "B123XY") -> Sighting:
    detection = Detection(QUAD, 0.9)
    read = Read(plate, 0.93, (0.9,) * len(plate), (), np.zeros((0, 37), np.float32))
    seen = Observation(detection, Crop(np.zeros((32, 128), np.uint8), detection, 200, 60, 1.0, False), read)
    return Sighting(1, "front", read, 1, 1.0, seen, True, seen, 0, 0, 0, 0, False)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    cameras = (SourceConfig(camera_id="rear"),)
    return Config(source=SourceConfig(camera_id="front"), cameras=cameras, display=DisplayConfig(runtime=str(tmp_path)))


@pytest.fixture
def view(config: Config) -> Iterator[LiveView]:
    with LiveView(config) as opened:
        yield opened


def look(folder: Path, camera: str = "") -> None:
    (folder / WATCHING).write_text(camera)


def test_nothing_is_wanted_nor_written_while_nobody_looks(view: LiveView, tmp_path: Path) -> None:
    for _ in range(100):
        view.show(found(), [sighting()])
        time.sleep(0.01)
    assert not view.wanted("front")
    assert list(tmp_path.iterdir()) == []


def test_who_looks_sees_the_newest_scene_with_its_plates(view: LiveView, tmp_path: Path) -> None:
    look(tmp_path)
    until(lambda: view.wanted("front"))
    assert not view.wanted("rear")
    view.show(found(), [sighting(), replace(sighting(), current=None)])
    until(lambda: live_picture(tmp_path)[1] is not None)
    packed, facts = live_picture(tmp_path)
    (plate,) = facts.plates
    assert (plate.plate, plate.score, plate.quad[2]) == ("B123XY", 0.93, (300.0, 160.0))
    assert (facts.width, facts.height, facts.camera_id, facts.cameras) == (640, 360, "front", ("front", "rear"))
    picture = cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (180, 320, 3)
    assert picture[50, 100, 1] > picture[50, 100, 2] + 60, "no green on the plate's upper edge"
    assert abs(int(picture[120, 250, 1]) - int(picture[120, 250, 2])) < 12
    for name in (PICTURE, FACTS):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_another_camera_is_shown_when_it_is_asked_for(view: LiveView, tmp_path: Path) -> None:
    look(tmp_path, "rear")
    until(lambda: view.wanted("rear"))
    view.show(found("front"), [])
    view.show(found("rear"), [])
    until(lambda: live_facts(tmp_path) is not None)
    assert live_facts(tmp_path).camera_id == "rear"
    look(tmp_path, "no such camera")
    until(lambda: view.wanted("front"))


def test_at_most_five_a_second_and_gone_when_nobody_looks(view: LiveView, tmp_path: Path) -> None:
    look(tmp_path)
    until(lambda: view.wanted("front"))
    begun = time.monotonic()
    while time.monotonic() - begun < 1.0:
        view.show(found(), [])
        time.sleep(0.005)
    until(lambda: live_facts(tmp_path) is not None)
    assert 3 <= live_facts(tmp_path).number <= 6
    old = time.time() - WATCHED_S - 1
    os.utime(tmp_path / WATCHING, (old, old))
    until(lambda: not (tmp_path / PICTURE).exists() and not (tmp_path / FACTS).exists())
    assert not view.wanted("front")


def test_a_folder_that_fails_is_told_once_and_hurts_nobody(tmp_path: Path, config: Config, caplog) -> None:
    (tmp_path / "file").touch()
    with LiveView(Config(display=DisplayConfig(runtime=str(tmp_path / "file")))) as view:
        view.show(found(), [])
    assert "no live picture" in caplog.text
    with LiveView(config) as view:
        look(tmp_path)
        until(lambda: view.wanted("front"))
        (tmp_path / PICTURE).mkdir()
        caplog.clear()
        for _ in range(3):
            view.show(found(), [])
            time.sleep(0.3)
        assert caplog.text.count("no live picture") == 1
        (tmp_path / PICTURE).rmdir()
        view.show(found(), [])
        until(lambda: live_facts(tmp_path) is not None)


def test_a_drive_shows_its_pictures_also_without_a_plate_in_view(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    look(run)
    config = Config(
        detect=DetectConfig(threshold=1.0),  # nothing is a plate
        store=StoreConfig(path=str(tmp_path / "store")),
        display=DisplayConfig(runtime=str(run)),
    )
    shown: list[int] = []
    drive = Drive(config, Screen(progress=lambda frames: look_and_stop()))

    def look_and_stop() -> None:
        look(run)
        if (facts := live_facts(run)) is not None:
            shown.append(len(facts.plates))
            drive.stop()

    drive.run(PATIENCE_S)
    assert set(shown) == {0}
    assert live_facts(run) is None
