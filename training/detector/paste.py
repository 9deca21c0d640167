"""Plates and things that look like plates, put into a picture in perspective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
Floats = NDArray[np.float32]
UNIT = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], np.float32)


def random_pose(rng: np.random.Generator, aspect: float) -> Floats:
    """A rectangle of that aspect seen from a random side: (4, 2) float32 around (0, 0), about 1 wide."""
    yaw = rng.uniform(-52, 52) if rng.random() < 0.35 else rng.normal(0, 14)
    pitch = rng.uniform(-32, 32) if rng.random() < 0.25 else rng.normal(0, 9)
    roll = rng.uniform(-25, 25) if rng.random() < 0.15 else rng.normal(0, 4)
    turn = np.eye(3)
    for axis, degrees in ((1, yaw), (0, pitch), (2, roll)):
        vector = np.zeros(3)
        vector[axis] = np.deg2rad(degrees)
        turn = cv2.Rodrigues(vector)[0] @ turn
    points = np.c_[UNIT[:, 0], UNIT[:, 1] / aspect, np.zeros(4)] @ turn.T
    distance = rng.uniform(2.0, 12.0)
    flat = points[:, :2] * (distance / (points[:, 2:] + distance))
    return np.asarray(flat, np.float32)


def fit_box(quad: Floats, box: Floats) -> Floats:
    """Stretch a quad along the axes so that its upright box is `box`."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    return np.asarray((quad - low) / (high - low) * (box[2:] - box[:2]) + box[:2], np.float32)


def grow(quad: Floats, x: float, y: float) -> Floats:
    """The quad of a rectangle x times as wide and y times as high in the plane of `quad`."""
    matrix = cv2.getPerspectiveTransform(UNIT, quad)
    return np.asarray(cv2.perspectiveTransform((UNIT * (x, y)).astype(np.float32)[None], matrix)[0], np.float32)


@dataclass(frozen=True, eq=False)
class Patch:
    """Something flat: light (h, w) float32 0 to 255, and how opaque it is (h, w) float32 0 to 1."""

    light: Floats
    alpha: Floats


def solid(light: NDArray[np.generic]) -> Patch:
    return Patch(light.astype(np.float32), np.ones(light.shape, np.float32))


def put(canvas: Luma, patch: Patch, quad: Floats, blur: float = 0.0) -> None:
    """Blend a patch into the canvas, in place, its outer corners at `quad`; `blur` is a sigma in pixels."""
    pad = 2 + int(3 * blur)
    x0, y0 = np.maximum(np.floor(quad.min(axis=0)).astype(int) - pad, 0)
    x1, y1 = np.minimum(np.ceil(quad.max(axis=0)).astype(int) + pad + 1, canvas.shape[::-1])
    if x1 <= x0 or y1 <= y0:
        return
    wide = max(np.hypot(*(quad[1] - quad[0])), np.hypot(*(quad[2] - quad[3])))
    high = max(np.hypot(*(quad[3] - quad[0])), np.hypot(*(quad[2] - quad[1])))
    h, w = patch.light.shape
    size = (int(min(w, max(2, 1.15 * wide))), int(min(h, max(2, 1.15 * high))))
    both = cv2.merge([(patch.light * patch.alpha).astype(np.float32), patch.alpha.astype(np.float32)])
    if size != (w, h):
        both = cv2.resize(both, size, interpolation=cv2.INTER_AREA)
    corners = (UNIT + 0.5) * size - 0.5
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), quad - np.array([x0, y0], np.float32))
    warped = cv2.warpPerspective(both, matrix, (int(x1 - x0), int(y1 - y0)), borderMode=cv2.BORDER_CONSTANT)
    if blur > 0.2:
        warped = cv2.GaussianBlur(warped, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    view = canvas[y0:y1, x0:x1]
    mixed = view * (1 - warped[..., 1]) + warped[..., 0]
    np.copyto(view, np.clip(mixed + 0.5, 0, 255).astype(np.uint8))


def relight(rng: np.random.Generator, light: Floats, mean: float, spread: float) -> Floats:
    """Bring a plate to a mean and a standard deviation, with a slope of light and at times a shadow."""
    own_mean, own_spread = (float(v[0, 0]) for v in cv2.meanStdDev(light))
    out = (light - own_mean) * (spread / max(own_spread, 1.0)) + mean
    h, w = out.shape
    slope = rng.normal(0, 0.15, 2)
    across = np.linspace(-1, 1, w, dtype=np.float32)[None] * slope[0]
    down = np.linspace(-1, 1, h, dtype=np.float32)[:, None] * slope[1]
    out = out * (1 + across + down)
    if rng.random() < 0.15:
        edge = np.linspace(-1, 1, h, dtype=np.float32)[:, None] + rng.normal(0, 0.5) * np.linspace(
            -1, 1, w, dtype=np.float32
        )
        out = out * np.where(edge > rng.uniform(-0.8, 0.8), 1.0, rng.uniform(0.35, 0.8))
    return np.clip(out, 0, 255).astype(np.float32)


class PlateBank:
    """Rendered plates in memory, replaced one by one while they are used."""

    def __init__(self, rng: np.random.Generator, render: Callable[[np.random.Generator], Luma], size: int) -> None:
        self._render = render
        self._plates = [render(rng) for _ in range(size)]

    def pick(self, rng: np.random.Generator) -> Luma:
        slot = int(rng.integers(len(self._plates)))
        if rng.random() < 0.3:
            self._plates[slot] = self._render(rng)
        return self._plates[slot]
