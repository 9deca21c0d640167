"""A board without a board: real NvBufSurface structures in GStreamer buffers, and a stand-in for NVIDIA's libraries.

`board` puts the elements `nvv4l2decoder` and `nvvidconv` into GStreamer's registry. The first decodes on the CPU, the
second uploads the planes into surfaces of the stand-in (tests/native/nvbuf.c), which stand for video memory.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_void_p
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from helpers_camera import need_elements
from helpers_parts import missing

from edge_alpr.camera.bindings import gst
from edge_alpr.camera.buffers import has_feature
from edge_alpr.camera.lender import DeviceFrames
from edge_alpr.camera.mapped import borrow
from edge_alpr.camera.nvmm import FEATURE, NvmmBorrower
from edge_alpr.camera.registrations import Register, load_library
from edge_alpr.camera.surface import Params35, Params38
from edge_alpr.errors import EdgeAlprError
from edge_alpr.gpuhealth import GpuHealth
from edge_alpr.types import DevicePlane, Luma, Memory

NATIVE = Path(__file__).with_name("native")
NOTHING = {"surfaces": 0, "taken": 0, "mapped": 0, "shown": 0, "registered": 0}
OVERWRITTEN = 0xDB
"""What a surface is filled with when it goes back to its pool."""
EGL_CALLS = (
    "cuCtxSetCurrent",
    "NvBufSurfaceMapEglImage",
    "cuGraphicsEGLRegisterImage",
    "cuGraphicsResourceGetMappedEglFrame",
)
Spoil = Callable[[Any], None]


def compiled(folder: Path, source: str, l4t: int, *options: str) -> Path:
    """A program or library of tests/native for an L4T release; skipped, visibly, where there is no gcc."""
    if shutil.which("gcc") is None:
        missing("gcc is not installed")
    result = folder / f"{Path(source).stem}-{l4t}.so"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-DL4T={l4t}", *options]
    subprocess.run(["gcc", *flags, "-o", str(result), str(NATIVE / source)], check=True, timeout=300)
    return result


class CudaRefusedError(EdgeAlprError):
    """A call of the stand-in did not succeed."""


class EglFrame(ctypes.Structure):
    """CUeglFrame."""

    _fields_ = (
        *[("planes", c_void_p * 3), ("width", c_uint), ("height", c_uint), ("depth", c_uint), ("pitch", c_uint)],
        *[("planeCount", c_uint), ("numChannels", c_uint), ("kind", c_int), ("colour", c_int), ("cuFormat", c_int)],
    )


class ShownImage:
    """An `EglImage` over the stand-in; like the real one it makes its context current before each call."""

    def __init__(self, library: ctypes.CDLL, image: int) -> None:
        self._library = library
        resource = c_void_p()
        self._call("cuGraphicsEGLRegisterImage", ctypes.byref(resource), c_void_p(image), 0)
        self._resource = resource

    def frame(self) -> EglFrame:
        frame = EglFrame()
        self._call("cuGraphicsResourceGetMappedEglFrame", ctypes.byref(frame), self._resource, 0, 0)
        return frame

    def close(self) -> None:
        self._call("cuGraphicsUnregisterResource", self._resource)

    def _call(self, name: str, *arguments: Any) -> None:
        for each, given in (("cuCtxSetCurrent", [c_void_p(0xC0DE)]), (name, arguments)):
            status = getattr(self._library, each)(*given)
            if status != 0:
                raise CudaRefusedError(f"{each} gave {status}")


class Standin:
    """The stand-in for one L4T release. Compiled once; `reset` between tests."""

    def __init__(self, folder: Path, l4t: int) -> None:
        self.l4t = l4t
        self.path = compiled(folder, "nvbuf.c", l4t, "-shared", "-fPIC", "-pthread")
        self.library = load_library((folder / "absent.so", self.path))
        self.release_file = folder / f"nv_tegra_release-{l4t}"
        self.release_file.write_text(f"# R{l4t} (release), REVISION: 4.3, GCID: 1, BOARD: generic, EABI: aarch64\n")
        for name, result, arguments in (
            ("nvbuf_complaints", c_char_p, []),
            ("nvbuf_count", c_int, [c_char_p]),
            ("nvbuf_calls", c_int, [c_char_p]),
            ("nvbuf_fail", None, [c_char_p, c_int]),
            ("nvbuf_new", c_void_p, [c_int] * 4),
            ("nvbuf_params", c_void_p, [c_void_p]),
            ("nvbuf_take", c_void_p, [c_void_p, c_int]),
            ("nvbuf_destroy", None, [c_void_p]),
            ("nvbuf_join", None, [c_void_p] * 4),
        ):
            getattr(self.library, name).argtypes = arguments
            getattr(self.library, name).restype = result

    def join(self, cuda: ctypes.CDLL) -> None:
        """Let another stand-in for libcuda see the surfaces (`standin_see` and so on); give `device` its images."""
        names = ("standin_see", "standin_unsee", "standin_image", "standin_drop_image")
        self.library.nvbuf_join(*(ctypes.cast(getattr(cuda, name), c_void_p) for name in names))

    def part(self) -> None:
        """Undo `join`."""
        self.library.nvbuf_join(None, None, None, None)

    def reset(self) -> None:
        self.library.nvbuf_reset()

    def complaints(self) -> list[str]:
        return list(self.library.nvbuf_complaints().decode().splitlines())

    def count(self, what: str) -> int:
        """Of what `NOTHING` names."""
        return int(self.library.nvbuf_registered() if what == "registered" else self.library.nvbuf_count(what.encode()))

    def held(self) -> dict[str, int]:
        """All that a source may have forgotten."""
        return {what: self.count(what) for what in NOTHING}

    def calls(self, function: str) -> int:
        return int(self.library.nvbuf_calls(function.encode()))

    def fail(self, function: str, nth: int = 1) -> None:
        """The nth call of a function from now on fails."""
        self.library.nvbuf_fail(function.encode(), nth)

    def borrower(self, register: Register | None = None, health: GpuHealth | None = None) -> NvmmBorrower:
        show = register or partial(ShownImage, self.library)
        return NvmmBorrower(self.library, show, self.release_file, health=health)

    def device(self, register: Register | None = None, health: GpuHealth | None = None) -> DeviceFrames:
        """Notes in `prepared` in which state each pipeline was when it was shown."""
        self.prepared: list[str] = []
        return DeviceFrames(
            Memory.NVMM,
            partial(self.borrower, register, health),
            lambda pipeline: self.prepared.append(pipeline.get_state(0).state.value_nick),
        )


@dataclass
class Layout:
    """How the surfaces of a pool are made. `size` is that of the mapped structure, `spoil` changes its parameters."""

    pitch: int = 512
    thor: bool = False
    count: int = 8
    size: int | None = None
    spoil: Spoil = field(default=lambda _params: None)
    spoil_surface: Spoil = field(default=lambda _surface: None)


@lru_cache(maxsize=1)
def _core() -> ctypes.CDLL:
    library = ctypes.CDLL("libgstreamer-1.0.so.0")
    library.gst_memory_new_wrapped.argtypes = [c_int, c_void_p, c_size_t, c_size_t, c_size_t, c_void_p, c_void_p]
    library.gst_memory_new_wrapped.restype = c_void_p
    library.gst_mini_object_ref.argtypes, library.gst_mini_object_ref.restype = [c_void_p], c_void_p
    library.gst_mini_object_unref.argtypes, library.gst_mini_object_unref.restype = [c_void_p], None
    library.gst_mini_object_weak_ref.argtypes = [c_void_p] * 3
    library.gst_buffer_append_memory.argtypes = [c_void_p] * 2
    library.gst_pad_push.argtypes = [c_void_p] * 2
    return library


class Pool:
    """Surfaces that live as long as the pool, each in a GstMemory of its own, as NVIDIA's pools have them."""

    def __init__(self, standin: Standin, width: int, height: int, layout: Layout) -> None:
        self._library = standin.library
        self._params = Params35 if standin.l4t < 38 else Params38
        made = [self._library.nvbuf_new(width, height, layout.pitch, layout.thor) for _ in range(layout.count)]
        self.surfaces = made
        self._list = (c_void_p * layout.count)(*made)
        size = layout.size or (64 if standin.l4t < 38 else 72)
        destroy = ctypes.cast(self._library.nvbuf_destroy, c_void_p)
        self._memories = {
            surface: _core().gst_memory_new_wrapped(0, surface, size, 0, size, surface, destroy) for surface in made
        }
        for surface in made:
            layout.spoil_surface((c_uint * 4).from_address(surface))
        for number in range(layout.count):
            layout.spoil(self.params(number))

    def params(self, number: int) -> Any:
        """The parameters of a surface."""
        return self._params.from_address(self._library.nvbuf_params(self.surfaces[number]))

    def buffer(self, luma: Luma, chroma: tuple[Luma, ...] = (), stopped: Callable[[], bool] = lambda: False) -> Any:
        """A GstBuffer that holds a surface with these planes; None where none was free in time."""
        deadline = time.monotonic() + 20
        while not (surface := self._library.nvbuf_take(self._list, len(self._list))):
            if stopped() or time.monotonic() > deadline:
                return None
            time.sleep(0.001)
        self._upload(surface, luma, chroma)
        buffer = gst().Buffer.new()
        address = hash(buffer)
        _core().gst_buffer_append_memory(address, _core().gst_mini_object_ref(self._memories[surface]))
        give_back = ctypes.cast(self._library.nvbuf_give_back, c_void_p)
        _core().gst_mini_object_weak_ref(address, give_back, surface)
        return buffer

    def close(self) -> None:
        """The surfaces go when the last buffer has."""
        for memory in self._memories.values():
            _core().gst_mini_object_unref(memory)
        self._memories = {}

    def _upload(self, surface: int, luma: Luma, chroma: tuple[Luma, ...]) -> None:
        params = self._params.from_address(self._library.nvbuf_params(surface))
        planes, start = params.planeParams, params.dataPtr
        rows = rows_at(start + planes.offset[0], planes.pitch[0], *luma.shape)
        rows[:] = luma
        for column, plane in enumerate(chroma):
            below = rows_at(start + planes.offset[1], planes.pitch[1], plane.shape[0], 2 * plane.shape[1])
            below[:, column::2] = plane


