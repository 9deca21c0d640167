"""Quads, boxes and the upright crop: pure NumPy and OpenCV, no state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike

from edge_alpr.types import Box, Floats, Luma

Rect: TypeAlias = tuple[float, float, float, float]
"""A box: xmin, ymin, xmax, ymax."""
Points: TypeAlias = Sequence[Sequence[float]]
"""Points x, y; a quad's four as plain numbers, which Python counts with faster than with an array of eight."""

CROP_HEIGHT, CROP_WIDTH = 32, 128
CROP_MARGIN_X, CROP_MARGIN_Y = 0.06, 0.14
"""Share of the crop left free on each side, so that a corner a few pixels off cuts no character."""
_AREA_BELOW = 1 / 1.5
_MOST_SIDE = 32000
"""Pixels a side that OpenCV warps (it counts them in 16 bits)."""


@dataclass(frozen=True, slots=True)
class CropShape:
    """Size of the upright crop in pixels, and the share of it left free on each side of the plate."""

    width: int = CROP_WIDTH
    height: int = CROP_HEIGHT
    margin_x: float = CROP_MARGIN_X
    margin_y: float = CROP_MARGIN_Y


CROP = CropShape()
"""The crop of the shipped reader."""


def as_quad(points: ArrayLike) -> Floats:
    """Take eight numbers or four points as a (4, 2) float32 quad."""
    return np.asarray(points, np.float32).reshape(4, 2)


def box_quad(xmin: float, ymin: float, xmax: float, ymax: float) -> Floats:
    """The quad of an upright box."""
    return as_quad([xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax])


def quad_box(quad: Floats) -> Rect:
    """The upright box around a quad."""
    return points_box(quad.tolist())


def points_box(points: Points) -> Rect:
    """The upright box around points."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def pixel_box(quad: Floats, width: int, height: int) -> Box:
    """The box around a quad, rounded and cut to the frame."""
    x0, y0, x1, y1 = quad_box(quad)
    return Box(
        xmin=round(min(max(x0, 0), width - 1)),
        ymin=round(min(max(y0, 0), height - 1)),
        xmax=round(min(max(x1, 0), width - 1)),
        ymax=round(min(max(y1, 0), height - 1)),
    )


def quad_size(quad: Floats) -> tuple[float, float]:
    """Mean width (along the text) and mean height of a quad, in pixels."""
    a, b, c, d = quad.tolist()
    return (math.dist(a, b) + math.dist(c, d)) / 2, (math.dist(b, c) + math.dist(d, a)) / 2


def box_iou(a: Rect | Floats, b: Rect | Floats) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return float(inter / total) if total > 0 else 0.0


def crop_corners(shape: CropShape = CROP) -> Floats:
    """Where the four corners of a plate come to lie in the crop."""
    mx, my = shape.margin_x * shape.width, shape.margin_y * shape.height
    return box_quad(mx, my, shape.width - mx, shape.height - my)


_corners = lru_cache(maxsize=8)(crop_corners)
"""The same, kept: nobody may write to it."""


def rectify(luma: Luma, quad: Floats, shape: CropShape = CROP) -> Luma:
    """Warp the plate inside `quad` upright: (shape.height, shape.width) uint8, a new array.

    Where the crop is much smaller than the plate, the region is shrunk first so that no detail aliases.
    """
    quad = as_quad(quad)
    width, height = quad_size(quad)
    shrink = int(min(width / shape.width, height / shape.height))
    if shrink >= 2 or max(luma.shape) > _MOST_SIDE:
        luma, quad = _shrunk_region(luma, quad, max(shrink, 1))
    matrix = cv2.getPerspectiveTransform(quad, _corners(shape))
    return np.asarray(
        cv2.warpPerspective(
            luma, matrix, (shape.width, shape.height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ),
        np.uint8,
    )


def resized(luma: Luma, size: tuple[int, int], out: Luma | None = None) -> Luma:
    """A picture (H, W) uint8 at another size (width, height), in `out` or a new array; see `halvings`.

    What halving leaves is averaged over areas where it shrinks to less than two thirds, and interpolated elsewhere.
    """
    for half in halvings((luma.shape[1], luma.shape[0]), size):
        luma = np.asarray(cv2.resize(luma, half, interpolation=cv2.INTER_AREA), np.uint8)
    averaged = shrinks_by_areas((luma.shape[1], luma.shape[0]), size)
    way = cv2.INTER_AREA if averaged else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(luma, size, dst=out, interpolation=way), np.uint8)


def halvings(source: tuple[int, int], size: tuple[int, int]) -> list[tuple[int, int]]:
    """The sizes (width, height) on the way from `source` to less than twice `size`, each half of the one before.

    The mean of 2x2 pixels is many times quicker than that of any other area. Sides that are odd are not halved.
    """
    (width, height), sizes = source, []
    while width > 2 * size[0] and height > 2 * size[1] and width % 2 == height % 2 == 0:
        width, height = width // 2, height // 2
        sizes.append((width, height))
    return sizes


def shrinks_by_areas(source: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a picture is averaged over areas on its way to `size`, rather than interpolated."""
    return min(size[0] / source[0], size[1] / source[1]) < _AREA_BELOW


def _shrunk_region(luma: Luma, quad: Floats, shrink: int) -> tuple[Luma, Floats]:
    x0, y0, x1, y1 = quad_box(quad)
    pad_x, pad_y = 0.2 * (x1 - x0), 0.4 * (y1 - y0)
    left, right = _span(x0 - pad_x, x1 + pad_x, luma.shape[1])
    top, bottom = _span(y0 - pad_y, y1 + pad_y, luma.shape[0])
    size = tuple(min(max(1, side // shrink), _MOST_SIDE) for side in (right - left, bottom - top))
    small = cv2.resize(luma[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    scale = np.array([size[0] / (right - left), size[1] / (bottom - top)], np.float32)
    return np.asarray(small, np.uint8), ((quad - (left, top) + 0.5) * scale - 0.5).astype(np.float32)


def _span(low: float, high: float, side: int) -> tuple[int, int]:
    """The pixels from `low` to `high` that exist, at least one of `side`."""
    first = min(max(0, int(low)), side - 1)
    return first, max(first + 1, min(side, int(high) + 1))


def normalise_light(crop: Luma) -> Luma:
    """Bring a crop to mean 128 and standard deviation 52, clipped to 0..255; a new uint8 array."""
    mean, std = (float(v[0, 0]) for v in cv2.meanStdDev(crop))
    gain = min(52.0 / max(std, 1e-3), 12.0)
    return np.asarray(cv2.addWeighted(crop, gain, crop, 0.0, 128.0 - mean * gain), np.uint8)
