"""What detectors answer, by name: from raw outputs to scores and quads. Pure NumPy, no state.

Boxes count pixels of the network's input from the outer corner of the first pixel, quads from its centre (see
`types`): hence the half pixel. All arrays are float32; N may be 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_alpr.errors import ModelError
from edge_alpr.types import Floats

FormatName: TypeAlias = Literal["quads", "yolov5", "yolov7-nms", "yolov8", "yolov10"]
Outputs: TypeAlias = Sequence[NDArray[Any]]
Picked: TypeAlias = tuple[list[float], list[list[list[float]]]]
"""Scores and quads, in input pixels, of the same number; plain numbers, as they are few."""
Shapes: TypeAlias = tuple[tuple[int, ...], ...]
_MOST = 1.001
"""A score may be so much over 1 by rounding."""


@dataclass(frozen=True, slots=True)
class Format:
    """One way to answer."""

    pick: Callable[[Outputs, tuple[int, ...], float], Picked]
    """Takes the outputs, the classes that are plates and the least score; gives what scores at least that.

    Raises `ModelError` for scores that are no probabilities: that is a broken network, not an empty street.
    """
    shapes: Callable[[int, int], Shapes]
    """Output shapes for a top K and a number of classes; 0 may be any number."""


def pick_quads(outputs: Outputs, plates: tuple[int, ...], least: float) -> Picked:
    """Scores (1, K) and quads (1, K, 4, 2) as they are."""
    scores, quads = outputs[0][0].tolist(), outputs[1][0]
    _check(all(0 <= score <= _MOST for score in scores))
    hits = [index for index, score in enumerate(scores) if score >= least]
    return [scores[index] for index in hits], [quads[index].tolist() for index in hits]


def pick_yolov8(outputs: Outputs, plates: tuple[int, ...], least: float) -> Picked:
    """(1, 4 + C, N): middle x and y, width, height, then a score for each class."""
    rows = outputs[0][0]
    scores = rows[4:][list(plates)].max(axis=0)
    hits = _hits(scores, least)
    return scores[hits].tolist(), _middle_quads(rows[:4, hits].T)


def pick_yolov5(outputs: Outputs, plates: tuple[int, ...], least: float) -> Picked:
    """(1, N, 5 + C): middle x and y, width, height, objectness, then a score for each class."""
    rows = outputs[0][0]
    scores = rows[:, 4] * rows[:, 5:][:, list(plates)].max(axis=1)
    hits = _hits(scores, least)
    return scores[hits].tolist(), _middle_quads(rows[hits, :4])


def pick_yolov10(outputs: Outputs, plates: tuple[int, ...], least: float) -> Picked:
    """(1, N, 6), already without doubles: xmin, ymin, xmax, ymax, score, class."""
    rows = outputs[0][0]
    return _of_classes(rows[:, :4], rows[:, 4], rows[:, 5], plates, least)


def pick_yolov7_nms(outputs: Outputs, plates: tuple[int, ...], least: float) -> Picked:
    """(N, 7), already without doubles: picture, xmin, ymin, xmax, ymax, class, score."""
    rows = outputs[0]
    return _of_classes(rows[:, 1:5], rows[:, 6], rows[:, 5], plates, least)


def _of_classes(boxes: Floats, scores: Floats, classes: Floats, plates: tuple[int, ...], least: float) -> Picked:
    hits = _hits(scores, least)
    hits = hits[np.isin(classes[hits], plates)]
    return scores[hits].tolist(), _corner_quads(boxes[hits])


def _hits(scores: Floats, least: float) -> NDArray[np.intp]:
    _check(bool(np.all((scores >= 0) & (scores <= _MOST))))
    return np.flatnonzero(scores >= least)


def _check(fine: bool) -> None:
    if not fine:
        raise ModelError(
            "the detector gives scores that are not between 0 and 1; use another package ([models] detector)"
        )


def _middle_quads(boxes: Floats) -> list[list[list[float]]]:
    """Quads of boxes (N, 4) of middle, width and height."""
    half = boxes[:, 2:] / 2
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is no plate, and goes later
        return _corner_quads(np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1))


def _corner_quads(boxes: Floats) -> list[list[list[float]]]:
    """Quads of boxes (N, 4) of two corners."""
    quads: list[list[list[float]]] = (boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]] - np.float32(0.5)).reshape(-1, 4, 2).tolist()
    return quads


FORMATS: dict[FormatName, Format] = {
    "quads": Format(pick_quads, lambda top_k, classes: ((1, top_k), (1, top_k, 4, 2))),
    "yolov5": Format(pick_yolov5, lambda top_k, classes: ((1, top_k, 5 + classes),)),
    "yolov7-nms": Format(pick_yolov7_nms, lambda top_k, classes: ((0, 7),)),
    "yolov8": Format(pick_yolov8, lambda top_k, classes: ((1, 4 + classes, top_k),)),
    "yolov10": Format(pick_yolov10, lambda top_k, classes: ((1, top_k, 6),)),
}
