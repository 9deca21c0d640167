"""How grey pictures enter a network: name, layout, type and scale of its one input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_alpr.types import Floats, Luma

Axes: TypeAlias = Literal["NCHW", "NHWC"]
Dtype: TypeAlias = Literal["uint8", "float32"]


@dataclass(frozen=True, slots=True)
class Feed:
    """The input of a network: `shape` is in the order of `axes`, its N may be 0 for any number.

    One channel is luma, three are the luma three times. A float32 network is given
    (level * scale - mean) / std, with one `mean` and `std` for all channels or one for each.
    """

    name: str
    shape: tuple[int, ...]
    axes: Axes = "NCHW"
    dtype: Dtype = "uint8"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def channels(self) -> int:
        """1 or 3."""
        return self.shape[self.axes.index("C")]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[self.axes.index("H")], self.shape[self.axes.index("W")]


class FeedBuffer:
    """The array that a network is fed with. It owns its memory, so a buffer serves one thread.

    Draw into `planes`, (batch, rows, columns) uint8; what was drawn before stays. For uint8 luma the planes
    are the network's own input, so nothing is copied.
    """

    def __init__(self, feed: Feed, batch: int) -> None:
        self._name = feed.name
        self._array: NDArray[Any] = np.zeros((batch, *feed.shape[1:]), feed.dtype)
        self._channels = np.moveaxis(self._array, -1, 1) if feed.axes == "NHWC" else self._array
        self._levels = levels(feed) if feed.dtype == "float32" else ()
        self._direct = feed.dtype == "uint8" and feed.channels == 1
        self.planes: Luma = self._channels[:, 0] if self._direct else np.zeros((batch, *feed.size), np.uint8)

    def feeds(self, rows: int) -> dict[str, NDArray[Any]]:
        """The first so many planes, as the network takes them: a view that the next call overwrites."""
        if not self._direct:
            self._convert(rows)
        return {self._name: self._array[:rows]}

    def _convert(self, rows: int) -> None:
        for plane, channels in zip(self.planes[:rows], self._channels, strict=False):
            if len(self._levels) <= 1:
                channels[:] = cv2.LUT(plane, self._levels[0]) if self._levels else plane
                continue
            for channel, table in zip(channels, self._levels, strict=True):
                channel[:] = cv2.LUT(plane, table)


def levels(feed: Feed) -> tuple[Floats, ...]:
    """What a float32 network is given for each of the 256 grey levels: one table (256,), or one a channel."""
    count = max(len(feed.mean), len(feed.std))
    mean, std = (np.broadcast_to(np.array(values, np.float64), count) for values in (feed.mean, feed.std))
    grey = np.arange(256) * feed.scale
    return tuple(((grey - m) / s).astype(np.float32) for m, s in zip(mean, std, strict=True))