def unreadable(path: Path) -> Any:
    """A buffer over a file that is open for writing only, so that it cannot be mapped for reading."""
    import gi  # noqa: PLC0415

    gi.require_version("GstAllocators", "1.0")
    from gi.repository import GstAllocators  # noqa: PLC0415

    path.write_bytes(bytes(64))
    buffer = gst().Buffer.new()
    descriptor = os.open(path, os.O_WRONLY)
    allocator = GstAllocators.FdAllocator.new()
    buffer.append_memory(GstAllocators.FdAllocator.alloc(allocator, descriptor, 64, GstAllocators.FdMemoryFlags.NONE))
    return buffer


def rows_at(address: int, pitch: int, height: int, width: int) -> Luma:
    """The pixels at an address of this process, in place."""
    data = (ctypes.c_uint8 * (pitch * (height - 1) + width)).from_address(address)
    rows: Luma = np.ndarray((height, width), np.uint8, buffer=data, strides=(pitch, 1))
    return rows


def pixels(plane: DevicePlane) -> Luma:
    """What lies at a plane's pointer now, as a copy."""
    return rows_at(plane.pointer, plane.pitch, plane.height, plane.width).copy()


@dataclass
class Board:
    """What the elements use; `registered_at_stop` are the registrations that a stopping pipeline found."""

    standin: Standin
    layout: Layout
    registered_at_stop: list[int] = field(default_factory=list)


