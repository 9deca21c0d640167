"""Paints rows of house fronts."""

from __future__ import annotations

import numpy as np

from training.drive.brush import shade
from training.drive.street import WALL_DENSITY, Canvas, Rng, noise
from training.drive.strips import Strip

WALLS = np.array([(96, 112, 124), (108, 120, 126), (80, 96, 118), (112, 112, 110), (70, 84, 104)])


def houses(rng: Rng, x: float, span: tuple[float, float]) -> Strip:
    """A row of house fronts on the plane at `x`; row 0 is 16 m above the road."""
    density, tall = WALL_DENSITY, 16.0
    size = (int(tall * density), int((span[1] - span[0]) * density))
    image = np.zeros((*size, 4), np.uint8)
    canvas = Canvas(image, density, (0.0, 0.0))
    z, length = 0.0, span[1] - span[0]
    while z < length:
        wide = min(rng.uniform(8, 15), length - z)
        if rng.random() < 0.12 and wide > 4:
            z += wide * 0.5
        else:
            _house(canvas, rng, (z, z + wide), tall)
            z += wide
    dirt = 1 + 0.05 * noise(rng, size, (12, 200)) + 0.03 * rng.standard_normal(size).astype(np.float32)
    image[..., :3] = np.clip(image[..., :3] * dirt[..., None], 0, 255).astype(np.uint8)
    return Strip(image, (x, tall, span[0]), (0, 0, 1), (0, -1, 0), density)


def _house(canvas: Canvas, rng: Rng, at: tuple[float, float], tall: float) -> None:
    wall = tuple(int(v) for v in WALLS[rng.integers(len(WALLS))] * rng.uniform(0.75, 1.1))
    floors = int(rng.integers(2, 5))
    storey = rng.uniform(2.7, 3.3)
    top = 3.6 + storey * floors + 0.5
    canvas.box(at, (tall - top, tall), (*wall, 255))
    canvas.box(at, (tall - top, tall - top + 0.35), (*(int(v * 0.6) for v in wall), 255))
    canvas.box(at, (tall - 3.55, tall - 3.3), (*(int(v * 0.7) for v in wall), 255))
    canvas.box((at[0], at[0] + 0.12), (tall - top, tall), (*(int(v * 0.55) for v in wall), 255))
    count = max(2, int((at[1] - at[0]) / 2.2))
    pitch = (at[1] - at[0]) / count
    for floor in range(floors):
        foot = 3.6 + storey * floor + 0.75
        for k in range(count):
            middle = at[0] + pitch * (k + 0.5)
            _pane(canvas, rng, (middle - 0.58, middle + 0.58), (tall - foot - 1.55, tall - foot), wall)
    for k in range(max(1, count // 2)):
        left = at[0] + 2 * pitch * k + 0.5
        lit = rng.random() < 0.4
        colour = (120, 168, 196, 255) if lit else (44, 42, 40, 255)
        canvas.box((left, left + 2 * pitch - 1.0), (tall - 2.7, tall - 0.55), (30, 30, 32, 255))
        canvas.box((left + 0.1, left + 2 * pitch - 1.1), (tall - 2.6, tall - 0.65), colour)
        canvas.box((left + 0.1, left + 2 * pitch - 1.1), (tall - 1.2, tall - 0.65), (60, 66, 72, 255), 0.5)
    canvas.box(at, (tall - 0.4, tall), (60, 62, 64, 255), 0.6)


def _pane(canvas: Canvas, rng: Rng, a: tuple[float, float], b: tuple[float, float], wall: tuple[int, ...]) -> None:
    frame = tuple(min(255, int(v * 1.35)) for v in wall)
    canvas.box((a[0] - 0.14, a[1] + 0.14), (b[0] - 0.14, b[1] + 0.10), (*frame, 255))
    lit = rng.random() < 0.22
    glass = (110, 170, 215) if lit else shade((66, 58, 50), rng.uniform(0.7, 1.4))
    canvas.box(a, b, (*glass, 255))
    canvas.box(a, (b[0], b[0] + 0.4), (*(int(v * 0.72) for v in glass), 255), 0.7)
    middle = (a[0] + a[1]) / 2
    canvas.box((middle - 0.04, middle + 0.04), b, (*frame, 255))
