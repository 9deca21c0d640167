"""Maps GStreamer buffers in device memory, by C calls: PyGObject would copy what `data` points to, and crash."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_bool, c_int, c_size_t, c_uint, c_void_p
from functools import lru_cache
from typing import Any

from edge_alpr.camera.bindings import gst
from edge_alpr.errors import SurfaceLostError

Notify = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
"""Called with user data when a mini object is about to be freed, in whatever thread frees it."""


class MapInfo(Structure):
    """GstMapInfo, 104 bytes."""

    _fields_ = [
        ("memory", c_void_p),
        ("flags", c_int),
        ("data", c_void_p),
        ("size", c_size_t),
        ("maxsize", c_size_t),
        ("user_data", c_void_p * 4),
        ("_reserved", c_void_p * 4),
    ]


@lru_cache(maxsize=1)
def core() -> ctypes.CDLL:
    """GStreamer's own library, with the calls of this package declared."""
    gst()
    library = ctypes.CDLL("libgstreamer-1.0.so.0")
    library.gst_buffer_map.argtypes = [c_void_p, POINTER(MapInfo), c_int]
    library.gst_buffer_map.restype = c_bool
    library.gst_buffer_unmap.argtypes = [c_void_p, POINTER(MapInfo)]
    library.gst_buffer_unmap.restype = None
    library.gst_buffer_peek_memory.argtypes = [c_void_p, c_uint]
    library.gst_buffer_peek_memory.restype = c_void_p
    for name in ("gst_mini_object_weak_ref", "gst_mini_object_weak_unref"):
        function = getattr(library, name)
        function.argtypes, function.restype = [c_void_p, Notify, c_void_p], None
    return library


class Mapping:
    """A buffer of one memory, mapped: `data` is good until `release`, which must be called once.

    Owns a reference to the buffer, so its memory does not go back to the pool before. Raises `SurfaceLostError`.
    """

    def __init__(self, buffer: Any, flags: int = 0) -> None:
        self._buffer = buffer
        self._info = MapInfo()
        if not core().gst_buffer_map(hash(buffer), byref(self._info), int(gst().MapFlags.READ) | flags):
            raise SurfaceLostError(
                "a picture in device memory cannot be mapped; if it happens again, read frames from system memory"
            )
        self.data: int = self._info.data or 0
        self.size: int = self._info.size
        self.memory: int = core().gst_buffer_peek_memory(hash(buffer), 0)

    def release(self) -> None:
        """Unmap, and let the buffer go."""
        core().gst_buffer_unmap(hash(self._buffer), byref(self._info))
        self._buffer = None


def has_feature(caps: Any, feature: str) -> bool:
    """Do these caps lie in a memory such as `memory:NVMM`?"""
    features = caps.get_features(0)
    return features is not None and bool(features.contains(feature))
