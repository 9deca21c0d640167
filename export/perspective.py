"""Cutting plates out of a frame inside a graph: what `geometry.rectify` and `normalise_light` do on the CPU.

All plates are sampled in one go: their grids lie below each other on one frame, so the frame is not repeated
for each plate as GridSample would want it for a batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_alpr.geometry import CROP_HEIGHT, CROP_MARGIN_X, CROP_MARGIN_Y, CROP_WIDTH
from edge_alpr.stages.rectify import FLAT_STD
from export.nodes import Nodes

SAMPLES = 4
"""Samples along each side of a crop pixel; they fall together where the plate is not shrunk."""
REACH = 1.5
"""How far the samples of a shrunk plate spread, in pixels of the shrunk region."""
_Doubles = NDArray[np.float64]
_LEAST_DEPTH = 1e-3
"""Least denominator of the perspective; quads that reach it are no plates."""


def upright(nodes: Nodes, light: str, quads: str, size: tuple[int, int]) -> str:
    """Crops (N, 1, CROP_HEIGHT, CROP_WIDTH) of `light` (1, 1, H, W) within `quads` (N, 4, 2); size is (W, H)."""
    apart = nodes.op("Unsqueeze", quads, nodes.whole([1]))
    points = _frame_points(nodes, nodes.split(apart, 4, axis=2))
    inside = _sampling(nodes, points, size)
    grid = nodes.op("Reshape", inside, nodes.whole([1, -1, CROP_WIDTH * SAMPLES, 2]))
    fine = nodes.op("GridSample", light, grid, mode="bilinear", padding_mode="border", align_corners=1)
    means = nodes.op("AveragePool", fine, kernel_shape=[SAMPLES] * 2, strides=[SAMPLES] * 2)
    return nodes.op("Reshape", nodes.rounded(means), nodes.whole([-1, 1, CROP_HEIGHT, CROP_WIDTH]))


def window_of(nodes: Nodes, light: str, window: str, size: tuple[int, int], shape: tuple[int, int]) -> str:
    """The window (1, 1, rows, columns) of `light` (1, 1, H, W): `window` (1, 3) is scale and shift; size is (W, H).

    What `stages.near` has cut by OpenCV, to whole grey levels.
    """
    rows, columns = shape
    place = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)[None]
    scale, x, y = nodes.split(nodes.op("Reshape", window, nodes.whole([1, 1, 1, 3])), 3, axis=3)
    shift = nodes.op("Concat", x, y, axis=3)
    points = nodes.op("Div", nodes.op("Sub", nodes.number(place), shift), scale)
    grid = _sampling(nodes, points, size)
    return nodes.rounded(nodes.op("GridSample", light, grid, mode="bilinear", padding_mode="border", align_corners=1))


def _sampling(nodes: Nodes, points: str, size: tuple[int, int]) -> str:
    """Points in frame pixels, as GridSample wants them; beyond the border it goes on."""
    last = np.maximum(np.array(size, np.float32) - 1, 1)
    spread = nodes.op("Sub", nodes.op("Mul", points, nodes.number(2 / last)), nodes.number(1.0))
    return nodes.op("Clip", spread, nodes.number(-1.0), nodes.number(1.0))


def _frame_points(nodes: Nodes, corners: list[str]) -> str:
    """Where the samples of the crops lie in the frame, (N, rows, columns, 2): x, y. `corners` are (N, 1, 1, 2)."""
    p0, p1, p2, p3 = corners
    g, h = _tilt(nodes, p0, p1, p2, p3)
    along = nodes.op("Add", nodes.op("Sub", p1, p0), nodes.op("Mul", g, p1))
    down = nodes.op("Add", nodes.op("Sub", p3, p0), nodes.op("Mul", h, p3))
    u, v = _square_points(nodes, corners)
    step = nodes.op("Add", nodes.op("Mul", along, u), nodes.op("Mul", down, v))
    tilt = nodes.op("Add", nodes.op("Mul", g, u), nodes.op("Mul", h, v))
    depth = nodes.op("Max", nodes.op("Add", tilt, nodes.number(1.0)), nodes.number(_LEAST_DEPTH))
    return nodes.op("Div", nodes.op("Add", step, p0), depth)


def _tilt(nodes: Nodes, p0: str, p1: str, p2: str, p3: str) -> tuple[str, str]:
    """The two perspective terms of the map from the unit square to a quad, (N, 1, 1, 1) each, in closed form."""
    right, below = nodes.op("Sub", p1, p2), nodes.op("Sub", p3, p2)
    skew = nodes.op("Sub", nodes.op("Sub", p0, p3), right)
    area = _cross(nodes, right, below)
    flat = nodes.op("Equal", area, nodes.number(0.0))
    area = nodes.op("Where", flat, nodes.number(1.0), area)
    return nodes.op("Div", _cross(nodes, skew, below), area), nodes.op("Div", _cross(nodes, right, skew), area)


def _cross(nodes: Nodes, a: str, b: str) -> str:
    (ax, ay), (bx, by) = nodes.split(a, 2, axis=3), nodes.split(b, 2, axis=3)
    return nodes.op("Sub", nodes.op("Mul", ax, by), nodes.op("Mul", ay, bx))


def _square_points(nodes: Nodes, corners: list[str]) -> tuple[str, str]:
    """The samples in the unit square: (N, 1, columns, 1) and (N, rows, 1, 1).

    A plate that is `shrink` times as large as the crop, rounded down, is averaged over so many frame pixels.
    """
    p0, p1, p2, p3 = corners
    width = _mean_length(nodes, (p0, p1), (p3, p2))
    height = _mean_length(nodes, (p0, p3), (p1, p2))
    across = nodes.op("Mul", width, nodes.number(1 / CROP_WIDTH))
    along = nodes.op("Mul", height, nodes.number(1 / CROP_HEIGHT))
    shrink = nodes.op("Floor", nodes.op("Min", across, along))
    large = nodes.op("GreaterOrEqual", shrink, nodes.number(2.0))
    reach = nodes.op("Mul", nodes.op("Where", large, shrink, nodes.number(0.0)), nodes.number(REACH))
    u, du = (values[None, None, :, None] for values in _axis(CROP_WIDTH, CROP_MARGIN_X))
    v, dv = (values[None, :, None, None] for values in _axis(CROP_HEIGHT, CROP_MARGIN_Y))
    wide = nodes.op("Mul", nodes.op("Div", reach, width), nodes.number(du))
    high = nodes.op("Mul", nodes.op("Div", reach, height), nodes.number(dv))
    return nodes.op("Add", wide, nodes.number(u)), nodes.op("Add", high, nodes.number(v))


def _mean_length(nodes: Nodes, *edges: tuple[str, str]) -> str:
    """Mean length of two edges, (N, 1, 1, 1), at least one pixel."""
    lengths = [nodes.op("ReduceL2", nodes.op("Sub", b, a), axes=[3], keepdims=1) for a, b in edges]
    mean = nodes.op("Mul", nodes.op("Add", *lengths), nodes.number(0.5))
    return nodes.op("Max", mean, nodes.number(1.0))


def _axis(size: int, margin: float) -> tuple[_Doubles, _Doubles]:
    """Place of the samples' pixels in the unit square, and of each sample within its pixel (-0.5 to 0.5)."""
    offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    place = (np.arange(size) - margin * size) / (size * (1 - 2 * margin))
    return np.repeat(place, SAMPLES), np.tile(offsets, size)


