"""The calls of the CUDA driver that are used, by ctypes on libcuda or through cuda-bindings where that is installed.

Both give what a call puts out and turn every status but success into a `GpuError` with the driver's name of it.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping
from ctypes import c_char_p, c_int, c_size_t, c_ubyte, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from edge_alpr.errors import GpuError, GpuLostError

LIBCUDA = "libcuda.so.1"
_OUT_OF_MEMORY = 2
_NOT_SUPPORTED = 801
_LOST = frozenset({3, 4, 46, 100, 101, 201, 214, 220, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 802, 999})
"""Statuses after which nothing in this process runs on the GPU again: it is gone, or its context is broken."""
_REMEDIES: Mapping[int, str] = {
    _OUT_OF_MEMORY: "close what else uses the GPU, or take a smaller frame or model",
    35: "the driver is older than the CUDA it must run: update it",
    100: "there is no GPU here: run on the processor",
    _NOT_SUPPORTED: "this driver cannot do it: update it",
    900: "nothing may wait or allocate while a graph is captured: report this",
}


class EglFrame(ctypes.Structure):
    """`CUeglFrame` of cudaEGL.h, 64 bytes: `planes` are pointers where `kind` is 1 (pitch-linear), else arrays."""

    _fields_ = (
        ("planes", c_void_p * 3), ("width", c_uint), ("height", c_uint), ("depth", c_uint), ("pitch", c_uint),
        ("plane_count", c_uint), ("channels", c_uint), ("kind", c_int), ("colour", c_int), ("format", c_int),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Out:
    """A parameter that the driver fills in."""

    type: Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter that is one of an enumeration, by its name in cuda-bindings."""

    name: str


_NAME_BYTES = 256
_CONTEXT, _STREAM, _EVENT, _GRAPH, _RESOURCE, _HOST = (c_void_p,) * 6
_DEVICE, _POINTER = c_int, c_ulonglong

CALLS: Mapping[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (Out(c_int),),
    "cuDeviceGetCount": (Out(c_int),),
    "cuDeviceGet": (Out(_DEVICE), c_int),
    "cuDeviceGetName": (Out(ctypes.c_char * _NAME_BYTES), c_int, _DEVICE),
    "cuDeviceGetAttribute": (Out(c_int), Choice("CUdevice_attribute"), _DEVICE),
    "cuDeviceTotalMem_v2": (Out(c_size_t), _DEVICE),
    "cuDevicePrimaryCtxRetain": (Out(_CONTEXT), _DEVICE),
    "cuDevicePrimaryCtxRelease_v2": (_DEVICE,),
    "cuCtxSetCurrent": (_CONTEXT,),
    "cuCtxGetCurrent": (Out(_CONTEXT),),
    "cuCtxGetDevice": (Out(_DEVICE),),
    "cuCtxSynchronize": (),
    "cuMemGetInfo_v2": (Out(c_size_t), Out(c_size_t)),
    "cuMemAlloc_v2": (Out(_POINTER), c_size_t),
    "cuMemFree_v2": (_POINTER,),
    "cuMemAllocHost_v2": (Out(_HOST), c_size_t),
    "cuMemFreeHost": (_HOST,),
    "cuMemcpyHtoDAsync_v2": (_POINTER, _HOST, c_size_t, _STREAM),
    "cuMemcpyDtoHAsync_v2": (_HOST, _POINTER, c_size_t, _STREAM),
    "cuMemsetD8Async": (_POINTER, c_ubyte, c_size_t, _STREAM),
    "cuStreamCreate": (Out(_STREAM), c_uint),
    "cuStreamDestroy_v2": (_STREAM,),
    "cuStreamSynchronize": (_STREAM,),
    "cuEventCreate": (Out(_EVENT), c_uint),
    "cuEventDestroy_v2": (_EVENT,),
    "cuEventRecord": (_EVENT, _STREAM),
    "cuEventSynchronize": (_EVENT,),
    "cuStreamWaitEvent": (_STREAM, _EVENT, c_uint),
    "cuStreamBeginCapture_v2": (_STREAM, Choice("CUstreamCaptureMode")),
    "cuStreamEndCapture": (_STREAM, Out(_GRAPH)),
    "cuGraphInstantiateWithFlags": (Out(_GRAPH), _GRAPH, c_ulonglong),
    "cuGraphLaunch": (_GRAPH, _STREAM),
    "cuGraphExecDestroy": (_GRAPH,),
    "cuGraphDestroy": (_GRAPH,),
    "cuGraphicsEGLRegisterImage": (Out(_RESOURCE), c_void_p, c_uint),
    "cuGraphicsResourceGetMappedEglFrame": (Out(EglFrame), _RESOURCE, c_uint, c_uint),
    "cuGraphicsUnregisterResource": (_RESOURCE,),
}
"""Name of the symbol, and its parameters in C's order; what is put out is marked."""


