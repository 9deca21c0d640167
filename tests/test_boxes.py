"""What the common exports of box detectors answer, turned into scores and quads."""

from __future__ import annotations

import numpy as np
import pytest

from edge_alpr.boxes import FORMATS, FormatName
from edge_alpr.errors import ModelError
from edge_alpr.geometry import points_box
from edge_alpr.types import Floats

BOXES = np.array([[100, 50, 160, 70], [300, 200, 348, 216], [10, 10, 600, 300]], np.float32)
"""Corners, from the outer corner of the first pixel."""
SCORES = np.array([0.9, 0.5, 0.8], np.float32)
CLASSES = [1, 1, 0]
"""The third is a car."""
BOX_FORMATS: tuple[FormatName, ...] = ("yolov5", "yolov7-nms", "yolov8", "yolov10")


def answer(name: FormatName, boxes: Floats = BOXES, scores: Floats = SCORES) -> list[Floats]:
    """The boxes above as an export of that format says them."""
    middles = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    classes = np.array(CLASSES, np.float32)[:, None]
    chances = np.eye(2, dtype=np.float32)[CLASSES]
    one, column = np.zeros((len(boxes), 1), np.float32), scores[:, None]
    return {
        "yolov5": [np.concatenate([middles, column, chances], axis=1)[None]],
        "yolov7-nms": [np.concatenate([one, boxes, classes, column], axis=1)],
        "yolov8": [np.concatenate([middles, chances * column], axis=1).T[None]],
        "yolov10": [np.concatenate([boxes, column, classes], axis=1)[None]],
    }[name]


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_plates_over_the_threshold_are_picked_as_upright_quads(name: FormatName) -> None:
    scores, quads = FORMATS[name].pick(answer(name), (1,), 0.45)
    assert scores == pytest.approx([0.9, 0.5])
    assert np.shape(quads) == (2, 4, 2)
    np.testing.assert_allclose([points_box(quad) for quad in quads], BOXES[:2] - 0.5, atol=1e-3)
    np.testing.assert_allclose(quads[0], [[99.5, 49.5], [159.5, 49.5], [159.5, 69.5], [99.5, 69.5]], atol=1e-3)


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_several_classes_may_be_plates(name: FormatName) -> None:
    assert len(FORMATS[name].pick(answer(name), (0, 1), 0.45)[0]) == 3
    assert len(FORMATS[name].pick(answer(name), (0, 1), 0.85)[0]) == 1
    assert FORMATS[name].pick(answer(name), (0,), 0.45)[0] == pytest.approx([0.8])


@pytest.mark.parametrize("name", BOX_FORMATS)
@pytest.mark.parametrize("score", [np.nan, np.inf, -0.2, 3.0])
def test_scores_that_are_none_are_an_error_not_an_empty_street(name: FormatName, score: float) -> None:
    spoiled = np.array([0.9, score, 0.8], np.float32)
    with pytest.raises(ModelError, match="scores"), np.errstate(invalid="ignore"):
        FORMATS[name].pick(answer(name, scores=spoiled), (1,), 0.5)


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_no_box_at_all_is_no_plate(name: FormatName) -> None:
    (whole,) = answer(name)
    axis = {"yolov8": 2, "yolov7-nms": 0}.get(name, 1)
    scores, quads = FORMATS[name].pick([whole.take([], axis)], (1,), 0.5)
    assert (scores, quads) == ([], [])


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_boxes_that_are_not_finite_raise_nothing(name: FormatName) -> None:
    boxes = BOXES.copy()
    boxes[0] = [-3e38, 0, 3e38, np.inf]
    with np.errstate(all="ignore"):
        outputs = answer(name, boxes=boxes)
    with np.errstate(all="raise"):
        assert len(FORMATS[name].pick(outputs, (1,), 0.45)[0]) == 2


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_the_shapes_are_those_of_the_answers(name: FormatName) -> None:
    (shape,) = FORMATS[name].shapes(0, 2)
    assert all(want in (0, side) for want, side in zip(shape, answer(name)[0].shape, strict=True))
