"""Frames in a desktop GPU's memory, without a GPU: the pointer and the layout that nvcodec's buffers state."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_camera import need_elements
from helpers_nvmm import pixels, unreadable
from helpers_parts import missing

from edge_alpr.camera.bindings import gst, gst_video
from edge_alpr.camera.cudamemory import LIBRARY, CudaBorrower, load_library, syncing
from edge_alpr.camera.decoders import CUDA_CAPS
from edge_alpr.camera.lender import Lender
from edge_alpr.errors import SurfaceError, SurfaceLostError
from edge_alpr.types import Luma, Memory, SourceCounters

WIDTH, HEIGHT, PITCH, OFFSET = 318, 178, 512, 256
CAPS = f"{CUDA_CAPS},width={WIDTH},height={HEIGHT},framerate=30/1"


@pytest.fixture(autouse=True)
def _gstreamer() -> None:
    need_elements("appsink")


class Memories:
    """Plays the GPU's memory: wrapped host memory, whose map gives its address as nvcodec's gives a CUdeviceptr."""

    def __init__(self) -> None:
        self.synced: list[int] = []
        self.alive = 0
        self._kept: list[Any] = []
        self._core = ctypes.CDLL("libgstreamer-1.0.so.0")
        self._core.gst_memory_new_wrapped.argtypes = [ctypes.c_int, *[ctypes.c_void_p] + [ctypes.c_size_t] * 3]
        self._core.gst_memory_new_wrapped.argtypes += [ctypes.c_void_p] * 2
        self._core.gst_memory_new_wrapped.restype = ctypes.c_void_p
        self._core.gst_buffer_append_memory.argtypes = [ctypes.c_void_p] * 2
        self._freed = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._free)

    def _free(self, _data: int) -> None:
        self.alive -= 1

    def buffer(self, luma: Luma, *, size: int = OFFSET + PITCH * HEIGHT * 3 // 2, memories: int = 1) -> Any:
        """A buffer whose Y plane begins at `OFFSET` with rows of `PITCH` bytes, as its GstVideoMeta says."""
        buffer = gst().Buffer.new()
        for _ in range(memories):
            store = np.zeros(OFFSET + PITCH * HEIGHT * 3 // 2, np.uint8)
            store[OFFSET : OFFSET + PITCH * HEIGHT].reshape(HEIGHT, PITCH)[:, :WIDTH] = luma
            self._kept.append(store)
            self.alive += 1
            address = store.ctypes.data
            memory = self._core.gst_memory_new_wrapped(0, address, size, 0, size, None, self._freed)
            self._core.gst_buffer_append_memory(hash(buffer), memory)
        video = gst_video()
        offsets, strides = [OFFSET, OFFSET + PITCH * HEIGHT, 0, 0], [PITCH, PITCH, 0, 0]
        video.buffer_add_video_meta_full(
            buffer, video.VideoFrameFlags.NONE, video.VideoFormat.NV12, WIDTH, HEIGHT, 2, offsets, strides
        )
        return buffer

    def address(self, number: int) -> int:
        return int(self._kept[number].ctypes.data)


@pytest.fixture
def memories() -> Iterator[Memories]:
    made = Memories()
    yield made
    deadline = time.monotonic() + 20
    while made.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made.alive == 0


@pytest.fixture
def picture() -> Luma:
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)


def sample_of(buffer: Any, caps: str = CAPS) -> Any:
    return gst().Sample.new(buffer, gst().Caps.from_string(caps), None, None)


def test_the_plane_lies_where_the_metadata_says(memories: Memories, picture: Luma) -> None:
    counters = SourceCounters()
    lender = Lender("front", counters, borrower=CudaBorrower(memories.synced.append))
    frame = lender.lend(sample_of(memories.buffer(picture)), 5, 7)
    plane = frame.plane
    assert plane is not None and frame.memory is plane.memory is Memory.CUDA
    assert (plane.pointer, plane.pitch) == (memories.address(0) + OFFSET, PITCH)
    assert (frame.width, frame.height, frame.luma.size, frame.chroma) == (WIDTH, HEIGHT, 0, ())
    assert np.array_equal(pixels(plane), picture)
    assert (frame.index, frame.stamp_ns, frame.epoch_ms, counters.frames) == (0, 5, 7, 1)
    lender.close()


def test_a_buffer_goes_back_with_its_release_and_not_before(memories: Memories, picture: Luma) -> None:
    loan = CudaBorrower(memories.synced.append).borrow(sample_of(memories.buffer(picture)))
    assert memories.alive == 1 and len(memories.synced) == 1, "the decoder is waited for once"
    loan.release()
    assert memories.alive == 0 and loan.plane is None
    loan.release()


@pytest.mark.parametrize(
    ("caps", "reason"),
    [
        (CAPS.replace("(memory:CUDAMemory)", ""), r"not in the GPU's memory \(video/x-raw, .*memory:CUDAMemory"),
        (CAPS.replace("NV12", "P010_10LE"), "are P010_10LE, not NV12.*format=NV12"),
        (CAPS.replace(f"width={WIDTH}", "width=600"), "rows of 512 bytes cannot hold 600 pixels"),
    ],
)
def test_pictures_that_lie_otherwise_are_refused(memories: Memories, picture: Luma, caps: str, reason: str) -> None:
    with pytest.raises(SurfaceError, match=reason):
        CudaBorrower(memories.synced.append).borrow(sample_of(memories.buffer(picture), caps))
    assert memories.synced == []


def test_a_picture_in_two_memories_or_too_short_is_refused(memories: Memories, picture: Luma) -> None:
    borrow = CudaBorrower(memories.synced.append).borrow
    with pytest.raises(SurfaceError, match="lies in 2 memories"):
        borrow(sample_of(memories.buffer(picture, memories=2)))
    short = OFFSET + PITCH * (HEIGHT - 1) + WIDTH - 1
    with pytest.raises(SurfaceError, match=f"has {short} bytes and its Y plane ends at {short + 1}"):
        borrow(sample_of(memories.buffer(picture, size=short)))
    borrow(sample_of(memories.buffer(picture, size=short + 1))).release()


def test_a_buffer_that_cannot_be_mapped_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SurfaceLostError, match="cannot be mapped"):
        CudaBorrower(lambda _memory: None).borrow(sample_of(unreadable(tmp_path / "memory")))


def test_an_error_while_waiting_lets_the_buffer_go(memories: Memories, picture: Luma) -> None:
    def refuse(_memory: int) -> None:
        raise SurfaceLostError("cuStreamSynchronize gave 700")

    with pytest.raises(SurfaceLostError, match="gave 700"):
        CudaBorrower(refuse).borrow(sample_of(memories.buffer(picture)))


def test_gstreamers_library_waits_where_it_can() -> None:
    gstcuda()
    assert syncing(load_library())(0) is None, "before 1.24 there is nothing to call; since, a null is let pass"


@pytest.mark.parametrize("frames", [300])
def test_frames_leave_nothing(memories: Memories, picture: Luma, frames: int) -> None:
    lender = Lender("front", SourceCounters(), borrower=CudaBorrower(memories.synced.append))
    for stamp in range(frames):
        lender.lend(sample_of(memories.buffer(picture)), stamp, 0)
        assert memories.alive == 1
    lender.close()
    assert memories.alive == 0


_SHARE = """
import ctypes, sys
from edge_alpr.camera.bindings import gst
from edge_alpr.camera.cudamemory import load_library, share_context
library, pipeline = load_library(), gst().Pipeline.new("p")
share_context(pipeline, 0x1234, 0, library)
shared = pipeline.get_context("gst.cuda.context").get_structure().get_value("gst.cuda.context")
library.gst_cuda_context_get_handle.restype = ctypes.c_void_p
print(hex(library.gst_cuda_context_get_handle(ctypes.c_void_p(hash(shared)))))
"""

_CUDA = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetAttribute(int *value, int what, int device) { *value = 1; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "stand-in", size); return 0; }
int cuDriverGetVersion(int *version) { *version = 12000; return 0; }
"""


