"""The layer over the CUDA driver: everything goes back once, misuse and faults are typed errors."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers_gpu import Driver, checked_driver, opened

from edge_alpr.errors import GpuError, GpuLostError
from edge_alpr.infer import driver as calls
from edge_alpr.infer.cuda import DeviceMemory, EglImage, Event, Gpu, PinnedMemory, Stream, embedded_gpu, open_gpu


@pytest.fixture
def driver() -> Iterator[Driver]:
    with checked_driver() as standin:
        yield standin


def there_and_back(gpu: Gpu, data: np.ndarray) -> np.ndarray:
    with PinnedMemory(gpu, data.nbytes) as pinned, DeviceMemory(gpu, data.nbytes) as memory, Stream(gpu) as stream:
        pinned.array(data.dtype, data.shape)[...] = data
        stream.upload(memory, pinned, data.nbytes)
        stream.wait()
        pinned.array(data.dtype, data.shape)[...] = 0
        stream.download(pinned, memory, data.nbytes)
        stream.wait()
        return pinned.array(data.dtype, data.shape).copy()


def test_a_gpu_says_what_it_is(driver: Driver) -> None:
    with opened(driver) as gpu:
        assert (gpu.info.name, gpu.info.sm, gpu.info.driver, gpu.info.integrated) == ("stand-in 0", 87, 12060, True)
        assert gpu.info.memory_bytes == 8 << 30
        assert (gpu.context, gpu.device) == (0x0C0FFEE0C0FFEE00, 0)
        assert 0 < gpu.free_bytes() < gpu.info.memory_bytes


def test_bytes_go_there_and_back(driver: Driver) -> None:
    data = np.arange(60, dtype=np.float32).reshape(3, 20)
    with opened(driver) as gpu:
        assert np.array_equal(there_and_back(gpu, data), data)
    assert (driver.uploaded, driver.downloaded) == (240, 240)


def test_memory_is_aligned_for_tensorrt(driver: Driver) -> None:
    with opened(driver) as gpu, DeviceMemory(gpu, 3) as a, DeviceMemory(gpu, 5) as b:
        assert (a.handle % 256, b.handle % 256) == (0, 0)


def test_every_thread_may_call(driver: Driver) -> None:
    got = []
    with opened(driver) as gpu:
        threads = [
            threading.Thread(target=lambda n=n: got.append(there_and_back(gpu, np.full(999, n, np.uint8))[0]))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(got) == list(range(8))


def test_nothing_is_given_back_twice_and_nothing_is_used_after(driver: Driver) -> None:
    with opened(driver) as gpu:
        memory = DeviceMemory(gpu, 64)
        memory.close()
        memory.close()
        with pytest.raises(GpuError, match="given back") as caught:
            _ = memory.handle
        assert "\n" not in str(caught.value)
        del memory
        gc.collect()
        assert driver.calls("cuMemFree_v2") == 1


def test_what_is_forgotten_goes_back_with_the_last_reference_or_with_the_gpu(driver: Driver) -> None:
    with opened(driver) as gpu:
        dropped, kept = DeviceMemory(gpu, 64), [Stream(gpu), Event(gpu), PinnedMemory(gpu, 8)]
        del dropped
        gc.collect()
        assert driver.calls("cuMemFree_v2") == 1
    assert driver.alive == {}
    with pytest.raises(GpuError):
        _ = kept[0].handle
    with pytest.raises(GpuError, match="closed"):
        DeviceMemory(gpu, 64)


def test_what_could_not_go_back_is_tried_again_at_the_end(driver: Driver) -> None:
    with opened(driver) as gpu:
        driver.fault("cuMemFree_v2")
        dropped = DeviceMemory(gpu, 64)
        del dropped
        gc.collect()
        assert (gpu.owned, driver.alive["device"]) == (1, 1)
    assert driver.calls("cuMemFree_v2") == 2


def test_a_view_keeps_its_memory(driver: Driver) -> None:
    with opened(driver) as gpu:
        view = PinnedMemory(gpu, 4).array(np.dtype(np.uint8), (2, 2))
        gc.collect()
        view[...] = 7
        assert driver.alive["pinned"] == 1
        del view
        gc.collect()
        assert "pinned" not in driver.alive


def test_a_graph_is_launched_again_and_again(driver: Driver) -> None:
    with opened(driver) as gpu, PinnedMemory(gpu, 4) as pinned, DeviceMemory(gpu, 4) as memory, Stream(gpu) as stream:
        stream.fill(memory, 9)

        def work() -> None:
            stream.download(pinned, memory, 4)

        values = pinned.array(np.dtype(np.uint8), (4,))
        values[...] = 0
        with stream.capture(work) as graph, Event(gpu) as done:
            stream.wait()
            assert values.tolist() == [0] * 4  # capturing runs nothing
            for value in (1, 2, 3):
                stream.fill(memory, value)
                stream.launch(graph)
                stream.record(done)
                done.wait()
                assert values.tolist() == [value] * 4


def test_what_may_not_be_captured_is_told_and_the_stream_is_of_use_again(driver: Driver) -> None:
    with opened(driver) as gpu, Stream(gpu) as stream, DeviceMemory(gpu, 4) as memory:
        with pytest.raises(GpuError, match="CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"):
            stream.capture(stream.wait)
        stream.fill(memory, 1)
        stream.wait()
        assert driver.complaint == "cuStreamSynchronize while a graph is captured"
    assert driver.alive == {}
    driver.reset()


def test_a_stream_follows_an_event_of_another(driver: Driver) -> None:
    with (
        opened(driver) as gpu, DeviceMemory(gpu, 4) as memory, PinnedMemory(gpu, 4) as pinned,
        Stream(gpu) as first, Stream(gpu) as second, Event(gpu) as written,
    ):  # fmt: skip
        first.fill(memory, 5)
        first.record(written)
        second.follow(written.handle)
        second.download(pinned, memory, 4)
        second.wait()
        assert pinned.array(np.dtype(np.uint8), (4,)).tolist() == [5] * 4


def test_an_egl_image_has_an_address_until_it_is_unregistered(driver: Driver) -> None:
    surface = np.zeros((270, 512), np.uint8)
    address = driver.see(surface)
    driver.lib.standin_image(0xE61, address, 320, 180, 512, 0)
    driver.lib.standin_image(0xE62, address, 320, 180, 512, 1)
    with opened(driver) as gpu:
        with EglImage(gpu, 0xE61) as image:
            frame = image.frame()
            assert (frame.planes[0], frame.width, frame.height, frame.pitch) == (address, 320, 180, 512)
        with EglImage(gpu, 0xE62) as image, pytest.raises(GpuError, match="bl-output=false"):
            image.frame()
        with pytest.raises(GpuError, match="CUDA_ERROR_INVALID_HANDLE"):
            EglImage(gpu, 0xBAD)
    assert driver.complaint == "an EGL image that is no more is registered"
    for image in (0xE61, 0xE62):
        driver.lib.standin_drop_image(image)
    driver.lib.standin_unsee(address)
    assert driver.alive == {}
    driver.reset()


def test_the_structure_is_that_of_the_header() -> None:
    offsets = {name: getattr(calls.EglFrame, name).offset for name, _ in calls.EglFrame._fields_}
    assert ctypes.sizeof(calls.EglFrame) == 64
    assert (offsets["width"], offsets["pitch"], offsets["kind"], offsets["format"]) == (24, 36, 48, 56)


def test_a_program_with_a_context_of_its_own_embeds_us(driver: Driver) -> None:
    with opened(driver) as owner, Stream(owner) as stream:
        owner.use()
        with embedded_gpu(driver.path) as gpu, Stream(gpu, stream.handle) as same, DeviceMemory(gpu, 4) as memory:
            same.fill(memory, 1)
            same.wait()
        assert driver.alive == {"stream": 1, "context": 1}  # its own, both kept
    driver.lib.cuCtxSetCurrent(ctypes.c_uint64(0))
    with pytest.raises(GpuError, match="pycuda"):
        embedded_gpu(driver.path)


def all_of_it(driver: Driver) -> None:
    """Each call of the layer at least once."""
    left = []
    with opened(driver) as gpu, Event(gpu) as event, PinnedMemory(gpu, 8) as pinned:
        with DeviceMemory(gpu, 8) as memory, EglImage(gpu, 0xE61) as image, Stream(gpu) as stream:
            image.frame()
            gpu.free_bytes()
            stream.fill(memory, 1)
            stream.record(event)
            stream.follow(event.handle)
            with stream.capture(lambda: stream.download(pinned, memory, 8)) as graph:
                stream.launch(graph)
                stream.upload(memory, pinned, 8)
                event.wait()
                stream.wait()
        left.append(Stream(gpu))


NOT_USED = {"cuCtxGetCurrent", "cuCtxGetDevice", "cuDeviceGetCount"}
"""By `all_of_it`: for embedding, and for whoever counts."""


def with_image(driver: Driver, run: Callable[[Driver], None]) -> None:
    surface = np.zeros((270, 512), np.uint8)
    address = driver.see(surface)
    driver.lib.standin_image(0xE61, address, 320, 180, 512, 0)
    try:
        run(driver)
    finally:
        driver.lib.standin_lose(0)
        assert driver.lib.standin_drop_image(0xE61) == driver.lib.standin_unsee(address) == 0


@pytest.mark.parametrize("call", sorted(set(calls.CALLS) - NOT_USED))
def test_each_call_may_fail_once(call: str, driver: Driver) -> None:
    with_image(driver, all_of_it)
    times = driver.calls(call)
    assert times >= 1
    for nth in range(1, times + 1):
        driver.fault(call, nth)
        with pytest.raises(GpuError, match=rf"{call}: CUDA_ERROR_OUT_OF_MEMORY \(2\); ") as caught:
            with_image(driver, all_of_it)
        assert caught.value.status == 2
        assert not isinstance(caught.value, GpuLostError)
        caught.value.__traceback__ = None
        del caught
        gc.collect()
        assert (call, nth, driver.complaint, driver.alive) == (call, nth, "", {})
    with_image(driver, all_of_it)


@pytest.mark.parametrize("status", [3, 700, 999])
def test_a_gpu_that_is_lost_is_told_apart(status: int, driver: Driver) -> None:
    with pytest.raises(GpuLostError, match=f"cuMemAlloc_v2: .*{status}"), opened(driver) as gpu:
        driver.fault("cuMemAlloc_v2", 1, status)
        DeviceMemory(gpu, 4)


def test_a_gpu_that_disappears_ends_in_an_error_not_in_a_crash(driver: Driver) -> None:
    with pytest.raises(GpuLostError), opened(driver) as gpu:
        kept = [DeviceMemory(gpu, 4), Stream(gpu)]
        driver.lose()
        with pytest.raises(GpuLostError):
            kept[0].close()
        Stream(gpu)
    assert driver.alive == {"device": 1, "stream": 1, "context": 1}  # nobody could take it back
    driver.reset()


def test_no_driver_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(GpuError, match=r"cannot be loaded.*; install") as caught:
        open_gpu(str(tmp_path / "libcuda.so.1"))
    assert "\n" not in str(caught.value)


def test_a_driver_without_a_call_says_which(driver: Driver, tmp_path: Path) -> None:
    old = tmp_path / "libold.so"
    text = (Path(__file__).parent / "native" / "cuda.c").read_text().replace("cuGraphicsEGLRegisterImage", "cuOther")
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-o", old, "-", "-ldl", "-lpthread"]
    subprocess.run(command, input=text, text=True, check=True)
    with open_gpu(str(old)) as gpu, pytest.raises(GpuError, match="no cuGraphicsEGLRegisterImage; update"):
        EglImage(gpu, 1)


def test_a_program_that_ends_without_closing_gives_everything_back(driver: Driver) -> None:
    program = (
        "import sys, atexit, ctypes\n"
        "lib = ctypes.CDLL(sys.argv[1])\n"
        "def told():\n"
        "    alive = [lib.standin_alive(i) for i in range(9)] + [lib.standin_retained(), lib.standin_complaints()]\n"
        "    print(alive)\n"
        "atexit.register(told)\n"
        "from edge_alpr.infer.cuda import *\n"
        "gpu = open_gpu(sys.argv[1])\n"
        "kept = [DeviceMemory(gpu, 4), Stream(gpu), Event(gpu)]\n"
    )
    done = subprocess.run([sys.executable, "-c", program, driver.path], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{[0] * 11}\n", "")