def mean_and_std(nodes: Nodes, crops: str) -> tuple[str, str]:
    """Of each crop (N, 1, h, w): what its light differs from its mean, and the standard deviation (N, 1, 1, 1)."""
    mean = nodes.op("ReduceMean", crops, axes=[2, 3], keepdims=1)
    centred = nodes.op("Sub", crops, mean)
    variance = nodes.op("ReduceMean", nodes.op("Mul", centred, centred), axes=[2, 3], keepdims=1)
    return centred, nodes.op("Sqrt", variance)


def normalised(nodes: Nodes, centred: str, std: str) -> str:
    """Mean 128, standard deviation 52, clipped to 0..255."""
    least = nodes.op("Max", std, nodes.number(1e-3))
    gain = nodes.op("Min", nodes.op("Div", nodes.number(52.0), least), nodes.number(12.0))
    light = nodes.op("Add", nodes.op("Mul", centred, gain), nodes.number(128.5))
    return nodes.op("Floor", nodes.op("Clip", light, nodes.number(0.0), nodes.number(255.0)))


def sharpness(nodes: Nodes, centred: str, std: str) -> str:
    """Variance of the Laplacian over the variance of the light, (N, 1, 1, 1); 0 for a flat crop."""
    framed = nodes.op("Pad", centred, nodes.whole([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect")
    kernel = nodes.number([[[[0, 1, 0], [1, -4, 1], [0, 1, 0]]]])
    _, edges = mean_and_std(nodes, nodes.op("Conv", framed, kernel, kernel_shape=[3, 3]))
    ratio = nodes.op("Div", edges, nodes.op("Max", std, nodes.number(FLAT_STD)))
    flat = nodes.op("Less", std, nodes.number(FLAT_STD))
    return nodes.op("Where", flat, nodes.number(0.0), nodes.op("Mul", ratio, ratio))
