"""The sample drive: picture and truth fit together, and no real plate is in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_alpr.config import EventConfig, TrackConfig
from edge_alpr.geometry import as_quad, quad_size
from edge_alpr.types import Floats, Luma
from training.drive import script
from training.drive.script import FPS, FRAMES, VEHICLES

SAMPLES = Path(__file__).parents[1] / "edge_alpr" / "samples"
VIDEO, TRUTH = SAMPLES / "drive.mp4", SAMPLES / "drive.jsonl"
DATA = Path(__file__).parents[2] / "shared" / "data"
# Why each text belongs to no car: see the note beside it.
FICTIONAL = {
    "7XKM482": "state of Northmoor",
    "XKTR4829": "no German district begins with X",
    "JX73K46": "no Polish voivodeship has J",
    "XT62HRV": "no British office has XT",
    "DU374KX": "no U in Italian plates",
    "UA482KU": "no U in French plates",
    "XU7K294": "no German district begins with X",
    "VUX638": "country X",
    "4G72938": "no Czech region has G",
    "KT83XTU": "no Romanian county has KT",
}


@dataclass(frozen=True)
class Sight:
    index: int
    text: str
    vehicle: str
    quad: Floats
    visible: float

    @property
    def width(self) -> float:
        return quad_size(self.quad)[0]


@lru_cache(maxsize=1)
def sights() -> tuple[Sight, ...]:
    return tuple(
        Sight(line["index"], p["text"], p["vehicle"], as_quad(p["quad"]), p["visible"])
        for line in map(json.loads, TRUTH.read_text(encoding="utf-8").splitlines())
        for p in line["plates"]
    )


@lru_cache(maxsize=1)
def video() -> tuple[Luma, ...]:
    reader = cv2.VideoCapture(str(VIDEO))
    frames = []
    while True:
        more, picture = reader.read()
        if not more:
            break
        frames.append(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
    reader.release()
    return tuple(frames)


def of_vehicle(name: str) -> list[Sight]:
    return [s for s in sights() if s.vehicle == name]


def whole(sight: Sight) -> bool:
    inside = (sight.quad >= 0).all() and (sight.quad <= (1279, 719)).all()
    return bool(inside) and sight.visible > 0.95


def test_file_is_small_high_profile_and_starts_at_once() -> None:
    data = VIDEO.read_bytes()
    assert len(data) <= 2_500_000
    assert 0 < data.index(b"moov") < data.index(b"mdat"), "not laid out for a fast start"
    assert data[data.index(b"avcC") + 5] == 100, "not H.264 High"


def test_every_frame_is_there() -> None:
    frames = video()
    assert len(frames) == FRAMES
    assert {frame.shape for frame in frames} == {(720, 1280)}
    assert cv2.VideoCapture(str(VIDEO)).get(cv2.CAP_PROP_FPS) == pytest.approx(FPS)


def test_truth_lines_are_in_order_and_in_the_picture() -> None:
    indexes = [json.loads(line)["index"] for line in TRUTH.read_text(encoding="utf-8").splitlines()]
    assert indexes == sorted(set(indexes))
    assert indexes[0] >= 0 and indexes[-1] < FRAMES
    for sight in sights():
        assert 0.5 <= sight.visible <= 1
        centre = sight.quad.mean(axis=0)
        assert (centre >= 0).all() and (centre <= (1280, 720)).all()


@pytest.mark.parametrize("vehicle", [v.name for v in VEHICLES])
def test_every_vehicle_is_readable_for_a_while(vehicle: str) -> None:
    seen = [s for s in of_vehicle(vehicle) if whole(s)]
    assert sum(s.width >= 60 for s in seen) >= 20
    assert sum(s.width >= 80 for s in seen) >= 15


def test_texts_are_the_fictional_ones() -> None:
    assert {s.text for s in sights()} == set(FICTIONAL) == {v.plate.text for v in VEHICLES}


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_no_text_is_one_of_the_real_pictures() -> None:
    known = {
        plate["text"]
        for labels in DATA.glob("*/labels.jsonl")
        for line in labels.read_text(encoding="utf-8").splitlines()
        for plate in json.loads(line).get("plates", [])
    }
    assert len(known) > 100
    assert not known & set(FICTIONAL)


def test_truth_is_what_the_script_says() -> None:
    by_name = {v.name: v for v in VEHICLES}
    for sight in sights()[::7]:
        vehicle, second = by_name[sight.vehicle], sight.index / FPS
        corners = script.plate_corners(vehicle, script.pose(vehicle, second))
        quad, _ = script.camera(second).project(corners)
        np.testing.assert_allclose(sight.quad, quad, atol=0.02)


@pytest.mark.parametrize("vehicle", [v.name for v in VEHICLES])
def test_the_plate_lies_where_the_truth_says(vehicle: str) -> None:
    """A plate is brighter (or, light on dark, calmer) at its rim than the holder around it."""
    sight = max((s for s in of_vehicle(vehicle) if whole(s)), key=lambda s: s.width)
    frame = video()[sight.index]
    target = np.float32([[20, 20], [219, 20], [219, 79], [20, 79]])
    upright = cv2.warpPerspective(frame, cv2.getPerspectiveTransform(sight.quad, target), (240, 100)).astype(float)
    paper, ink = np.percentile(upright[24:76, 50:190], (90, 10))
    assert paper - ink > 35, "no letters there"
    if VEHICLES[[v.name for v in VEHICLES].index(vehicle)].plate.style == "dark":
        return
    rim = (upright[21:24, 60:180].mean() + upright[76:79, 60:180].mean()) / 2
    holder = (upright[15:18, 60:180].mean() + upright[82:85, 60:180].mean()) / 2
    assert rim > holder + 15


def test_one_vehicle_leaves_and_returns_within_its_passage() -> None:
    seconds = [s.index / FPS for s in of_vehicle("returning") if s.width > 60]
    pause = max(np.diff(seconds))
    assert TrackConfig().max_gap_s < pause < EventConfig().cooldown_s


def test_two_plates_are_in_view_most_of_the_time() -> None:
    counts = np.bincount([s.index for s in sights() if s.width >= 40], minlength=FRAMES)
    assert (counts >= 2).mean() > 0.6


def test_angles_sizes_and_kinds_are_spread() -> None:
    widths = [s.width for s in sights()]
    assert min(widths) < 40 and 240 < max(widths) < 300
    styles = {v.plate.style for v in VEHICLES}
    assert {"us", "eu", "square", "dark"} <= styles


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "fonts").is_dir(), reason="../shared/data/fonts is not here")
def test_the_file_is_what_the_generator_draws() -> None:
    pytest.importorskip("PIL", reason="needs the train extra")
    from training.drive.stage import Stage  # noqa: PLC0415

    drawn, _ = Stage(DATA / "fonts").frame(340)
    assert cv2.PSNR(cv2.cvtColor(drawn, cv2.COLOR_BGR2GRAY), video()[340]) > 30
