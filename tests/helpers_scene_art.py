"""Paints rendered drives: a street, vehicles on it, and plates set in a face that nobody cut. Luma only."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from edge_alpr.types import Luma
from training.faces import CAP_HEIGHT, Face
from training.strokes import stroke_face

WIDTH, HEIGHT = 1280, 720
HORIZON = 290
_FACE = 38
"""Seed of a sober face without slant or gaps."""
_FINE_PX = 416
"""Width of a plate as it is drawn; the scene shrinks it."""
_BORDER_PX = 6
_BODIES = {
    "car": ((-1.65, -2.3, 1.65, 0.75), (-1.3, -2.15, 1.3, -1.15), (-1.55, -0.75, -1.05, -0.35),
            (1.05, -0.75, 1.55, -0.35)),
    "motorcycle": ((-1.2, -3.2, 1.2, 1.0), (-0.55, -3.0, 0.55, -1.6), (-0.5, -1.2, 0.5, -0.75), (-0.5, 0.7, 0.5, 2.1)),
    "lorry": ((-2.4, -5.2, 2.4, 0.9), (-2.2, -5.0, 2.2, -0.7), (-2.3, 0.0, -1.7, 0.4), (1.7, 0.0, 2.3, 0.4)),
}  # fmt: skip
"""Body, window, and lamps of each kind, in widths of its plate around the plate's middle: left, top, right, bottom."""
_SHADES = (58, 34, 175, 175)
_LORRY = (150, 138, 175, 175)


@lru_cache(maxsize=1)
def _face() -> Face:
    return stroke_face(np.random.default_rng(_FACE))


@lru_cache(maxsize=64)
def plate(text: str) -> tuple[Luma, ...]:
    """A plate, `/` between its rows: pictures (H, W) uint8, each half as wide as the one before."""
    rows = text.split("/")
    height = round(_FINE_PX * (110 / 520 if len(rows) == 1 else 0.86))
    picture = np.full((height, _FINE_PX), 224, np.uint8)
    cv2.rectangle(picture, (1, 1), (_FINE_PX - 2, height - 2), 40, _BORDER_PX // 2)
    each = (height - 2 * _BORDER_PX) // len(rows)
    for number, row in enumerate(rows):
        _write(picture[_BORDER_PX + number * each :][:each, 2 * _BORDER_PX : -2 * _BORDER_PX], row)
    sizes = ((_FINE_PX >> level, max(4, height >> level)) for level in range(5))
    return tuple(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8) for size in sizes)


def _write(room: Luma, text: str) -> None:
    """Ink a row of text into the middle of `room`, in place."""
    gap = np.zeros((CAP_HEIGHT, 9), np.uint8)
    space = np.zeros((CAP_HEIGHT, 26), np.uint8)
    glyphs = [space if char == " " else _face().glyphs[char][:CAP_HEIGHT] for char in text]
    ink = np.hstack([part for glyph in glyphs for part in (glyph, gap)][:-1])
    high = round(0.72 * room.shape[0])
    wide = min(round(ink.shape[1] * high / CAP_HEIGHT), room.shape[1] - 12)
    ink = np.asarray(cv2.resize(ink, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)
    top, left = (room.shape[0] - high) // 2, (room.shape[1] - wide) // 2
    part = room[top : top + high, left : left + wide]
    part[:] = part - (ink / 255 * (part - 24.0)).astype(np.uint8)


@lru_cache(maxsize=2)
def street(seed: int) -> Luma:
    """Sky, house fronts and a grey road (HEIGHT, WIDTH) uint8; its left and right edges fit together."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([np.linspace(190, 165, HORIZON), np.linspace(95, 120, HEIGHT - HORIZON)])
    picture = np.repeat(rows[:, None], WIDTH, axis=1)
    for left in range(0, WIDTH, 128):
        top, shade = int(rng.integers(40, 170)), int(rng.integers(70, 150))
        picture[top:HORIZON, left : left + 128] = shade
        for x in range(left + 14, left + 110, 34):
            for y in range(top + 14, HORIZON - 24, 40):
                picture[y : y + 22, x : x + 16] = shade - 40
    grain = cv2.GaussianBlur(rng.normal(0, 20, picture.shape).astype(np.float32), (0, 0), 1.2)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _noise() -> Luma:
    return np.random.default_rng(5).integers(0, 9, (HEIGHT, 2 * WIDTH)).astype(np.uint8)


def ground(seed: int, pan_px: float, frame: int) -> Luma:
    """The street as the camera sees it, turned by `pan_px` to the right, with the noise of one frame."""
    shift = (frame * 331) % WIDTH
    return np.roll(street(seed), -round(pan_px), axis=1) + _noise()[:, shift : shift + WIDTH]


def vehicle(picture: Luma, kind: str, text: str, place: tuple[float, float, float]) -> None:
    """Paint a vehicle over `picture`, in place; (x, y, width) px is its plate, which an empty `text` leaves out."""
    x, y, wide = place
    for box, shade in zip(_BODIES[kind], _LORRY if kind == "lorry" else _SHADES, strict=True):
        left, top, right, bottom = (round(v) for v in (x + box[0] * wide, y + box[1] * wide, x + box[2] * wide,
                                                       y + box[3] * wide))  # fmt: skip
        cv2.rectangle(picture, (left, top), (right, bottom), shade, -1)
    if text:
        _put(picture, plate(text), place)


def _put(picture: Luma, levels: tuple[Luma, ...], place: tuple[float, float, float]) -> None:
    """Lay a plate into the picture to a part of a pixel."""
    x, y, wide = place
    level = next((one for one in reversed(levels) if one.shape[1] >= wide), levels[0])
    scale = wide / level.shape[1]
    high = level.shape[0] * scale
    left, top = int(np.floor(x - wide / 2)) - 1, int(np.floor(y - high / 2)) - 1
    size = int(np.ceil(wide)) + 3, int(np.ceil(high)) + 3
    first = max(left, 0), max(top, 0)
    last = min(left + size[0], WIDTH), min(top + size[1], HEIGHT)
    if first[0] >= last[0] or first[1] >= last[1]:
        return
    map_ = np.array([[scale, 0, x - wide / 2 - left], [0, scale, y - high / 2 - top]], np.float32)
    part = picture[first[1] : last[1], first[0] : last[0]]
    whole = np.full((size[1], size[0]), 45, np.uint8)
    cv2.warpAffine(level, map_, size, whole, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    part[:] = whole[first[1] - top : last[1] - top, first[0] - left : last[0] - left]
