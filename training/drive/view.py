"""A pinhole camera and the light it sees by. World axes: x right, y up, z along the road, metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FOCAL_PX = 1280, 720, 1400.0
CENTRE = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """Where the camera stands and looks: `rotation` (3, 3) turns world axes into x right, y down, z ahead."""

    position: NDArray[np.float64]
    rotation: NDArray[np.float64]

    def project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points (N, 3) in metres -> pixels (N, 2) and depths (N,) in metres; depth <= 0 lies behind."""
        local = (points - self.position) @ self.rotation.T
        depth = local[:, 2]
        safe = np.where(depth > 0.05, depth, 0.05)
        return local[:, :2] * (FOCAL_PX / safe)[:, None] + CENTRE, depth

    def rays(self, xs: Array, ys: Array) -> Array:
        """Pixels (N,), (N,) -> world directions (N, 3) with depth 1."""
        local = np.stack([(xs - CENTRE[0]) / FOCAL_PX, (ys - CENTRE[1]) / FOCAL_PX, np.ones_like(xs)], axis=1)
        return (local @ self.rotation.astype(np.float32)).astype(np.float32)

    def homography(
        self, origin: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The (3, 3) matrix that takes (a, b, 1) on the plane origin + a*u + b*v to pixels."""
        plane = np.stack([u, v, origin - self.position], axis=1)
        lens = np.array([[FOCAL_PX, 0, CENTRE[0]], [0, FOCAL_PX, CENTRE[1]], [0, 0, 1]])
        return np.asarray(lens @ self.rotation @ plane)


def look(position: tuple[float, float, float], yaw: float, pitch: float, roll: float) -> Camera:
    """A camera at `position`; angles in radians: yaw to the right, pitch down, roll clockwise."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    ahead = np.array([sy * cp, -sp, cy * cp])
    right = np.array([cy, 0.0, -sy])
    down = np.cross(right, ahead)
    rows = np.stack([cr * right + sr * down, -sr * right + cr * down, ahead])
    return Camera(np.array(position, float), rows)


@dataclass(frozen=True, slots=True)
class Light:
    """Light on a car, linear BGR: open sky and sun, or a tunnel (`tunnel` 0 to 1)."""

    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    sun: tuple[float, float, float]
    sun_direction: tuple[float, float, float]
    tunnel: float
    headlights: float
    """How far the camera car's own headlights matter, 0 to 1."""
