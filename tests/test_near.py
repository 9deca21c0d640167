"""The second look: corners from the frame's own pixels, and never another plate's."""

from __future__ import annotations

import json
from importlib.resources import files

import cv2
import numpy as np
import pytest

from edge_alpr.app import open_detector
from edge_alpr.config import Config, DetectConfig
from edge_alpr.geometry import box_iou, box_quad, quad_box
from edge_alpr.stages.near import Near
from edge_alpr.types import Detection, Luma

PLATE = np.array([[600, 402], [661, 400], [662, 415], [601, 417]], np.float32)


def frame(*plates: np.ndarray) -> Luma:
    luma = np.full((720, 1280), 50, np.uint8)
    for plate in plates:
        cv2.fillConvexPoly(luma, np.int32(np.round(plate * 16)), 250, cv2.LINE_AA, 4)
    return luma


def bright(luma: Luma) -> list[Detection]:
    """The smallest turned rectangle around each bright thing, clockwise from top left."""
    shapes, _ = cv2.findContours(np.uint8(luma > 150), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [Detection(_clockwise(cv2.boxPoints(cv2.minAreaRect(shape))), 0.9) for shape in shapes if len(shape) > 8]


def _clockwise(points: np.ndarray) -> np.ndarray:
    left, right = np.split(points[np.argsort(points[:, 0])], 2)
    (tl, bl), (tr, br) = left[np.argsort(left[:, 1])], right[np.argsort(right[:, 1])]
    return np.float32([tl, tr, br, bl])


def found(quad: np.ndarray, score: float = 0.7) -> list[Detection]:
    return [Detection(np.asarray(quad, np.float32), score)]


def near(first: list[Detection], look=bright) -> Near:
    return Near(lambda _: first, look, (96, 160), (384, 640))


def test_loose_corners_become_those_of_the_frame() -> None:
    (seen,) = near(found(PLATE + np.float32([[-9, -5], [6, -2], [9, 4], [-2, 6]])))(frame(PLATE))
    assert np.abs(seen.quad - PLATE).max() < 1.5
    assert seen.score == 0.7
    assert seen.quad.dtype == np.float32


def test_two_finds_of_one_plate_become_one() -> None:
    halves = [*found(PLATE - np.float32([20, 0])), *found(PLATE + np.float32([20, 0]), 0.6)]
    assert box_iou(quad_box(halves[0].quad), quad_box(halves[1].quad)) < 0.4
    (seen,) = near(halves)(frame(PLATE))
    assert seen.score == 0.7


def test_a_plate_that_the_frame_cuts_keeps_its_corners() -> None:
    plate = PLATE - np.float32([620, 400])
    first = found(plate)
    assert near(first)(frame(plate))[0] is first[0]


@pytest.mark.parametrize("look", [lambda _: [], lambda _: found(box_quad(1, 1, 40, 12))], ids=["nothing", "another"])
def test_corners_stay_where_the_second_look_sees_no_such_plate(look) -> None:
    first = found(PLATE)
    assert near(first, look)(frame(PLATE))[0] is first[0]


def test_the_plate_itself_is_taken_and_not_its_neighbour() -> None:
    other = PLATE + np.float32([0, 26])
    (seen,) = near(found(PLATE + 3))(frame(PLATE, other))
    assert np.abs(seen.quad - PLATE).max() < 1.5


def test_large_plates_and_small_frames_have_nothing_more_to_show() -> None:
    large = found(box_quad(100, 100, 700, 240))
    assert near(large)(frame())[0] is large[0]
    small = found(PLATE - [300, 100])
    assert near(small)(np.zeros((384, 640), np.uint8))[0] is small[0]
    assert near([])(frame()) == []


@pytest.fixture(scope="module")
def sample_truth() -> list[tuple[Luma, np.ndarray]]:
    """Frames of the sample drive, every thirtieth, each with the quad of a plate that is whole in it."""
    lines = (files("edge_alpr.samples") / "drive.jsonl").read_text().splitlines()
    clip, seen = cv2.VideoCapture(str(files("edge_alpr.samples") / "drive.mp4")), []
    for line in map(json.loads, lines):
        there, picture = clip.read()
        if not there:
            break
        if line["index"] % 30 == 0:
            luma = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            seen += [(luma, np.float32(plate["quad"])) for plate in line["plates"] if plate["visible"] == 1.0]
    return seen


def test_the_shipped_second_look_brings_corners_nearer_to_the_truth(sample_truth) -> None:
    once, twice = (
        open_detector(Config(detect=DetectConfig(look_again=again))).detect for again in (False, True)
    )
    off = np.array([[_off(detect(luma), quad) for detect in (once, twice)] for luma, quad in sample_truth])
    both = off[np.isfinite(off).all(axis=1)]
    assert len(both) > 20
    assert both[:, 1].mean() < both[:, 0].mean()


def _off(seen: list[Detection], quad: np.ndarray) -> float:
    """Mean distance of the corners of the plate nearest to `quad`, in plate heights; infinite where it is missed."""
    best = max(seen, key=lambda d: box_iou(quad_box(d.quad), quad_box(quad)), default=None)
    if best is None or box_iou(quad_box(best.quad), quad_box(quad)) < 0.3:
        return np.inf
    return float(np.hypot(*(best.quad - quad).T).mean() / np.hypot(*(quad[3] - quad[0])))
