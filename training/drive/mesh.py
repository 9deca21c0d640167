"""Car bodies as stacked outlines: each ring is the plan of the car at one height.

Car axes: x right, y up, z ahead, metres; the rear end lies near z = 0 on the road's level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REAR, SIDE, FRONT, PLAIN, WHEEL = range(5)

# A ring: height, rear end, front end, half width. A letter in SHAPES tells what lies between it and the next
# ring: b body, d deck (boot lid and bonnet, one colour), g glass house, r roof.
Ring = tuple[float, float, float, float, str]


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of car: its rings from the sill to the roof, wheels and corner radii in metres."""

    rings: tuple[Ring, ...]
    axles: tuple[float, float]
    wheel_radius: float = 0.32
    rear_radius: float = 0.16
    front_radius: float = 0.34
    bow: float = 0.07
    """How far the middle of the tail stands out over its corners."""

    @property
    def length(self) -> float:
        return max(ring[2] for ring in self.rings)

    def at(self, height: float) -> tuple[float, float, float]:
        """Rear end, front end and half width at a height."""
        heights = [ring[0] for ring in self.rings]
        rear, front, half = (float(np.interp(height, heights, [r[i] for r in self.rings])) for i in (1, 2, 3))
        return rear, front, half


HATCH = Shape(
    (
        (0.17, 0.30, 3.80, 0.78, "b"), (0.21, 0.14, 3.98, 0.83, "b"), (0.30, 0.05, 4.07, 0.865, "b"),
        (0.42, 0.01, 4.11, 0.88, "b"), (0.54, 0.00, 4.11, 0.89, "b"), (0.59, 0.03, 4.09, 0.89, "b"),
        (0.62, 0.09, 4.07, 0.885, "b"), (0.72, 0.10, 4.02, 0.89, "b"), (0.82, 0.115, 3.92, 0.885, "b"),
        (0.90, 0.14, 3.72, 0.875, "b"), (0.945, 0.165, 3.45, 0.855, "d"), (0.985, 0.19, 3.05, 0.83, "d"),
        (1.01, 0.205, 2.92, 0.80, "g"), (1.10, 0.255, 2.74, 0.765, "g"), (1.22, 0.34, 2.46, 0.715, "g"),
        (1.33, 0.43, 2.20, 0.665, "g"), (1.39, 0.49, 2.04, 0.63, "r"), (1.43, 0.42, 1.92, 0.59, "r"),
        (1.455, 0.50, 1.80, 0.53, "r"), (1.475, 0.75, 1.6, 0.40, "r"), (1.485, 1.05, 1.4, 0.05, "r"),
    ),
    axles=(0.78, 3.28),
)  # fmt: skip
SEDAN = Shape(
    (
        (0.17, 0.32, 4.35, 0.79, "b"), (0.21, 0.14, 4.50, 0.84, "b"), (0.30, 0.04, 4.60, 0.88, "b"),
        (0.42, 0.00, 4.64, 0.895, "b"), (0.55, 0.00, 4.65, 0.905, "b"), (0.60, 0.03, 4.63, 0.905, "b"),
        (0.63, 0.08, 4.61, 0.90, "b"), (0.74, 0.085, 4.56, 0.905, "b"), (0.84, 0.085, 4.44, 0.90, "b"),
        (0.92, 0.09, 4.22, 0.885, "b"), (0.965, 0.12, 3.95, 0.86, "d"), (0.985, 0.25, 3.6, 0.84, "d"),
        (1.005, 0.52, 3.32, 0.81, "d"), (1.02, 0.60, 3.20, 0.785, "g"), (1.10, 0.74, 3.02, 0.75, "g"),
        (1.22, 0.96, 2.74, 0.695, "g"), (1.32, 1.16, 2.50, 0.645, "g"), (1.37, 1.28, 2.36, 0.615, "r"),
        (1.41, 1.42, 2.22, 0.57, "r"), (1.435, 1.60, 2.05, 0.46, "r"), (1.445, 1.75, 1.95, 0.05, "r"),
    ),
    axles=(0.98, 3.72),
)  # fmt: skip
SUV = Shape(
    (
        (0.26, 0.30, 4.10, 0.82, "b"), (0.30, 0.14, 4.26, 0.87, "b"), (0.40, 0.05, 4.36, 0.905, "b"),
        (0.54, 0.01, 4.40, 0.925, "b"), (0.66, 0.00, 4.41, 0.93, "b"), (0.71, 0.03, 4.40, 0.93, "b"),
        (0.74, 0.08, 4.38, 0.925, "b"), (0.86, 0.085, 4.35, 0.93, "b"), (0.98, 0.095, 4.27, 0.925, "b"),
        (1.06, 0.115, 4.10, 0.91, "b"), (1.10, 0.135, 3.85, 0.89, "d"), (1.13, 0.15, 3.30, 0.865, "d"),
        (1.155, 0.165, 3.12, 0.84, "g"), (1.24, 0.20, 2.96, 0.81, "g"), (1.36, 0.27, 2.72, 0.765, "g"),
        (1.47, 0.35, 2.50, 0.72, "g"), (1.53, 0.41, 2.36, 0.69, "r"), (1.575, 0.33, 2.24, 0.65, "r"),
        (1.605, 0.40, 2.10, 0.58, "r"), (1.63, 0.65, 1.85, 0.44, "r"), (1.64, 1.0, 1.6, 0.05, "r"),
    ),
    axles=(0.84, 3.52), wheel_radius=0.36,
)  # fmt: skip
VAN = Shape(
    (
        (0.24, 0.20, 4.62, 0.84, "b"), (0.28, 0.08, 4.78, 0.89, "b"), (0.36, 0.01, 4.86, 0.925, "b"),
        (0.48, 0.00, 4.90, 0.94, "b"), (0.53, 0.01, 4.90, 0.945, "b"), (0.56, 0.06, 4.88, 0.945, "b"),
        (0.72, 0.065, 4.84, 0.955, "b"), (0.88, 0.065, 4.76, 0.955, "b"), (1.00, 0.07, 4.60, 0.95, "b"),
        (1.07, 0.075, 4.35, 0.945, "d"), (1.12, 0.08, 4.12, 0.94, "d"), (1.15, 0.082, 4.02, 0.935, "g"),
        (1.30, 0.10, 3.82, 0.915, "g"), (1.50, 0.13, 3.55, 0.875, "g"), (1.68, 0.165, 3.32, 0.835, "g"),
        (1.76, 0.185, 3.20, 0.81, "r"), (1.83, 0.22, 3.05, 0.77, "r"), (1.87, 0.30, 2.9, 0.70, "r"),
        (1.90, 0.60, 2.6, 0.5, "r"), (1.91, 1.2, 2.0, 0.05, "r"),
    ),
    axles=(0.92, 3.92), wheel_radius=0.34, rear_radius=0.10, bow=0.03,
)  # fmt: skip
SHAPES = {"hatch": HATCH, "sedan": SEDAN, "suv": SUV, "van": VAN}


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles of a car: vertices and normals (V, 3), triangles (T, 3) clockwise seen from outside, surface (T,)."""

    vertices: NDArray[np.float64]
    normals: NDArray[np.float64]
    triangles: NDArray[np.int32]
    surface: NDArray[np.int32]


def build(shape: Shape) -> Mesh:
    """The mesh of a kind of car, body and four wheels."""
    parts = [_body(shape)]
    half = shape.at(shape.wheel_radius)[2]
    for axle in shape.axles:
        for side in (-1, 1):
            parts.append(_wheel(axle, side * (half - 0.012), side, shape.wheel_radius))
    base = next(ring for ring in shape.rings if ring[4] == "g")
    for side in (-1, 1):
        parts.append(_mirror((side * (base[3] + 0.08), base[0] + 0.06, base[2] - 0.30)))
    return _join(parts)


_REAR_POINTS, _CORNER_POINTS, _SIDE_POINTS = 9, 8, 16


def _half_loop(shape: Shape, ring: Ring) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The right half of a ring's outline, from the middle of the tail to the middle of the nose."""
    _, rear, front, half, _ = ring
    rear_radius, front_radius = min(shape.rear_radius, half * 0.8), min(shape.front_radius, half * 0.8)
    bow, nose = shape.bow * half / 0.9, 0.14 * half / 0.9
    arc = np.linspace(0, np.pi / 2, _CORNER_POINTS + 2)[1:-1]
    tail_x = np.linspace(0, half - rear_radius, _REAR_POINTS)
    nose_x = np.linspace(half - front_radius, 0, _REAR_POINTS)
    side_z = np.linspace(rear + bow + rear_radius, front - nose - front_radius, _SIDE_POINTS)
    middle, reach = (rear + front) / 2, max((front - rear) / 2, 0.1)
    side_x = half - 0.02 * ((side_z - middle) / reach) ** 2
    x = np.concatenate([
        tail_x, side_x[0] - rear_radius * (1 - np.sin(arc)), side_x,
        side_x[-1] - front_radius * (1 - np.cos(arc)), nose_x,
    ])  # fmt: skip
    z = np.concatenate([
        rear + bow * (tail_x / half) ** 2, rear + bow + rear_radius * (1 - np.cos(arc)), side_z,
        front - nose - front_radius * (1 - np.sin(arc)), front - nose * (nose_x / half) ** 2,
    ])  # fmt: skip
    return x, z


