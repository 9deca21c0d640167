"""Corners of the real plates, which nobody labelled: a detector looks at each of them several times, close by.

From near, a plate's corners are exact to a small share of its width; from afar the network then learns to be so too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_alpr.app import open_detector
from edge_alpr.config import Config, ModelsConfig
from edge_alpr.geometry import box_iou, quad_box

Floats = NDArray[np.float32]
Luma = NDArray[np.uint8]
Find = Callable[[Luma], Sequence[Floats]]
"""Quads (4, 2) of a picture in its pixels."""

VIEW = (640, 384)
VIEWS = tuple((width, x, y) for width in (90.0, 130.0, 180.0) for x, y in ((0.5, 0.5), (0.44, 0.55)))
"""Width of the plate in a view, and where in it its middle lies."""
MOST_ENLARGED = 3.0
LEAST_OVERLAP, MOST_SPREAD = 0.55, 0.03
"""A view counts from this IoU with the label; corners hold if they vary by less than this share of the width."""


def shipped_detector() -> Find:
    """The detector of the installed package."""
    detect = open_detector(Config(models=ModelsConfig(precision="full"))).detect
    return lambda luma: [detection.quad for detection in detect(luma)]


def corners(find: Find, luma: Luma, box: Floats) -> Floats | None:
    """The quad (4, 2) of the plate in `box`, in pixels of `luma`; None where the views do not agree."""
    seen = [quad for view in VIEWS if (quad := _look(find, luma, box, view)) is not None]
    if len(seen) < 3:
        return None
    quad = np.median(seen, axis=0)
    spread = np.abs(np.array(seen) - quad).mean(axis=0).max()
    return np.asarray(quad, np.float32) if spread < MOST_SPREAD * (box[2] - box[0]) else None


def _look(find: Find, luma: Luma, box: Floats, view: tuple[float, float, float]) -> Floats | None:
    width, x, y = view
    scale = width / float(box[2] - box[0])
    if scale > MOST_ENLARGED:
        return None
    middle = (box[:2] + box[2:]) / 2
    shift = np.array([x * VIEW[0], y * VIEW[1]]) - scale * middle
    if scale < 0.7:
        part = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    else:
        part, matrix = luma, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    window = np.asarray(cv2.warpAffine(part, matrix, VIEW, flags=cv2.INTER_LINEAR, borderValue=114.0), np.uint8)
    quads = [np.asarray((quad - shift) / scale, np.float32) for quad in find(window)]
    best = max(quads, key=lambda quad: box_iou(quad_box(quad), box), default=None)
    return best if best is not None and box_iou(quad_box(best), box) > LEAST_OVERLAP else None
