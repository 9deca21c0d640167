"""How an NvBufSurface lies in memory: NVIDIA's binary interface, as ctypes structures.

A `NvBufSurface` has grown once. L4T r35 and r36 (JetPack 5 and 6) have it in 64 bytes, r38 and later (JetPack 7) in
72. Its size in a mapped buffer tells which, and must agree with the release that the board states.
"""

from __future__ import annotations

from ctypes import Structure, c_bool, c_int, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

from edge_alpr.errors import SurfaceError
from edge_alpr.l4t import RELEASE_FILE

PITCH_LINEAR = 0
LUMA_FORMATS = {6: "NV12", 7: "NV12_ER", 33: "NV12_709", 34: "NV12_709_ER", 36: "NV12_2020"}
"""Colour formats whose first plane is 8-bit luma."""
_PLANES = 4


class PlaneParams(Structure):
    """NvBufSurfacePlaneParams, 232 bytes; lengths in bytes, sizes in pixels of the plane."""

    _fields_ = [
        ("num_planes", c_uint32),
        ("width", c_uint32 * _PLANES),
        ("height", c_uint32 * _PLANES),
        ("pitch", c_uint32 * _PLANES),
        ("offset", c_uint32 * _PLANES),
        ("psize", c_uint32 * _PLANES),
        ("bytesPerPix", c_uint32 * _PLANES),
        ("_reserved", c_void_p * (4 * _PLANES)),
    ]


class MappedAddress35(Structure):
    """NvBufSurfaceMappedAddr, 72 bytes."""

    _fields_ = [("addr", c_void_p * _PLANES), ("eglImage", c_void_p), ("_reserved", c_void_p * 4)]


class MappedAddress38(Structure):
    """NvBufSurfaceMappedAddr, 88 bytes."""

    _fields_ = [
        ("addr", c_void_p * _PLANES),
        ("eglImage", c_void_p),
        ("nvmmPtr", c_void_p),
        ("cudaPtr", c_void_p),
        ("_reserved", c_void_p * 4),
    ]


class CudaBuffer(Structure):
    """NvBufSurfaceCudaBuffer: where CUDA sees the surface without EGL (Thor)."""

    _fields_ = [
        ("basePtr", c_void_p),
        ("dataPtr", c_void_p),
        ("extMem", c_void_p),
        ("mipmap", c_void_p),
        ("_reserved", c_void_p * 8),
    ]


_PARAMS_START: list[Any] = [
    ("width", c_uint32),
    ("height", c_uint32),
    ("pitch", c_uint32),
    ("colorFormat", c_int),
    ("layout", c_int),
    ("bufferDesc", c_uint64),
    ("dataSize", c_uint32),
    ("dataPtr", c_void_p),
    ("planeParams", PlaneParams),
]


class Params35(Structure):
    """NvBufSurfaceParams, 384 bytes."""

    _fields_ = [*_PARAMS_START, ("mappedAddr", MappedAddress35), ("paramex", c_void_p), ("_reserved", c_void_p * 3)]


class Params38(Structure):
    """NvBufSurfaceParams, 416 bytes."""

    _fields_ = [
        *_PARAMS_START,
        ("mappedAddr", MappedAddress38),
        ("paramex", c_void_p),
        ("cudaBuffer", c_void_p),
        ("_reserved", c_void_p * 4),
    ]


_SURFACE_START: list[Any] = [
    ("gpuId", c_uint32),
    ("batchSize", c_uint32),
    ("numFilled", c_uint32),
    ("isContiguous", c_bool),
    ("memType", c_int),
    ("surfaceList", c_void_p),
]


class Surface35(Structure):
    """NvBufSurface, 64 bytes."""

    _fields_ = [*_SURFACE_START, ("_reserved", c_void_p * 4)]


class Surface38(Structure):
    """NvBufSurface, 72 bytes. The place of `isImportedBuf` among the last 40 is not relied on."""

    _fields_ = [*_SURFACE_START, ("isImportedBuf", c_bool), ("_reserved", c_void_p * 4)]


@dataclass(frozen=True, slots=True)
class Abi:
    """One shape of the interface, and the L4T releases that have it (`until` is not one of them)."""

    surface: type[Structure]
    params: type[Structure]
    since: int
    until: int
    bytes: int


ABIS = (Abi(Surface35, Params35, 35, 37, 64), Abi(Surface38, Params38, 38, 1000, 72))


def choose_abi(size: int, release: int | None) -> Abi:
    """The interface of a mapped surface of `size` bytes on L4T `release`. Raises `SurfaceError` where they disagree."""
    if release is None:
        raise SurfaceError(
            f"{RELEASE_FILE} is missing, so nobody can tell how this board's video memory is laid out; in a container "
            f"mount it (-v {RELEASE_FILE}:{RELEASE_FILE}:ro), else read frames from system memory"
        )
    for abi in ABIS:
        if size == abi.bytes and abi.since <= release < abi.until:
            return abi
    raise SurfaceError(
        f"a video surface of {size} bytes on L4T r{release} is not known (64 on r35 and r36, 72 since r38): the "
        "multimedia libraries are not this release's; install the matching nvidia-l4t-multimedia, or read frames from "
        "system memory"
    )
