"""Resizing inside a graph: the same picture as OpenCV's on the CPU, but for its rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_alpr.stages.detect import AREA_BELOW, Letterbox
from export.nodes import Nodes

Weights = NDArray[np.float32]


def area_matrix(source: int, target: int) -> Weights:
    """Means over areas, (target, source): cell i of the target covers [i, i + 1) * source / target."""
    edges = np.arange(target + 1) * (source / target)
    first, last = edges[:-1, None], edges[1:, None]
    pixel = np.arange(source)[None]
    covered = np.clip(np.minimum(last, pixel + 1) - np.maximum(first, pixel), 0, None)
    return np.asarray(covered / covered.sum(axis=1, keepdims=True), np.float32)


def linear_matrix(source: int, target: int) -> Weights:
    """Interpolation between the two nearest pixels, (target, source); the border repeats."""
    place = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    low = np.minimum(place.astype(int), max(source - 2, 0))
    rows, share = np.arange(target), place - low
    matrix = np.zeros((target, source))
    matrix[rows, low] += 1 - share
    matrix[rows, np.minimum(low + 1, source - 1)] += share
    return np.asarray(matrix, np.float32)


def whole_factors(fit: Letterbox) -> tuple[int, int] | None:
    """How many rows and columns become one, where that is a whole number of each."""
    (width, height), (to_width, to_height) = fit.frame, fit.size
    if width % to_width or height % to_height:
        return None
    return height // to_height, width // to_width


def matrices(fit: Letterbox) -> tuple[Weights, Weights]:
    """The matrices of rows and of columns that do what the CPU's letterbox does."""
    make = area_matrix if float(fit.scale.min()) < AREA_BELOW else linear_matrix
    (width, height), (to_width, to_height) = fit.frame, fit.size
    return make(height, to_height), make(width, to_width)


def multiplications(fit: Letterbox) -> int:
    """How many a frame takes in the graph that `resize` writes."""
    (width, height), (to_width, to_height) = fit.frame, fit.size
    if whole_factors(fit):
        return width * height
    return min(to_height * width * (height + to_width), to_width * height * (width + to_height))


def resize(nodes: Nodes, light: str, fit: Letterbox) -> str:
    """Add nodes that bring `light` (1, 1, H, W) to the size of the letterbox; the name of the result.

    Rounded like the CPU's bytes: the networks' corners jump where light differs by less than a grey level.
    Whole factors are a mean over blocks, which costs next to nothing; others are two products with constant
    matrices, the cheaper order first.
    """
    factors = whole_factors(fit)
    if factors == (1, 1):
        return light
    if factors:
        return nodes.rounded(nodes.op("AveragePool", light, kernel_shape=list(factors), strides=list(factors)))
    rows, columns = matrices(fit)
    down, across = nodes.number(rows[None, None]), nodes.number(columns.T[None, None])
    (width, height), (to_width, to_height) = fit.frame, fit.size
    if to_height * width * (height + to_width) <= to_width * height * (width + to_height):
        return nodes.rounded(nodes.op("MatMul", nodes.op("MatMul", down, light), across))
    return nodes.rounded(nodes.op("MatMul", down, nodes.op("MatMul", light, across)))