def shared(libraries: Path) -> subprocess.CompletedProcess[str]:
    """Share a context in a process that finds libcuda in a folder."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    return subprocess.run(
        [sys.executable, "-c", _SHARE], capture_output=True, text=True, check=False, env=environment, timeout=300
    )


def gstcuda() -> bytes:
    """GStreamer's CUDA library as a file."""
    found = next(Path("/usr/lib").glob(f"*/{LIBRARY}"), None)
    if found is None:
        pytest.skip(f"{LIBRARY} is not installed")
    return found.read_bytes()


def test_a_pipeline_decodes_in_the_context_it_is_given(tmp_path: Path) -> None:
    """GStreamer's own library, over a libcuda whose calls all succeed."""
    asked = {name.decode() for name in re.findall(rb"\x00(cu[A-Z][A-Za-z0-9_]{3,60})(?=\x00)", gstcuda())}
    others = sorted(name for name in asked if f" {name}(" not in _CUDA)
    source = tmp_path / "cuda.c"
    source.write_text(_CUDA + "".join(f"int {name}(void) {{ return 0; }}\n" for name in others))
    if shutil.which("gcc") is None:
        missing("gcc is not installed")
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-o", str(tmp_path / "libcuda.so.1"), str(source)], check=True)
    done = shared(tmp_path)
    assert done.stdout == "0x1234\n", done.stderr


def test_without_cuda_sharing_a_context_is_an_error(tmp_path: Path) -> None:
    gstcuda()
    done = shared(tmp_path)
    if done.returncode == 0:
        pytest.skip("this machine has CUDA")
    assert "SurfaceLostError: GStreamer cannot use this CUDA context; read frames" in done.stderr