def _column_surface() -> NDArray[np.int32]:
    """Which skin covers each column of quads of a half loop."""
    tail = _REAR_POINTS - 1 + _CORNER_POINTS - 1
    nose = _REAR_POINTS - 1 + _CORNER_POINTS - 2
    side = 2 * _REAR_POINTS + 2 * _CORNER_POINTS + _SIDE_POINTS - 1 - tail - nose
    return np.repeat(np.array([REAR, SIDE, FRONT], np.int32), [tail, side, nose])


def _body(shape: Shape) -> Mesh:
    halves = [_half_loop(shape, ring) for ring in shape.rings]
    rows = []
    for ring, (x, z) in zip(shape.rings, halves, strict=True):
        loop_x, loop_z = np.concatenate([x, -x[-2:0:-1]]), np.concatenate([z, z[-2:0:-1]])
        rows.append(np.stack([loop_x, np.full_like(loop_x, ring[0]), loop_z], axis=1))
    grid = np.stack(rows)
    levels, columns = grid.shape[:2]
    half_surface = _column_surface()
    column_surface = np.concatenate([half_surface, half_surface[::-1]])
    index = np.arange(levels * columns).reshape(levels, columns)
    a, b = index[:-1], np.roll(index[:-1], -1, axis=1)
    d, c = index[1:], np.roll(index[1:], -1, axis=1)
    triangles = np.concatenate([np.stack([a, d, b], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    surface = np.tile(column_surface, (levels - 1, 1))
    for level, ring in enumerate(shape.rings[:-1]):
        if ring[4] in "dr":
            surface[level] = PLAIN
    vertices = grid.reshape(-1, 3)
    return Mesh(vertices, _normals(vertices, triangles), triangles.astype(np.int32), np.tile(surface.ravel(), 2))


def _wheel(axle: float, x: float, side: int, radius: float) -> Mesh:
    count = 24
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    y, z = radius + radius * np.sin(turn), axle + radius * np.cos(turn)
    outer = np.stack([np.full(count, x), y, z], axis=1)
    inner = np.stack([np.full(count, x - side * 0.21), y, z], axis=1)
    vertices = np.concatenate([outer, inner, [[x, radius, axle], [x - side * 0.21, radius, axle]]])
    k = np.arange(count)
    following = (k + 1) % count
    faces = np.concatenate([
        np.stack([np.full(count, 2 * count), k, following], 1),
        np.stack([k, k + count, following], 1), np.stack([following, k + count, following + count], 1),
        np.stack([np.full(count, 2 * count + 1), following + count, k + count], 1),
    ])  # fmt: skip
    faces = faces if side < 0 else faces[:, ::-1]
    radial = np.stack([np.zeros(count), np.sin(turn), np.cos(turn)], axis=1)
    normals = np.concatenate([radial, radial, [[side, 0, 0], [-side, 0, 0]]])
    return Mesh(vertices, normals, faces.astype(np.int32), np.full(len(faces), WHEEL, np.int32))


def _mirror(centre: tuple[float, float, float]) -> Mesh:
    """A door mirror: an egg of the car's colour."""
    lift, turn = np.meshgrid(np.linspace(-np.pi / 2, np.pi / 2, 7), np.linspace(0, 2 * np.pi, 12), indexing="ij")
    ball = np.stack([np.cos(lift) * np.cos(turn), np.sin(lift), np.cos(lift) * np.sin(turn)], axis=-1).reshape(-1, 3)
    index = np.arange(7 * 12).reshape(7, 12)
    a, b, d, c = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, d, b], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    vertices = ball * (0.10, 0.065, 0.05) + centre
    normals = ball / np.linalg.norm(ball * (0.10, 0.065, 0.05), axis=1, keepdims=True) * 0.08
    return Mesh(vertices, normals, triangles.astype(np.int32), np.full(len(triangles), PLAIN, np.int32))


def _normals(vertices: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], faces)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _join(parts: list[Mesh]) -> Mesh:
    offsets = np.cumsum([0] + [len(p.vertices) for p in parts[:-1]])
    return Mesh(
        np.concatenate([p.vertices for p in parts]),
        np.concatenate([p.normals for p in parts]),
        np.concatenate([p.triangles + o for p, o in zip(parts, offsets, strict=True)]).astype(np.int32),
        np.concatenate([p.surface for p in parts]),
    )