class Driver(Protocol):
    """The CUDA driver."""

    def call(self, name: str, *values: int) -> Any:
        """Call `name` of `CALLS` with all parameters that are not put out; gives what is (None, one, or a tuple).

        Raises `GpuError`, and `GpuLostError` for a status after which the GPU is of no use to this process.
        """


class Library:
    """The driver by ctypes; a call gives up the interpreter's lock."""

    def __init__(self, path: str = LIBCUDA) -> None:
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            way_out = "install NVIDIA's driver, or run on the processor"
            raise GpuError(f"{path} cannot be loaded: {error}; {way_out}") from error
        self._functions = {name: self._declared(name, parameters) for name, parameters in CALLS.items()}
        self._names = getattr(self._library, "cuGetErrorName", None)

    def call(self, name: str, *values: int) -> Any:
        """See `Driver`."""
        function, parameters, kinds = self._functions[name]
        if function is None:
            raise GpuError(f"the driver has no {name}; update NVIDIA's driver", _NOT_SUPPORTED)
        if not kinds:
            status = function(*values)
            return None if not status else self._refuse(name, status)
        outs = [kind() for kind in kinds]
        given, put = iter(values), iter(outs)
        status = function(*(ctypes.byref(next(put)) if isinstance(p, Out) else next(given) for p in parameters))
        if status:
            self._refuse(name, status)
        results = tuple(out if isinstance(out, EglFrame) else out.value or 0 for out in outs)
        return results[0] if len(results) == 1 else results

    def _refuse(self, name: str, status: int) -> None:
        text = c_char_p()
        if self._names is not None:
            self._names(c_int(status), ctypes.byref(text))
        raise error_of(name, status, (text.value or b"").decode())

    def _declared(self, name: str, parameters: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
        """The function with its types; None for one that an old driver lacks: told when it is wanted."""
        function = getattr(self._library, name, None)
        if function is not None:
            function.argtypes = [_ctype(parameter) for parameter in parameters]
            function.restype = c_int
        return function, parameters, tuple(p.type for p in parameters if isinstance(p, Out))


class Bindings:
    """The driver through cuda-bindings, whose calls give their status first and then what they put out."""

    def __init__(self) -> None:
        try:
            self._driver = importlib.import_module("cuda.bindings.driver")
        except ImportError as error:
            raise GpuError(f"cuda-bindings cannot be loaded: {error}; install it again, or remove it") from error

    def call(self, name: str, *values: int) -> Any:
        """See `Driver`."""
        function = getattr(self._driver, name.removesuffix("_v2").removesuffix("WithFlags"))
        wanted = [parameter for parameter in CALLS[name] if not isinstance(parameter, Out)]
        given = [self._given(value, kind) for value, kind in zip(values, wanted, strict=True)]
        try:
            status, *outs = function(*given)
        except RuntimeError as error:  # it found no libcuda, or no such function there
            raise GpuError(f"{name}: {error}; install NVIDIA's driver, or update it") from error
        if int(status):
            raise error_of(name, int(status), status.name)
        results = tuple(_plain(out) for out in outs)
        return results[0] if len(results) == 1 else results or None

    def _given(self, value: int, kind: Any) -> Any:
        return getattr(self._driver, kind.name)(value) if isinstance(kind, Choice) else value


def open_driver(path: str = "") -> Driver:
    """The driver of this machine; with `path` that library by ctypes. Raises `GpuError` where there is none."""
    library = Library(path or LIBCUDA)
    return Bindings() if not path and _bindings_there() else library


def error_of(name: str, status: int, text: str) -> GpuError:
    """The error of a call, with the driver's name of its status and the way out."""
    lost = status in _LOST
    usual = "start the program again; if that does not help, start the board again" if lost else "see: edge-alpr doctor"
    message = f"{name}: {text or 'CUDA_ERROR'} ({status}); {_REMEDIES.get(status, usual)}"
    return (GpuLostError if lost else GpuError)(message, status)


def _ctype(parameter: Any) -> Any:
    if isinstance(parameter, Out):
        return ctypes.POINTER(parameter.type)
    return c_int if isinstance(parameter, Choice) else parameter


def _plain(out: Any) -> Any:
    """What ctypes would have given: numbers, bytes up to the first zero, an `EglFrame`."""
    if isinstance(out, bytes):
        return out.partition(b"\0")[0]
    if hasattr(out, "eglColorFormat"):
        return EglFrame.from_buffer_copy(ctypes.string_at(out.getPtr(), ctypes.sizeof(EglFrame)))
    return int(out)


def _bindings_there() -> bool:
    try:
        return find_spec("cuda.bindings.driver") is not None
    except ModuleNotFoundError:
        return False
