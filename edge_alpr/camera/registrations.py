"""Surfaces made known to CUDA by way of EGL: once each, not once a frame."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from ctypes import CDLL, Structure, c_int, c_void_p
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Protocol

from edge_alpr.camera.buffers import Notify, core
from edge_alpr.errors import EdgeAlprError, MissingElementError, SurfaceLostError

_log = logging.getLogger(__name__)
_FOLDER = "/usr/lib/aarch64-linux-gnu"
LIBRARIES = (Path(f"{_FOLDER}/nvidia/libnvbufsurface.so"), Path(f"{_FOLDER}/tegra/libnvbufsurface.so"))
_CALLS = {
    "NvBufSurfaceMapEglImage": 1, "NvBufSurfaceUnMapEglImage": 1,
    "NvBufSurfaceMap": 3, "NvBufSurfaceSyncForCpu": 2, "NvBufSurfaceUnMap": 2,
}  # fmt: skip
"""Each takes a surface, and so many numbers."""
_REACHABLE: set[Registrations] = set()
"""Who must not be collected: C code holds their address."""
MOST = 64
"""Registrations kept at once; a pool has 4 to 20 surfaces."""


class EglImage(Protocol):
    """An EGL image that was shown to CUDA. Both calls raise an `EdgeAlprError` when CUDA refuses."""

    def frame(self) -> Any:
        """Its CUeglFrame: `planes` (device pointers where `kind` is 1), `width`, `height` and `pitch`."""

    def close(self) -> None:
        """Unregister it. After an error it can be closed again."""


Register = Callable[[int], EglImage]
"""Shows the EGLImageKHR at an address to CUDA, on the context of the session. Raises an `EdgeAlprError`."""


def load_library(paths: tuple[Path, ...] = LIBRARIES) -> CDLL:
    """NVIDIA's libnvbufsurface. Raises `MissingElementError` where none of the paths can be loaded."""
    reasons = []
    for path in paths:
        try:
            library = CDLL(str(path))
            for name, numbers in _CALLS.items():
                function = getattr(library, name)
                function.argtypes, function.restype = [c_void_p, *[c_int] * numbers], c_int
            return library
        except (OSError, AttributeError) as error:
            reasons.append(str(error))
    raise MissingElementError(
        f"frames in video memory need libnvbufsurface ({'; '.join(reasons)}); it comes with JetPack, package "
        "nvidia-l4t-multimedia"
    )


@dataclass(frozen=True, slots=True)
class _Registration:
    memory: int
    frame: Any
    undo: tuple[Callable[[], None], ...]
    """In order."""


class Registrations:
    """EGL registrations by surface address and `bufferDesc`, the latest used last.

    One lasts until the GstMemory that carries the surface is freed (a pool that ends when the resolution changes),
    until there are more than `most`, or until `forget`. `total` counts all that were ever made. Calls may come from
    several threads. Raises `SurfaceLostError` where one of the calls fails; what was done before it is undone.
    """

    def __init__(self, library: CDLL, register: Register, most: int = MOST) -> None:
        self.total = 0
        self._library = library
        self._show = register
        self._most = most
        self._held: OrderedDict[tuple[int, int], _Registration] = OrderedDict()
        self._lock = RLock()
        self._notify = Notify(self._freed)

    def __len__(self) -> int:
        return len(self._held)

    def frame_of(self, surface: int, params: Structure, memory: int) -> Any:
        """The CUeglFrame of the surface at address `surface`, whose first parameters are `params`."""
        with self._lock:
            key = (surface, params.bufferDesc)
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key].frame
            for stale in [held for held in self._held if held[0] == surface]:
                self._drop(stale)
            registration = self._register(surface, params, memory)
            while len(self._held) >= self._most:
                self._drop(next(iter(self._held)))
            self._held[key] = registration
            core().gst_mini_object_weak_ref(memory, self._notify, None)
            _REACHABLE.add(self)
            return registration.frame

    def forget(self) -> None:
        """Undo all. The surfaces must still be there, so before the pipeline stops."""
        with self._lock:
            while self._held:
                self._drop(next(iter(self._held)))

    def _register(self, surface: int, params: Structure, memory: int) -> _Registration:
        undo: list[Callable[[], None]] = []
        try:
            if not params.mappedAddr.eglImage:  # else another element has mapped it, and unmaps it
                self._map(surface)
                undo.insert(0, lambda: self._unmap(surface))
            shown = self._show(params.mappedAddr.eglImage or 0)
            undo.insert(0, shown.close)
            frame = shown.frame()
        except EdgeAlprError as error:
            self._undo(undo)
            raise SurfaceLostError(
                f"a surface in video memory cannot be shown to CUDA: {error}; on a board without a screen unset "
                "DISPLAY, else read frames from system memory"
            ) from error
        self.total += 1
        return _Registration(memory, frame, tuple(undo))

    def _map(self, surface: int) -> None:
        status = self._library.NvBufSurfaceMapEglImage(surface, 0)
        if status != 0:
            raise SurfaceLostError(f"NvBufSurfaceMapEglImage gave {status}")

    def _unmap(self, surface: int) -> None:
        status = self._library.NvBufSurfaceUnMapEglImage(surface, 0)
        if status != 0:
            raise SurfaceLostError(f"NvBufSurfaceUnMapEglImage gave {status}")

    def _drop(self, key: tuple[int, int]) -> None:
        registration = self._held.pop(key)
        core().gst_mini_object_weak_unref(registration.memory, self._notify, None)
        self._undo(registration.undo)
        if not self._held:
            _REACHABLE.discard(self)

    def _freed(self, _data: Any, memory: int) -> None:
        """A memory is about to be freed, its surface with it."""
        with self._lock:
            for key in [key for key, held in self._held.items() if held.memory == memory]:
                self._undo(self._held.pop(key).undo)
            if not self._held:
                _REACHABLE.discard(self)

    def _undo(self, steps: tuple[Callable[[], None], ...] | list[Callable[[], None]]) -> None:
        """All steps, each tried twice: what stays undone is lost until the process ends, and told."""
        for step in steps:
            for last in (False, True):
                try:
                    step()
                    break
                except EdgeAlprError as error:
                    if last:
                        _log.warning("a surface in video memory stays registered: %s", error)
