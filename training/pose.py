"""Poses of a plate before the camera: the quad of a rectangle turned in space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def posed_quad(
    aspect: float, width_px: float, rng: np.random.Generator, max_yaw: float = 55, max_pitch: float = 30
) -> NDArray[np.float32]:
    """Corners (4, 2) around the origin, clockwise from top left, of a plate `width_px` wide before turning.

    Yaw is drawn so that most plates are seen nearly from behind; roll stays within 12 degrees.
    """
    yaw = np.deg2rad(np.clip(rng.normal(0, 18), -max_yaw, max_yaw)) if rng.random() < 0.7 else np.deg2rad(
        rng.uniform(-max_yaw, max_yaw)
    )
    pitch = np.deg2rad(np.clip(rng.normal(0, 10), -max_pitch, max_pitch))
    roll = np.deg2rad(np.clip(rng.normal(0, 4), -12, 12))
    half = np.array([0.5, 0.5 / aspect])
    flat = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * np.array([*half, 0])
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turn_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    turn_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    space = flat @ (turn_z @ turn_x @ turn_y).T
    distance = rng.uniform(4, 14)  # in plate widths: how strong the perspective is
    flat_again = space[:, :2] * (distance / (distance + space[:, 2:]))
    return (flat_again * width_px).astype(np.float32)
