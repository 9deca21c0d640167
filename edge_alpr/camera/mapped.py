"""A decoded picture as NumPy views on the mapped buffer: nothing is copied."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_alpr.camera.bindings import gst, gst_video
from edge_alpr.errors import SourceCorruptError
from edge_alpr.types import DevicePlane, HostPixels, Luma

_HALF_PLANES = {"I420": (1, 2, 1, 1), "YV12": (2, 1, 1, 1), "Y42B": (1, 2, 2, 1), "Y444": (1, 2, 2, 2)}
"""Format -> plane of U, plane of V, row step and column step to see them at half size."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the planes of a picture lie in its buffer, in bytes."""

    format: str
    width: int
    height: int
    offsets: tuple[int, ...]
    strides: tuple[int, ...]


_EMPTY: Luma = np.empty((0, 0), np.uint8)
Look = Callable[[], AbstractContextManager[HostPixels]]
"""As `Frame.look`."""


class Loan:
    """A mapped buffer: views and plane are good until `release`, which calls `give_back` once, whoever calls it how
    often. `give_back` unmaps. An appsink holds the buffer of its last sample too, until it hands out the next.
    """

    def __init__(
        self,
        layout: Layout,
        give_back: Callable[[], None],
        luma: Luma = _EMPTY,
        chroma: tuple[Luma, ...] = (),
        plane: DevicePlane | None = None,
        look: Look | None = None,
    ) -> None:
        self._held = [give_back]
        self.layout = layout
        self.luma = luma
        self.chroma = chroma
        self.plane = plane
        self.look = look

    def release(self) -> None:
        """Unmap and give the buffer back to its pool."""
        try:
            give_back = self._held.pop()
        except IndexError:
            return
        self.luma, self.chroma, self.plane, self.look = _EMPTY, (), None, None
        give_back()


def borrow(sample: Any) -> Loan:
    """Map the picture of an appsink sample for reading. Raises `SourceCorruptError` where its layout is wrong.

    `luma` is (H, W) uint8, read-only, rows as far apart as the decoder laid them; `chroma` as in `Frame`.
    Planes in memories of their own would have to be merged by a copy: then only the luma is mapped.
    """
    buffer = sample.get_buffer()
    layout = layout_of(sample.get_caps(), buffer)
    read = gst().MapFlags.READ
    in_one_piece = buffer.n_memory() == 1
    ok, info = buffer.map(read) if in_one_piece else buffer.map_range(0, 1, read)
    if not ok:
        raise SourceCorruptError("a decoded picture cannot be mapped into memory; try again")
    # A view of its own: unmapping releases `info.data`, which must not have NumPy arrays hanging on it.
    data: NDArray[np.uint8] = np.frombuffer(memoryview(info.data), np.uint8)
    try:
        luma = _plane(data, layout, 0, (layout.height, layout.width))
        chroma = _chroma(data, layout) if in_one_piece else ()
    except ValueError as error:
        buffer.unmap(info)
        raise SourceCorruptError(f"a decoded picture is shorter than its layout ({error})") from error
    return Loan(layout, partial(buffer.unmap, info), luma, chroma)


def layout_of(caps: Any, buffer: Any) -> Layout:
    """From the buffer's own metadata where it has some (padded rows), else from the caps."""
    fields = caps.get_structure(0)
    meta = gst_video().buffer_get_video_meta(buffer)
    described = meta if meta is not None else gst_video().VideoInfo.new_from_caps(caps)
    planes = meta.n_planes if meta is not None else described.finfo.n_planes
    return Layout(
        format=fields.get_string("format"),
        width=fields.get_int("width").value,
        height=fields.get_int("height").value,
        offsets=tuple(described.offset[:planes]),
        strides=tuple(described.stride[:planes]),
    )


def _chroma(data: NDArray[np.uint8], layout: Layout) -> tuple[Luma, ...]:
    """(U, V) at half size, (UV,) for NV12, else nothing."""
    rows, columns = (layout.height + 1) // 2, (layout.width + 1) // 2
    if layout.format == "NV12":
        return (_plane(data, layout, 1, (rows, 2 * columns)),)
    if layout.format not in _HALF_PLANES:
        return ()
    u, v, row_step, column_step = _HALF_PLANES[layout.format]
    shape = (layout.height if row_step == 2 else rows, layout.width if column_step == 2 else columns)
    return (
        _plane(data, layout, u, shape)[::row_step, ::column_step],
        _plane(data, layout, v, shape)[::row_step, ::column_step],
    )


def _plane(data: NDArray[np.uint8], layout: Layout, number: int, shape: tuple[int, int]) -> Luma:
    strides = (layout.strides[number], 1)
    plane: Luma = np.ndarray(shape, np.uint8, buffer=data, offset=layout.offsets[number], strides=strides)
    return plane
