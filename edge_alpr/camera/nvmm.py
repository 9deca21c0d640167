"""Pictures in a Jetson's video memory: the Y plane is handed over where it lies, no byte is copied.

A buffer with caps `memory:NVMM` holds an NvBufSurface. CUDA sees it through an EGL image, registered once for each
surface of the pool, or, where `cudaBuffer` is filled in (Thor), directly.
"""

from __future__ import annotations

import ctypes
from contextlib import AbstractContextManager, ExitStack
from ctypes import CDLL
from pathlib import Path
from typing import Any

from edge_alpr.camera.buffers import Mapping, has_feature
from edge_alpr.camera.hostview import mapped_surface
from edge_alpr.camera.mapped import Layout, Loan
from edge_alpr.camera.registrations import MOST, Register, Registrations
from edge_alpr.camera.surface import (
    LUMA_FORMATS,
    PITCH_LINEAR,
    Abi,
    CudaBuffer,
    choose_abi,
)
from edge_alpr.errors import SurfaceError, SurfaceLostError
from edge_alpr.gpuhealth import GpuHealth
from edge_alpr.l4t import RELEASE_FILE, l4t_release
from edge_alpr.types import DevicePlane, HostPixels, Memory

FEATURE = "memory:NVMM"
_EGL_ROWS = 1
_REMEDY = "; put 'nvvidconv bl-output=false ! video/x-raw(memory:NVMM),format=NV12' before the sink"


class NvmmBorrower:
    """A `Borrower` of NVMM surfaces. `library` is `load_library()`; one borrower belongs to one pipeline at a time.

    Raises `SurfaceError` for a surface that does not lie as it must, `SurfaceLostError` for a call that failed. With
    `health` such a call is a fault, and the picture is lent mapped for the processor, as all are once the GPU is lost.
    """

    def __init__(
        self,
        library: CDLL,
        register: Register,
        release_file: Path = RELEASE_FILE,
        most: int = MOST,
        health: GpuHealth | None = None,
    ) -> None:
        self.registrations = Registrations(library, register, most)
        self._library, self._health = library, health
        release = l4t_release(release_file).partition(".")[0]
        self._release = int(release) if release else None
        self._abi: Abi | None = None

    def borrow(self, sample: Any) -> Loan:
        """The Y plane of a sample; surface and sample are held until the loan is released."""
        caps = sample.get_caps()
        if not has_feature(caps, FEATURE):
            raise SurfaceError(f"the pictures are not in video memory ({caps.to_string()}){_REMEDY}")
        mapping = Mapping(sample.get_buffer())
        try:
            return self._lent(mapping, caps.get_structure(0))
        except BaseException:
            mapping.release()
            raise

    def forget(self) -> None:
        """Unregister all surfaces."""
        self.registrations.forget()
        self._abi = None

    def _lent(self, mapping: Mapping, fields: Any) -> Loan:
        params, layout = self._examine(mapping, fields)

        def look() -> AbstractContextManager[HostPixels]:
            addresses = params.mappedAddr.addr
            return mapped_surface(self._library, mapping.data, lambda: (addresses[0] or 0, addresses[1] or 0), layout)

        plane = self._plane(mapping, params, layout)
        if plane is not None:
            return Loan(layout, mapping.release, plane=plane, look=look)
        with ExitStack() as held:
            held.callback(mapping.release)
            luma, chroma = held.enter_context(look())
            return Loan(layout, held.pop_all().close, luma, chroma)

    def _plane(self, mapping: Mapping, params: ctypes.Structure, layout: Layout) -> DevicePlane | None:
        """Where CUDA sees the Y plane; None where it does not, and the processor is to go on."""
        health = self._health
        if health is not None and health.lost:
            return None
        try:
            pointer = _cuda_pointer(params) or self._egl_pointer(mapping, params, layout)
        except SurfaceLostError as error:
            if health is None:
                raise
            health.fault(error)
            return None
        return DevicePlane(pointer, layout.width, layout.height, layout.strides[0], Memory.NVMM)

    def _examine(self, mapping: Mapping, fields: Any) -> tuple[ctypes.Structure, Layout]:
        if self._abi is None or mapping.size != self._abi.bytes or not mapping.data:
            self._abi = choose_abi(mapping.size if mapping.data else 0, self._release)
        params = _only_surface(self._abi, mapping.data)
        width, height = fields.get_int("width").value, fields.get_int("height").value
        return params, _layout(params, width, height)

    def _egl_pointer(self, mapping: Mapping, params: ctypes.Structure, layout: Layout) -> int:
        frame = self.registrations.frame_of(mapping.data, params, mapping.memory)
        if frame.kind != _EGL_ROWS or not frame.planes[0]:
            raise SurfaceError(f"CUDA sees the picture as an array, not in rows{_REMEDY}")
        if frame.pitch != layout.strides[0] or frame.width < layout.width or frame.height < layout.height:
            raise SurfaceError(
                f"CUDA sees {frame.width}x{frame.height} with rows of {frame.pitch} bytes where the surface says "
                f"{layout.width}x{layout.height} and {layout.strides[0]}; read frames from system memory"
            )
        return int(frame.planes[0])


def _only_surface(abi: Abi, address: int) -> ctypes.Structure:
    """The parameters of the one surface of a batch of one."""
    surface = abi.surface.from_address(address)
    if surface.batchSize != 1 or surface.numFilled > 1 or not surface.surfaceList:
        raise SurfaceError(
            f"a buffer holds a batch of {surface.batchSize} pictures, not one; take nvstreammux out of the pipeline"
        )
    return abi.params.from_address(surface.surfaceList)


def _layout(params: ctypes.Structure, width: int, height: int) -> Layout:
    """Where the planes lie. Raises `SurfaceError` where the first is not `width` by `height` luma in rows."""
    if params.layout != PITCH_LINEAR:
        raise SurfaceError(f"the surface is block-linear, not in rows{_REMEDY}")
    if params.colorFormat not in LUMA_FORMATS:
        raise SurfaceError(f"the surface has colour format {params.colorFormat}, not NV12{_REMEDY}")
    planes = params.planeParams
    pitch = planes.pitch[0]
    if planes.num_planes != 2 or planes.width[0] < width or planes.height[0] < height or pitch < width:
        raise SurfaceError(
            f"the surface has {planes.num_planes} planes, the first {planes.width[0]}x{planes.height[0]} with rows of "
            f"{pitch} bytes, where the stream says {width}x{height} NV12; read frames from system memory"
        )
    return Layout("NV12", width, height, tuple(planes.offset[:2]), tuple(planes.pitch[:2]))


def _cuda_pointer(params: ctypes.Structure) -> int:
    """Where CUDA sees the Y plane without EGL; 0 where that is not told."""
    address = getattr(params, "cudaBuffer", None)
    start = CudaBuffer.from_address(address).dataPtr if address else None
    return int(start) + int(params.planeParams.offset[0]) if start else 0
