"""Where a plate is in the picture and where it goes: constant velocity, small and pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from edge_alpr.geometry import Rect, quad_box
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


Place: TypeAlias = tuple[float, float, float, float]
"""Centre x, centre y, width and height of a box, in pixels."""


def box_state(quad: Floats) -> Place:
    """The state of the box around a quad."""
    x0, y0, x1, y1 = quad_box(quad)
    return (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0


def grown_box(state: Place) -> Rect:
    """The box of a state with half its height around it: a flat plate that jumps a little still overlaps."""
    x, y, width, height = state
    half = (width + height) / 2
    return x - half, y - height, x + half, y + height


class Path:
    """A Kalman filter over centre and size, with one covariance for all four numbers.

    The covariance is in plate sizes (the mean of the height and a quarter of the width), so that it holds for
    near and far plates alike.
    """

    def __init__(self, state: Place) -> None:
        self.state = state
        self._velocity: Place = (0.0, 0.0, 0.0, 0.0)
        self._place, self._both, self._speed = _NOISE**2, 0.0, _SPEED**2
        """The covariance: of the place, of place and speed, of the speed."""

    def ahead(self, dt_s: float, motion: Floats | None) -> Place:
        """The state in `dt_s` seconds, in the picture of a camera that itself moved by `motion` (2, 3)."""
        x, y, width, height = (s + v * dt_s for s, v in zip(self.state, self._velocity, strict=True))
        if motion is not None:
            (a, b, c), (d, e, f) = motion.tolist()
            scale = _scale(a, b, d, e)
            x, y, width, height = a * x + b * y + c, d * x + e * y + f, width * scale, height * scale
        return x, y, max(width, 1.0), max(height, 1.0)

    def predict(self, dt_s: float, motion: Floats | None) -> None:
        """Move on to the state `ahead`."""
        self.state = self.ahead(dt_s, motion)
        if motion is not None:
            (a, b, _), (d, e, _) = motion.tolist()
            scale, (x, y, width, height) = _scale(a, b, d, e), self._velocity
            self._velocity = a * x + b * y, d * x + e * y, width * scale, height * scale
        pushed = _ACCELERATION**2 * dt_s**2
        self._place += dt_s * (2 * self._both + dt_s * self._speed) + pushed * dt_s**2 / 4
        self._both += dt_s * self._speed + pushed * dt_s / 2
        self._speed += pushed

    def correct(self, state: Place) -> None:
        """Take where the plate was found."""
        total = self._place + _NOISE**2
        place_gain, speed_gain = self._place / total, self._both / total
        errors = [found - foretold for found, foretold in zip(state, self.state, strict=True)]
        self.state = _moved(self.state, place_gain, errors)
        self._velocity = _moved(self._velocity, speed_gain, errors)
        self._speed -= speed_gain * self._both
        self._both -= place_gain * self._both
        self._place -= place_gain * self._place

    def evidence(self, state: Place) -> float:
        """How far a plate found there speaks for this one rather than another, in nats."""
        size = max(1.0, (self.state[3] + self.state[2] / 4) / 2)
        variance = self._place + _NOISE**2
        away = ((state[0] - self.state[0]) ** 2 + (state[1] - self.state[1]) ** 2) / size**2
        grown = math.log(max(state[3], 1.0) / max(self.state[3], 1.0)) / _GROWTH
        density = math.exp(-0.5 * (away / variance + grown**2)) / (2.0 * math.pi * variance)
        return math.log((1.0 - _JUMP) * _AREA * density + _JUMP)


def _moved(state: Place, gain: float, errors: Sequence[float]) -> Place:
    x, y, width, height = (s + gain * error for s, error in zip(state, errors, strict=True))
    return x, y, width, height


def _scale(a: float, b: float, d: float, e: float) -> float:
    """How much larger a motion makes what is seen."""
    return math.sqrt(abs(a * e - b * d))
