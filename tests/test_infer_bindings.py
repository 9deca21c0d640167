"""cuda-bindings, where it is installed, makes the same calls as ctypes does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_gpu import Driver

pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed: pip install cuda-bindings")

PROGRAM = """
import ctypes, sys
import numpy as np
from edge_alpr.errors import GpuError
from edge_alpr.infer.cuda import DeviceMemory, EglImage, Event, PinnedMemory, Stream, open_gpu
from edge_alpr.infer.driver import Bindings

lib = ctypes.CDLL("libcuda.so.1")
lib.standin_image.argtypes = [ctypes.c_uint64, ctypes.c_uint64, *[ctypes.c_uint32] * 3, ctypes.c_int]
with open_gpu() as gpu:
    assert isinstance(gpu._driver, Bindings)
    print(gpu.info.name, gpu.info.sm, gpu.info.driver, gpu.free_bytes())
    with PinnedMemory(gpu, 8) as pinned, DeviceMemory(gpu, 8) as memory, Event(gpu) as event, Stream(gpu) as stream:
        stream.fill(memory, 3)
        with stream.capture(lambda: stream.download(pinned, memory, 8)) as graph:
            stream.launch(graph)
            stream.record(event)
            stream.follow(event.handle)
            stream.upload(memory, pinned, 8)
            event.wait()
            print(pinned.array(np.dtype(np.uint8), (8,)).tolist())
        lib.standin_image(0xE61, memory.handle, 320, 180, 512, 0)
        with EglImage(gpu, 0xE61) as image:
            frame = image.frame()
            print(frame.planes[0] == memory.handle, frame.width, frame.pitch)
        lib.standin_fault(b"cuMemAlloc_v2", ctypes.c_long(1), 2)
        try:
            DeviceMemory(gpu, 8)
        except GpuError as error:
            print(error.status, error)
print(lib.standin_complaints(), [lib.standin_alive(kind) for kind in range(7)], lib.standin_retained())
"""


def test_the_same_calls_through_cuda_bindings() -> None:
    folder = str(Path(Driver().path).parent)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, "LD_LIBRARY_PATH": folder},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"stand-in 0 87 12060 {4 << 30}",
        str([3] * 8),
        "True 320 512",
        "2 cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (2); close what else uses the GPU, or take a smaller frame or model",
        f"0 {[0] * 7} 0",
    ]