_current: list[Board] = []


@contextmanager
def board(standin: Standin, layout: Layout | None = None) -> Iterator[Board]:
    """The elements are installed within; afterwards nothing may be left, and nothing may have been out of order."""
    need_elements("avdec_h264", "appsink")
    standin.reset()
    _current.append(Board(standin, layout or Layout()))
    registry = gst().Registry.get()
    for name, element in _elements().items():
        gst().Element.register(None, name, 0, element)
    try:
        yield _current[-1]
    finally:
        for name in _elements():
            registry.remove_feature(registry.lookup_feature(name))
        done = _current.pop()
    assert (standin.count("registered"), standin.count("mapped")) == (0, 0)
    deadline = time.monotonic() + 20
    while standin.held() != NOTHING and time.monotonic() < deadline:
        time.sleep(0.01)  # a thread of GStreamer's that ends may be the last to hold a buffer
    assert standin.held() == NOTHING
    assert standin.complaints() == []
    assert set(done.registered_at_stop) <= {0}


@lru_cache(maxsize=1)
def _elements() -> dict[str, Any]:
    return {"nvvidconv": _converter(), "nvv4l2decoder": _decoder()}


class _Uploader:
    """What the converter does: a pool for each size, a surface for each picture."""

    def __init__(self) -> None:
        self.pool: Pool | None = None
        self.stopping = False

    def resize(self, caps: Any) -> Any:
        """A pool for pictures with these caps; the caps of its surfaces."""
        width, height = (caps.get_structure(0).get_int(name).value for name in ("width", "height"))
        self.close()
        self.pool = Pool(_current[-1].standin, width, height, _current[-1].layout)
        return gst().Caps.from_string(
            f"video/x-raw(memory:NVMM),format=NV12,width={width},height={height},framerate=30/1"
        )

    def push(self, buffer: Any, caps: Any, out: Any) -> Any:
        loan = borrow(gst().Sample.new(buffer, caps, None, None))
        assert self.pool is not None
        made = self.pool.buffer(loan.luma, loan.chroma, lambda: self.stopping)
        loan.release()
        if made is None:
            return gst().FlowReturn.FLUSHING if self.stopping else gst().FlowReturn.ERROR
        made.pts = buffer.pts
        address = _core().gst_mini_object_ref(hash(made))
        del made  # the pad takes our reference: nobody holds the buffer here while it is downstream
        return gst().FlowReturn(_core().gst_pad_push(hash(out), address))

    def stop(self) -> None:
        self.stopping = True
        _current[-1].registered_at_stop.append(_current[-1].standin.count("registered"))

    def close(self) -> None:
        if self.pool is not None:
            self.pool.close()
        self.pool = None


