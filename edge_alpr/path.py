"""Where a plate is in the picture and where it goes: constant velocity, small and pure."""

from __future__ import annotations

import math

import numpy as np

from edge_alpr.geometry import quad_box
from edge_alpr.types import Floats

_AREA = 300.0
"""Places where another plate could be, in squared plate sizes: what a match in place is worth."""
_JUMP = 0.05
"""Share of the motions that no model foretells."""
_NOISE = 0.25
"""Error of a found plate's centre, in plate sizes."""
_SPEED, _ACCELERATION = 6.0, 6.0
"""Spread of an unknown speed in plate sizes a second, and of its change in a second."""
_GROWTH = 0.35
"""Spread of the logarithm of a plate's height against its prediction."""


def box_state(quad: Floats) -> Floats:
    """Centre x, centre y, width and height of the box around a quad, (4,) float32 pixels."""
    x0, y0, x1, y1 = quad_box(quad)
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], np.float32)


def grown_box(state: Floats) -> Floats:
    """The box of a state with half its height around it: a flat plate that jumps a little still overlaps."""
    half = state[2:] / 2 + state[3] / 2
    return np.concatenate([state[:2] - half, state[:2] + half])


def _scale(motion: Floats) -> np.float32:
    return np.float32(math.sqrt(abs(float(np.linalg.det(motion[:, :2])))))


class Path:
    """A Kalman filter over centre and size, with one covariance for all four numbers.

    The covariance is in plate sizes (the mean of the height and a quarter of the width), so that it holds for
    near and far plates alike.
    """

    def __init__(self, state: Floats) -> None:
        self.state = state
        self._velocity = np.zeros(4, np.float32)
        self._variance = np.array([[_NOISE**2, 0.0], [0.0, _SPEED**2]])

    def ahead(self, dt_s: float, motion: Floats | None) -> Floats:
        """The state in `dt_s` seconds, (4,), in the picture of a camera that itself moved by `motion` (2, 3)."""
        state = self.state + self._velocity * np.float32(dt_s)
        if motion is not None:
            state = np.concatenate([motion[:, :2] @ state[:2] + motion[:, 2], state[2:] * _scale(motion)])
        state[2:] = np.maximum(state[2:], 1.0)
        return state

    def predict(self, dt_s: float, motion: Floats | None) -> None:
        """Move on to the state `ahead`."""
        step = np.array([[1.0, dt_s], [0.0, 1.0]])
        spread = _ACCELERATION**2 * np.array([[dt_s**4 / 4, dt_s**3 / 2], [dt_s**3 / 2, dt_s**2]])
        self._variance = step @ self._variance @ step.T + spread
        self.state = self.ahead(dt_s, motion)
        if motion is not None:
            turned = motion[:, :2] @ self._velocity[:2]
            self._velocity = np.concatenate([turned, self._velocity[2:] * _scale(motion)])

    def correct(self, state: Floats) -> None:
        """Take where the plate was found."""
        gain = self._variance[:, 0] / (self._variance[0, 0] + _NOISE**2)
        error = state - self.state
        self.state = self.state + np.float32(gain[0]) * error
        self._velocity = self._velocity + np.float32(gain[1]) * error
        self._variance = self._variance - np.outer(gain, self._variance[0])

    def evidence(self, state: Floats) -> float:
        """How far a plate found there speaks for this one rather than another, in nats."""
        size = max(1.0, float(self.state[3] + self.state[2] / 4) / 2)
        variance = float(self._variance[0, 0]) + _NOISE**2
        away = float(np.sum((state[:2] - self.state[:2]) ** 2)) / size**2
        grown = math.log(max(float(state[3]), 1.0) / max(float(self.state[3]), 1.0)) / _GROWTH
        density = math.exp(-0.5 * (away / variance + grown**2)) / (2.0 * math.pi * variance)
        return math.log((1.0 - _JUMP) * _AREA * density + _JUMP)
