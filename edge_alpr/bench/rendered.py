"""A load that is always the same: so many plates in view, drawn over a road-like ground, moving a little."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from types import TracebackType

import cv2
import numpy as np
from typing_extensions import Self

from edge_alpr.types import Frame, Luma, SourceCounters, SourceInfo

TEXTS = (
    "B123ABC", "CJ45XYZ", "TM08KLM", "MH77PRT", "BV19DEF", "KL84TUR",
    "AB31NPV", "HN26WYZ", "DX57MSE", "PF93BKA", "GT48CJL", "LS62GHK",
)  # fmt: skip
RATE = 30
COLUMNS, ROWS = 4, 3
_CELLS = (5, 6, 9, 10, 1, 2, 4, 7, 8, 11, 0, 3)
"""Of the grid, from the middle outwards."""
_STEPS = 8
_WIDTH = 0.086
"""Of a plate, as a share of the frame's width: 110 px of 1280."""
_FINE = 4
_FONT, _STROKE = cv2.FONT_HERSHEY_SIMPLEX, 2


class Rendered:
    """A `FrameSource` without an end: `plates` of `TEXTS`, in luma frames of `size` (width, height), 30 a second.

    All pictures are drawn at opening, and go to and fro by a pixel; a frame lends one of them. Further cameras show the
    same ones.
    """

    def __init__(self, plates: int, size: tuple[int, int], camera_id: str = "camera0") -> None:
        self._pictures = _pictures(plates, size)
        self._camera_id = camera_id
        self._info = SourceInfo(f"{plates} rendered plates", live=False)
        self._counters = SourceCounters()
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """It has no length."""
        return self._info

    @property
    def counters(self) -> SourceCounters:
        """Frames so far."""
        return self._counters

    def __iter__(self) -> Iterator[Frame]:
        begin_ms = time.time_ns() // 1_000_000
        while not self._closed:
            index = self._counters.frames
            step = index % (2 * _STEPS - 2)
            stamp_ns = index * 1_000_000_000 // RATE
            self._counters.frames += 1
            picture = self._pictures[min(step, 2 * _STEPS - 2 - step)]
            yield Frame(picture, index, stamp_ns, begin_ms + stamp_ns // 1_000_000, self._camera_id)

    def close(self) -> None:
        """End the iteration."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@lru_cache(maxsize=1)
def _pictures(plates: int, size: tuple[int, int]) -> tuple[Luma, ...]:
    return tuple(draw(plates, size, step) for step in range(_STEPS))


def draw(plates: int, size: tuple[int, int], step: int) -> Luma:
    """One picture (H, W) uint8; everything on the road is `step` pixels further to the right and down."""
    width, height = size
    picture = ground(width, height)
    for cell, text in zip(_CELLS[:plates], TEXTS, strict=False):
        x = width * (2 * (cell % COLUMNS) + 1) // (2 * COLUMNS)
        y = height * (2 * (cell // COLUMNS) + 1) // (2 * ROWS) + height // 20
        vehicle(picture, (x + step, y + step), round(_WIDTH * width), text)
    return picture


def ground(width: int, height: int) -> Luma:
    """Sky over a grey road with grain; the same each time."""
    horizon = height // 3
    rows = np.concatenate([np.linspace(150, 120, horizon), np.linspace(80, 110, height - horizon)])
    grain = np.random.default_rng(3).normal(0, 36, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(grain, (0, 0), 1.5)
    return np.clip(rows[:, None] + smooth, 0, 255).astype(np.uint8)


def vehicle(picture: Luma, centre: tuple[int, int], plate_px: int, text: str) -> None:
    """The back of a car around its plate, drawn in place."""
    (x, y), plate = centre, _plate(plate_px, text)
    body_w, body_h = round(2.4 * plate_px), round(1.3 * plate_px)
    left, top = x - body_w // 2, y - round(0.62 * body_h)
    cv2.rectangle(picture, (left, top), (left + body_w, top + body_h), 55, -1)
    cv2.rectangle(picture, (left + body_w // 8, top - body_h // 3), (left + body_w * 7 // 8, top), 35, -1)
    for lamp in (left + body_w // 12, left + body_w * 11 // 12 - body_w // 8):
        cv2.rectangle(picture, (lamp, top + body_h // 6), (lamp + body_w // 8, top + body_h // 3), 170, -1)
    rows, columns = plate.shape
    first = y - rows // 2, x - columns // 2
    picture[first[0] : first[0] + rows, first[1] : first[1] + columns] = plate


def _plate(width: int, text: str) -> Luma:
    """A white plate with a dark border (H, `width`), drawn larger and shrunk."""
    wide, high = width * _FINE, round(width / 4.6) * _FINE
    plate = np.full((high, wide), 225, np.uint8)
    cv2.rectangle(plate, (0, 0), (wide - 1, high - 1), 40, _FINE)
    (columns, rows), _ = cv2.getTextSize(text, _FONT, 1.0, _STROKE)
    scale = min(0.86 * wide / columns, 0.62 * high / rows)
    stroke = max(1, round(_STROKE * scale))
    (columns, rows), _ = cv2.getTextSize(text, _FONT, scale, stroke)
    place = ((wide - columns) // 2, (high + rows) // 2)
    cv2.putText(plate, text, place, _FONT, scale, 25, stroke, cv2.LINE_AA)
    return np.asarray(cv2.resize(plate, (width, high // _FINE), interpolation=cv2.INTER_AREA), np.uint8)
