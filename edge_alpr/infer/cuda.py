"""One thin layer over the CUDA driver: a GPU, and what is had from it and given back exactly once.

Everything belongs to its `Gpu`. It goes back by `close`, at the end of `with`, or with its last reference, and at the
latest when the GPU is closed. What was given back has no handle any more: using it is a `GpuError`.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from edge_alpr.errors import GpuError
from edge_alpr.infer.driver import Driver, EglFrame, open_driver

ALIGNMENT = 256
"""Bytes that the address of a TensorRT input must be a multiple of."""
_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18
_NON_BLOCKING = 1
_BLOCKING_SYNC, _NO_TIMING = 1, 2
_THREAD_LOCAL = 1
_PITCH_LINEAR = 1
_NAME_BYTES = 256
_TRIES = 2


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """What a plan is built for: `sm` is 87 for an Orin; `driver` is the highest CUDA it runs, 12060 for 12.6."""

    name: str
    sm: int
    driver: int
    memory_bytes: int
    integrated: bool


class Gpu:
    """A GPU and a context on it: the primary one, which TensorRT and ONNX Runtime use too, or one of the caller's.

    A context is current for a thread: every call here makes it so for the thread that calls.
    """

    def __init__(self, driver: Driver, ordinal: int = 0, context: int = 0) -> None:
        """With `context` that one is used, on its own device; it stays its owner's."""
        self._driver = driver
        driver.call("cuInit", 0)
        if context:
            driver.call("cuCtxSetCurrent", context)
        device = int(driver.call("cuCtxGetDevice") if context else driver.call("cuDeviceGet", ordinal))
        self._device, self.info = device, _info(driver, device)
        self._owned: dict[int, tuple[str, int]] = {}
        self._tokens = count()
        self._closers: list[weakref.finalize[..., Any]] = []
        self._context = context or int(driver.call("cuDevicePrimaryCtxRetain", device))
        mine = None if context else device
        self._close = weakref.finalize(self, _release, driver, self._owned, self._context, mine)

    @property
    def context(self) -> int:
        """The driver's CUcontext, for who decodes into the same one."""
        return self._context

    @property
    def device(self) -> int:
        """The driver's CUdevice."""
        return self._device

    def call(self, name: str, *values: int) -> Any:
        """Call the driver with the context current for this thread. Raises `GpuError`."""
        self.use()
        return self._driver.call(name, *values)

    def use(self) -> None:
        """Make the context current for this thread: before TensorRT is called, which takes what is current."""
        if not self._close.alive:
            raise GpuError("the GPU was closed; open it again")
        self._driver.call("cuCtxSetCurrent", self._context)

    def free_bytes(self) -> int:
        """Device memory that is free now, all processes counted."""
        free, _ = self.call("cuMemGetInfo_v2")
        return int(free)

    def own(self, free: str, handle: int) -> int:
        """List what was had: the call that gives it back, and its handle. Gives the number it goes by here."""
        token = next(self._tokens)
        self._owned[token] = (free, handle)
        return token

    def handle(self, token: int) -> int:
        """The handle of what is listed. Raises `GpuError` where it was given back."""
        try:
            return self._owned[token][1]
        except KeyError:
            raise GpuError("it was given back to the GPU already; make a new one") from None

    def owns(self, token: int) -> bool:
        """Whether it is not given back yet."""
        return token in self._owned

    def give_back(self, token: int) -> None:
        """Give back what is listed, once. Where the driver refuses it stays listed and is tried again at the end."""
        entry = self._owned.pop(token, None)
        if entry is None:
            return
        try:
            if entry[0]:
                self.call(*entry)
        except GpuError:
            self._owned[token] = entry
            raise

    @property
    def owned(self) -> int:
        """How many things are not given back yet."""
        return len(self._owned)

    def before_close(self, closer: weakref.finalize[..., Any]) -> None:
        """Call this first when the GPU is closed: TensorRT must not find its context gone."""
        self._closers = [one for one in self._closers if one.alive] + [closer]

    def close(self) -> None:
        """Close who runs here, give back all that is left, latest first, then the context.

        Raises a `GpuError`, having tried all.
        """
        with ExitStack() as stack:
            for closer in (self._close, *self._closers):
                stack.callback(closer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _closed(self.close, error)


class Owned:
    """Something of a GPU's. Use it as a context manager, or close it; closing twice is closing once."""

    def __init__(self, gpu: Gpu, free: str, handle: int) -> None:
        self.gpu = gpu
        self._token = gpu.own(free, handle)
        weakref.finalize(self, _quietly, gpu, self._token)

    @property
    def handle(self) -> int:
        """The driver's handle, or the address. Raises `GpuError` where it was given back."""
        return self.gpu.handle(self._token)

    def close(self) -> None:
        """Give it back. Raises `GpuError` where the driver refuses; then it can be closed again."""
        self.gpu.give_back(self._token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _closed(self.close, error)


class DeviceMemory(Owned):
    """`size` bytes on the GPU; `handle` is their address, aligned for TensorRT."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        super().__init__(gpu, "cuMemFree_v2", gpu.call("cuMemAlloc_v2", size))
        self.size = size


class PinnedMemory(Owned):
    """`size` bytes of the host that the GPU copies to and from while the processor goes on."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        super().__init__(gpu, "cuMemFreeHost", gpu.call("cuMemAllocHost_v2", size))
        self.size = size

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """A view from the first byte on. It is of no use once the memory was given back: hand out copies."""
        raw: Any = (ctypes.c_ubyte * self.size).from_address(self.handle)
        raw.owner = self  # the view keeps the memory
        values: NDArray[Any] = np.frombuffer(raw, dtype, math.prod(shape))
        return values.reshape(shape)


class Event(Owned):
    """A point on a stream. Waiting for it sleeps: a thread that spins takes the decoder's core."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__(gpu, "cuEventDestroy_v2", gpu.call("cuEventCreate", _BLOCKING_SYNC | _NO_TIMING))

    def wait(self) -> None:
        """Until the work before it is done; at once where it was never recorded."""
        self.gpu.call("cuEventSynchronize", self.handle)


class Graph(Owned):
    """Work that was captured, with its addresses: launched as one."""


class Stream(Owned):
    """Work in order; never the default stream. With `stream` one of the caller's, which stays its own."""

    def __init__(self, gpu: Gpu, stream: int = 0) -> None:
        free = "" if stream else "cuStreamDestroy_v2"
        super().__init__(gpu, free, stream or gpu.call("cuStreamCreate", _NON_BLOCKING))

    def upload(self, target: DeviceMemory, source: PinnedMemory, size: int) -> None:
        """Copy `size` bytes to the GPU."""
        self.gpu.call("cuMemcpyHtoDAsync_v2", target.handle, source.handle, size, self.handle)

    def download(self, target: PinnedMemory, source: DeviceMemory, size: int) -> None:
        """Copy `size` bytes to the host."""
        self.gpu.call("cuMemcpyDtoHAsync_v2", target.handle, source.handle, size, self.handle)

    def fill(self, target: DeviceMemory, value: int) -> None:
        """Set every byte."""
        self.gpu.call("cuMemsetD8Async", target.handle, value, target.size, self.handle)

    def record(self, event: Event) -> None:
        """Let the event stand behind all work so far."""
        self.gpu.call("cuEventRecord", event.handle, self.handle)

    def follow(self, event: int) -> None:
        """Let later work wait for an event, also another owner's."""
        self.gpu.call("cuStreamWaitEvent", self.handle, event, 0)

    def launch(self, graph: Graph) -> None:
        """Run what was captured."""
        self.gpu.call("cuGraphLaunch", graph.handle, self.handle)

    def wait(self) -> None:
        """Until all work is done."""
        self.gpu.call("cuStreamSynchronize", self.handle)

    def close(self) -> None:
        """Wait for its work, which may need memory that goes back next; then give it back, but not one of the caller's.

        Raises `GpuError`.
        """
        if self.gpu.owns(self._token):
            self.wait()
        super().close()

    def capture(self, work: Callable[[], None]) -> Graph:
        """What `work` puts on this stream, as a graph; nothing is run. Raises what `work` raises, and `GpuError`."""
        with self._captured(work) as graph:
            return Graph(self.gpu, "cuGraphExecDestroy", self.gpu.call("cuGraphInstantiateWithFlags", graph.handle, 0))

    @contextmanager
    def _captured(self, work: Callable[[], None]) -> Iterator[Owned]:
        self.gpu.call("cuStreamBeginCapture_v2", self.handle, _THREAD_LOCAL)
        try:
            work()
            graph = self._end_capture()
        except BaseException:
            with suppress(GpuError):  # the first error is told; a stream that still captures is of no use
                self._end_capture().close()
            raise
        with graph:
            yield graph

    def _end_capture(self) -> Owned:
        return Owned(self.gpu, "cuGraphDestroy", self.gpu.call("cuStreamEndCapture", self.handle))


class EglImage(Owned):
    """An EGL image (of an NVMM surface) that CUDA may read; it must go back before its surface does.

    Registering maps it for good: it is never unmapped, only unregistered. Flags other than 0 are refused by Tegra.
    """

    def __init__(self, gpu: Gpu, image: int) -> None:
        super().__init__(gpu, "cuGraphicsUnregisterResource", gpu.call("cuGraphicsEGLRegisterImage", image, 0))

    def frame(self) -> EglFrame:
        """Where its planes lie. Raises `GpuError` for one that is not pitch-linear: its planes have no address."""
        frame: EglFrame = self.gpu.call("cuGraphicsResourceGetMappedEglFrame", self.handle, 0, 0)
        if frame.kind != _PITCH_LINEAR:
            raise GpuError("the surface is block-linear, its planes have no address; ask nvvidconv for bl-output=false")
        return frame


def open_gpu(library: str = "", ordinal: int = 0) -> Gpu:
    """The GPU of this machine; with `library` by that libcuda. Raises `GpuError` where there is none."""
    return Gpu(open_driver(library), ordinal)


def embedded_gpu(library: str = "") -> Gpu:
    """The GPU on the context that is current for this thread, so that a program of pycuda's can embed us.

    The context stays its owner's and must outlive what is opened here; so must a stream, given as
    `Stream(gpu, stream.handle)`. Raises `GpuError` where no context is current.
    """
    driver = open_driver(library)
    driver.call("cuInit", 0)
    context = int(driver.call("cuCtxGetCurrent"))
    if not context:
        raise GpuError("no CUDA context is current for this thread; import pycuda.autoinit, or push yours")
    return Gpu(driver, context=context)


def _info(driver: Driver, device: int) -> GpuInfo:
    def attribute(number: int) -> int:
        return int(driver.call("cuDeviceGetAttribute", number, device))

    return GpuInfo(
        name=driver.call("cuDeviceGetName", _NAME_BYTES, device).decode(errors="replace"),
        sm=10 * attribute(_MAJOR) + attribute(_MINOR),
        driver=int(driver.call("cuDriverGetVersion")),
        memory_bytes=int(driver.call("cuDeviceTotalMem_v2", device)),
        integrated=bool(attribute(_INTEGRATED)),
    )


def _release(driver: Driver, owned: dict[int, tuple[str, int]], context: int, device: int | None) -> None:
    """Give back all that is listed, latest first, then the context. A call that fails is tried twice."""
    problems: list[GpuError] = []

    def attempt(name: str, *values: int) -> None:
        for _ in range(_TRIES):
            try:
                driver.call(name, *values)
            except GpuError as error:
                problems.append(error)
            else:
                return

    attempt("cuCtxSetCurrent", context)
    if owned:
        attempt("cuCtxSynchronize")
    while owned:
        _, (free, handle) = owned.popitem()
        if free:
            attempt(free, handle)
    if device is not None:
        attempt("cuDevicePrimaryCtxRelease_v2", device)
    if problems:
        raise problems[0]


def _quietly(gpu: Gpu, token: int) -> None:
    """The last reference went: nobody is there to be told. What is refused is tried again when the GPU is closed."""
    with suppress(GpuError):
        gpu.give_back(token)


def _closed(close: Callable[[], None], error: BaseException | None) -> None:
    """Close at the end of `with`; an error that is on its way goes first."""
    try:
        close()
    except GpuError:
        if error is None:
            raise
