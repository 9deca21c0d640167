"""Resizing inside a graph: the same picture as OpenCV's on the CPU, but for its rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_alpr.geometry import halvings, shrinks_by_areas
from edge_alpr.stages.detect import Letterbox
from export.nodes import Nodes

Weights = NDArray[np.float32]


def area_matrix(source: int, target: int) -> Weights:
    """Means over areas, (target, source): cell i of the target covers [i, i + 1) * source / target."""
    edges = np.arange(target + 1) * (source / target)
    first, last = edges[:-1, None], edges[1:, None]
    pixel = np.arange(source)[None]
    covered = np.clip(np.minimum(last, pixel + 1) - np.maximum(first, pixel), 0, None)
    return np.asarray(covered / covered.sum(axis=1, keepdims=True), np.float32)


def rest(fit: Letterbox) -> tuple[int, int]:
    """Width and height of the frame when it has been halved as often as the CPU's letterbox does."""
    return [fit.frame, *halvings(fit.frame, fit.size)][-1]


def whole_factors(fit: Letterbox) -> tuple[int, int] | None:
    """How many rows and columns of what halving leaves become one, where that is a whole number of each."""
    (width, height), (to_width, to_height) = rest(fit), fit.size
    if width % to_width or height % to_height:
        return None
    return height // to_height, width // to_width


def multiplications(fit: Letterbox) -> int:
    """How many a frame takes in the graph that `resize` writes."""
    (width, height), (to_width, to_height) = rest(fit), fit.size
    pixels = sum(w * h for w, h in [fit.frame, *halvings(fit.frame, fit.size)])
    if whole_factors(fit) or not shrinks_by_areas((width, height), fit.size):
        return pixels
    return pixels + min(to_height * width * (height + to_width), to_width * height * (width + to_height))


def resize(nodes: Nodes, light: str, fit: Letterbox) -> str:
    """Add nodes that bring `light` (1, 1, H, W) to the size of the letterbox; the name of the result.

    Rounded like the CPU's bytes: the networks' corners jump where light differs by less than a grey level.
    Halves and whole factors are a mean over blocks, which costs next to nothing. Other areas are two products with
    constant matrices, the cheaper order first.
    """
    for _ in halvings(fit.frame, fit.size):
        light = _blocks(nodes, light, (2, 2))
    factors, source = whole_factors(fit), rest(fit)
    if factors == (1, 1):
        return light
    if factors:
        return _blocks(nodes, light, factors)
    if not shrinks_by_areas(source, fit.size):
        size = nodes.whole([1, 1, fit.size[1], fit.size[0]])
        return nodes.rounded(nodes.op("Resize", light, "", "", size, mode="linear"))
    return nodes.rounded(_by_areas(nodes, light, source, fit.size))


def _blocks(nodes: Nodes, light: str, factors: tuple[int, int]) -> str:
    return nodes.rounded(nodes.op("AveragePool", light, kernel_shape=list(factors), strides=list(factors)))


def _by_areas(nodes: Nodes, light: str, source: tuple[int, int], size: tuple[int, int]) -> str:
    (width, height), (to_width, to_height) = source, size
    down = nodes.number(area_matrix(height, to_height)[None, None])
    across = nodes.number(area_matrix(width, to_width).T[None, None])
    if to_height * width * (height + to_width) <= to_width * height * (width + to_height):
        return nodes.op("MatMul", nodes.op("MatMul", down, light), across)
    return nodes.op("MatMul", down, nodes.op("MatMul", light, across))
