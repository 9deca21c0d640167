"""Pictures in device memory shown to the processor, while somebody looks: for the pictures kept with an event, and
for reading on where the GPU is gone. No frame is looked at otherwise.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CDLL
from typing import Any

import numpy as np

from edge_alpr.camera.buffers import Mapping
from edge_alpr.camera.mapped import Layout
from edge_alpr.errors import SurfaceLostError
from edge_alpr.types import HostPixels, Luma

_log = logging.getLogger(__name__)
_READ, _ALL_PLANES = 0, -1
_TRIES = 2
Addresses = tuple[int, int]
"""Of luma and chroma, in the host's memory."""


@contextmanager
def mapped_surface(
    library: CDLL, surface: int, planes: Callable[[], Addresses], layout: Layout
) -> Iterator[HostPixels]:
    """An NVMM surface mapped for reading: `planes` gives the addresses that the call filled in.

    Mapping for EGL and for the processor stand side by side. Raises `SurfaceLostError`.
    """
    _call(library, "NvBufSurfaceMap", surface, 0, _ALL_PLANES, _READ)
    try:
        _call(library, "NvBufSurfaceSyncForCpu", surface, 0, _ALL_PLANES)
        yield pixels_at(planes(), layout)
    finally:
        _unmap(library, surface)


@contextmanager
def fetched(buffer: Any, layout: Layout) -> Iterator[HostPixels]:
    """A picture in CUDAMemory, brought to the host by GStreamer. Raises `SurfaceLostError`."""
    mapping = Mapping(buffer)
    try:
        yield pixels_at((mapping.data + layout.offsets[0], mapping.data + layout.offsets[1]), layout)
    finally:
        mapping.release()


def pixels_at(addresses: Addresses, layout: Layout) -> HostPixels:
    """Luma and interleaved chroma of an NV12 picture as views. Raises `SurfaceLostError` for one without an address."""
    if not all(addresses):
        raise SurfaceLostError("a surface was mapped and has no address; read frames from system memory")
    rows, columns = (layout.height + 1) // 2, (layout.width + 1) // 2
    luma = _rows(addresses[0], layout.strides[0], layout.height, layout.width)
    return luma, (_rows(addresses[1], layout.strides[1], rows, 2 * columns),)


def _rows(address: int, pitch: int, rows: int, columns: int) -> Luma:
    data: Any = (ctypes.c_uint8 * (pitch * (rows - 1) + columns)).from_address(address)
    view: Luma = np.ndarray((rows, columns), np.uint8, buffer=data, strides=(pitch, 1))
    view.flags.writeable = False
    return view


def _unmap(library: CDLL, surface: int) -> None:
    """Tried twice; what stays mapped is told: an error here must not hide the one that led to it."""
    for _ in range(_TRIES):
        try:
            return _call(library, "NvBufSurfaceUnMap", surface, 0, _ALL_PLANES)
        except SurfaceLostError as error:
            _log.warning("a surface in video memory stays mapped: %s", error)
    return None


def _call(library: CDLL, name: str, surface: int, *values: int) -> None:
    status = getattr(library, name)(surface, *values)
    if status != 0:
        raise SurfaceLostError(f"{name} gave {status}; if it happens again, read frames from system memory")
