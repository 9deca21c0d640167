"""Pictures in a desktop GPU's memory, as nvcodec decodes them: the Y plane is handed over where it lies.

The pointer belongs to the CUDA context of GStreamer's decoder. A session that runs in another one cannot use it: give
the pipeline the session's context before it starts, with `share_context` as `DeviceFrames.prepare`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_int, c_void_p
from functools import partial
from typing import Any

from edge_alpr.camera.buffers import Mapping, has_feature
from edge_alpr.camera.hostview import fetched
from edge_alpr.camera.mapped import Layout, Loan, layout_of
from edge_alpr.errors import MissingElementError, SurfaceError, SurfaceLostError
from edge_alpr.types import DevicePlane, Memory

FEATURE = "memory:CUDAMemory"
MAP_CUDA = 1 << 17
LIBRARY = "libgstcuda-1.0.so.0"
_REMEDY = "; put 'video/x-raw(memory:CUDAMemory),format=NV12' before the sink"

Sync = Callable[[int], None]
"""Waits until the picture in the GstMemory at this address is written."""


class CudaBorrower:
    """A `Borrower` of GstCudaMemory. Raises `SurfaceError` and `SurfaceLostError`."""

    def __init__(self, sync: Sync) -> None:
        self._sync = sync

    def borrow(self, sample: Any) -> Loan:
        """The Y plane of a sample; the sample is held until the loan is released."""
        caps, buffer = sample.get_caps(), sample.get_buffer()
        if not has_feature(caps, FEATURE):
            raise SurfaceError(f"the pictures are not in the GPU's memory ({caps.to_string()}){_REMEDY}")
        if buffer.n_memory() != 1:
            raise SurfaceError(f"a picture lies in {buffer.n_memory()} memories, not one{_REMEDY}")
        layout = layout_of(caps, buffer)
        _check(layout)
        mapping = Mapping(buffer, MAP_CUDA)
        try:
            plane = self._plane(mapping, layout)
        except BaseException:
            mapping.release()
            raise
        return Loan(layout, mapping.release, plane=plane, look=partial(fetched, buffer, layout))

    def forget(self) -> None:
        """Nothing is kept."""

    def _plane(self, mapping: Mapping, layout: Layout) -> DevicePlane:
        end = layout.offsets[0] + layout.strides[0] * (layout.height - 1) + layout.width
        if not mapping.data or mapping.size < end:
            raise SurfaceError(f"a picture has {mapping.size} bytes and its Y plane ends at {end}; update GStreamer")
        self._sync(mapping.memory)
        pointer = mapping.data + layout.offsets[0]
        return DevicePlane(pointer, layout.width, layout.height, layout.strides[0], Memory.CUDA)


def _check(layout: Layout) -> None:
    if layout.format != "NV12":
        raise SurfaceError(f"the pictures are {layout.format}, not NV12{_REMEDY}")
    if layout.strides[0] < layout.width:
        raise SurfaceError(f"rows of {layout.strides[0]} bytes cannot hold {layout.width} pixels; update GStreamer")


def load_library() -> ctypes.CDLL:
    """GStreamer's CUDA library. Raises `MissingElementError` where it is not installed."""
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise MissingElementError(
            f"frames in GPU memory need {LIBRARY} ({error}); sudo apt-get install libgstreamer-plugins-bad1.0-0"
        ) from error


def syncing(library: ctypes.CDLL) -> Sync:
    """How to wait for the decoder. Before GStreamer 1.24 it waits by itself before it hands a picture over."""
    wait = getattr(library, "gst_cuda_memory_sync", None)
    if wait is None:
        return lambda _memory: None
    wait.argtypes, wait.restype = [c_void_p], None

    def sync(memory: int) -> None:
        wait(memory)

    return sync


def share_context(pipeline: Any, context: int, device: int, library: ctypes.CDLL) -> None:
    """Let a pipeline that has not started decode in the CUcontext `context` of CUdevice `device`."""
    library.gst_cuda_context_new_wrapped.argtypes = [c_void_p, c_int]
    library.gst_cuda_context_new_wrapped.restype = c_void_p
    library.gst_context_new_cuda_context.argtypes = [c_void_p]
    library.gst_context_new_cuda_context.restype = c_void_p
    loaded = library.gst_cuda_load_library()  # else the next call ends the process
    wrapped = library.gst_cuda_context_new_wrapped(context, device) if loaded else None
    if not wrapped:
        raise SurfaceLostError("GStreamer cannot use this CUDA context; read frames from system memory")
    core = ctypes.CDLL("libgstreamer-1.0.so.0")
    for name, arguments in (("gst_element_set_context", 2), ("gst_mini_object_unref", 1), ("gst_object_unref", 1)):
        getattr(core, name).argtypes, getattr(core, name).restype = [c_void_p] * arguments, None
    shared = library.gst_context_new_cuda_context(wrapped)
    core.gst_element_set_context(hash(pipeline), shared)
    core.gst_mini_object_unref(shared)
    core.gst_object_unref(wrapped)
