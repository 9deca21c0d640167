"""Tells decoders that padded pictures are welcome, so that they hand over their own buffers uncopied.

A decoder asks downstream, in an allocation query, whether it may describe its layout with a GstVideoMeta; an
appsink does not answer, so the decoder would copy each picture into the packed layout. The answer is given
here by a pad probe. It is a C callback: a query that Python holds is no longer writable.
"""

from __future__ import annotations

import ctypes
import logging
from typing import Any

from edge_alpr.camera.bindings import gst

_log = logging.getLogger(__name__)
_PROBE_OK = 1


class _MiniObject(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_size_t),
        ("refcount", ctypes.c_int),
        ("lockstate", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("copy", ctypes.c_void_p),
        ("dispose", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
        ("priv_uint", ctypes.c_uint),
        ("priv_pointer", ctypes.c_void_p),
    ]


class _Query(ctypes.Structure):
    _fields_ = [("mini_object", _MiniObject), ("type", ctypes.c_int)]


class _ProbeInfo(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_ulong), ("data", ctypes.c_void_p)]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_ProbeInfo), ctypes.c_void_p)


class _Answer:
    """The probe and the libraries that it calls; made once, lives as long as the process."""

    def __init__(self) -> None:
        self._core = ctypes.CDLL("libgstreamer-1.0.so.0")
        video = ctypes.CDLL("libgstvideo-1.0.so.0")
        video.gst_video_meta_api_get_type.restype = ctypes.c_size_t
        self._meta = video.gst_video_meta_api_get_type()
        self._core.gst_query_add_allocation_meta.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        self._core.gst_pad_add_probe.argtypes = [
            ctypes.c_void_p,
            ctypes.c_int,
            _Callback,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self._core.gst_pad_add_probe.restype = ctypes.c_ulong
        self._allocation = int(gst().QueryType.ALLOCATION)
        self._downstream = int(gst().PadProbeType.QUERY_DOWNSTREAM)
        self._callback = _Callback(self._answer)

    def watch(self, pad: Any) -> None:
        """Answer the allocation queries that reach `pad`."""
        self._core.gst_pad_add_probe(hash(pad), self._downstream, self._callback, None, None)

    def _answer(self, _pad: int, info: Any, _data: int) -> int:
        query = info.contents.data
        if query and _Query.from_address(query).type == self._allocation:
            self._core.gst_query_add_allocation_meta(query, self._meta, None)
        return _PROBE_OK


_answers: list[_Answer] = []


def welcome_padding(pad: Any) -> bool:
    """Accept pictures in the decoder's own layout at `pad`. False where that cannot be set up: they are copied."""
    try:
        if not _answers:
            _answers.append(_Answer())
    except (OSError, AttributeError) as error:
        _log.warning("decoded pictures are copied once: %s", error)
        return False
    _answers[0].watch(pad)
    return True