def _nv12_caps(caps: Any) -> Any:
    fields = caps.get_structure(0)
    size = ",".join(f"{name}={fields.get_int(name).value}" for name in ("width", "height"))
    return gst().Caps.from_string(f"video/x-raw,format=NV12,{size},framerate=30/1")


def _as_nv12(buffer: Any, caps: Any) -> Any:
    """A picture of system memory converted as the real converter does it; its width is a multiple of four."""
    loan = borrow(gst().Sample.new(buffer, caps, None, None))
    u, v = loan.chroma
    made = gst().Buffer.new_wrapped(loan.luma.tobytes() + np.stack([u, v], axis=-1).tobytes())
    loan.release()
    made.pts = buffer.pts
    return made


def _template(name: str, direction: Any, caps: str) -> Any:
    return gst().PadTemplate.new(name, direction, gst().PadPresence.ALWAYS, gst().Caps.from_string(caps))


def _converter() -> Any:
    from gi.repository import GObject  # noqa: PLC0415

    names = gst()

    class Nvvidconv(names.Element):  # type: ignore[misc]
        __gstmetadata__ = ("Stand-in", "Filter/Converter/Video", "Uploads to surfaces of the stand-in", "edge-alpr")
        __gsttemplates__ = (
            _template("sink", names.PadDirection.SINK, "video/x-raw,format={I420,NV12}"),
            _template(
                "src", names.PadDirection.SRC, "video/x-raw(memory:NVMM),format=NV12; video/x-raw,format=NV12"
            ),
        )
        bl_output = GObject.Property(type=bool, default=True, nick="bl-output")
        output_buffers = GObject.Property(type=int, default=4)

        def __init__(self) -> None:
            super().__init__()
            self.uploader = _Uploader()
            self.into = names.Pad.new_from_template(self.get_pad_template("sink"), "sink")
            self.out = names.Pad.new_from_template(self.get_pad_template("src"), "src")
            self.into.set_chain_function_full(self.upload)
            self.into.set_event_function_full(self.hear)
            self.add_pad(self.into)
            self.add_pad(self.out)

        def hear(self, _pad: Any, _parent: Any, event: Any) -> bool:
            if event.type == names.EventType.CAPS:
                in_surfaces = has_feature(self.out.peer_query_caps(None), FEATURE)
                change = self.uploader.resize if in_surfaces else _nv12_caps
                event = names.Event.new_caps(change(event.parse_caps()))
            return bool(self.out.push_event(event))

        def upload(self, pad: Any, _parent: Any, buffer: Any) -> Any:
            if self.uploader.pool is None:
                return self.out.push(_as_nv12(buffer, pad.get_current_caps()))
            return self.uploader.push(buffer, pad.get_current_caps(), self.out)

        def do_change_state(self, transition: Any) -> Any:
            down = transition == names.StateChange.PAUSED_TO_READY
            if down:
                self.uploader.stop()
            result = names.Element.do_change_state(self, transition)
            if down:
                self.uploader.close()
            return result

    GObject.type_register(Nvvidconv)
    return Nvvidconv


def _decoder() -> Any:
    from gi.repository import GObject  # noqa: PLC0415

    names = gst()

    class Nvv4l2decoder(names.Bin):  # type: ignore[misc]
        __gstmetadata__ = ("Stand-in", "Codec/Decoder/Video", "Decodes on the CPU", "edge-alpr")

        def __init__(self) -> None:
            super().__init__()
            inner = names.ElementFactory.make("avdec_h264")
            self.add(inner)
            for name in ("sink", "src"):
                self.add_pad(names.GhostPad.new(name, inner.get_static_pad(name)))

    GObject.type_register(Nvv4l2decoder)
    return Nvv4l2decoder
