"""Drawing on a skin: a flat picture that a part of a car takes its colours from.

A skin lies on a plane in car metres: x (or z for the side) to the right, y up. Channels: B, G, R (sRGB), gloss,
and lamps: tail, brake, head. Colours of lamps are what they look like when they are off.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SCALE = 400  # pixels a metre
LEVELS = 4
TALL = 2.1
Colour = tuple[int, int, int]
GLASS: Colour = (22, 20, 18)
BLACK: Colour = (20, 20, 20)
PLASTIC: Colour = (44, 43, 42)
CHROME: Colour = (190, 188, 186)
TYRE: Colour = (26, 26, 26)
RED: Colour = (38, 30, 150)
GLOSSY, SATIN, DULL = 255, 120, 30


@dataclass(frozen=True, slots=True, eq=False)
class Skin:
    """Pyramids of `colour` (H, W, 4) uint8 BGR and gloss and of `lamps` (H, W, 3) uint8, each half the one before.

    `left` is the plane's left edge in metres.
    """

    colour: list[NDArray[np.uint8]]
    lamps: list[NDArray[np.uint8]]
    left: float


class Brush:
    """Draws on a skin in metres. Shapes are mirrored about x = 0 where `both` is set."""

    def __init__(self, left: float, right: float, paint: Colour) -> None:
        size = (int(TALL * SCALE), int((right - left) * SCALE))
        self.left = left
        self.colour = np.full((*size, 4), (*paint, GLOSSY), np.uint8)
        self.lamps = np.zeros((*size, 3), np.uint8)

    def pixels(self, points: NDArray[np.float64]) -> NDArray[np.int32]:
        x = (points[:, 0] - self.left) * SCALE
        y = (TALL - points[:, 1]) * SCALE
        return np.round(np.stack([x, y], axis=1) * 16).astype(np.int32)

    def polygon(
        self, points: object, colour: Colour, gloss: int = GLOSSY, both: bool = False, lamp: Colour | None = None
    ) -> None:
        outline = np.asarray(points, float)
        for shape in (outline, outline * (-1, 1)) if both else (outline,):
            cv2.fillPoly(self.colour, [self.pixels(shape)], (*colour, gloss), cv2.LINE_AA, 4)
            cv2.fillPoly(self.lamps, [self.pixels(shape)], lamp or (0, 0, 0), cv2.LINE_AA, 4)

    def line(self, points: object, colour: Colour, width: float, gloss: int = SATIN, both: bool = False) -> None:
        outline = np.asarray(points, float)
        for shape in (outline, outline * (-1, 1)) if both else (outline,):
            thick = max(1, round(width * SCALE))
            cv2.polylines(self.colour, [self.pixels(shape)], False, (*colour, gloss), thick, cv2.LINE_AA, 4)

    def disc(self, centre: tuple[float, float], radius: float, colour: Colour, gloss: int = SATIN) -> None:
        x, y = self.pixels(np.array([centre]))[0]
        reach = round(radius * SCALE * 16)
        cv2.circle(self.colour, (int(x), int(y)), reach, (*colour, gloss), -1, cv2.LINE_AA, 4)

    def done(self) -> Skin:
        colour, lamps = cv2.GaussianBlur(self.colour, (0, 0), 0.8), cv2.GaussianBlur(self.lamps, (0, 0), 1.6)
        return Skin(_pyramid(colour), _pyramid(lamps), self.left)


def _pyramid(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    levels = [image]
    for _ in range(LEVELS - 1):
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return levels


def rounded(x0: float, y0: float, x1: float, y1: float, radius: float) -> NDArray[np.float64]:
    """A rectangle with round corners as a polygon (N, 2)."""
    radius = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    arc = np.linspace(0, np.pi / 2, 7)
    centres = [(x1 - radius, y1 - radius), (x0 + radius, y1 - radius), (x0 + radius, y0 + radius)]
    centres.append((x1 - radius, y0 + radius))
    turns = [np.stack([np.cos(arc + k * np.pi / 2), np.sin(arc + k * np.pi / 2)], 1) for k in range(4)]
    return np.concatenate([np.array(c) + radius * t for c, t in zip(centres, turns, strict=True)])


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made lighter or darker."""
    b, g, r = (int(min(255, c * factor)) for c in colour)
    return b, g, r
