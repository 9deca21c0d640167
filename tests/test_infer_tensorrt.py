"""Sessions on TensorRT: the plane is read where it lies, and the answers are ONNX Runtime's on the CPU."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the graphs for the GPU are composed with onnx: pip install -e .[export]")

import onnxruntime as ort
from helpers_gpu import (
    PITCH,
    PROFILES,
    Driver,
    PlaneMemory,
    adder,
    checked_driver,
    opened,
    plane_packages,
    quads,
    road,
    standin_tensorrt,
)
from helpers_infer import card, column_crop, column_reader, package

from edge_alpr.errors import GpuError, GpuLostError, ModelError
from edge_alpr.infer import lane, onnx
from edge_alpr.infer.cuda import Gpu
from edge_alpr.infer.package import ModelPackage
from edge_alpr.infer.tensorrt import HostSession, PlaneSession, RawSession
from edge_alpr.types import Memory, Tensors
from export.nodes import load_full

MODELS = Path(__file__).resolve().parents[1] / "edge_alpr" / "models"


@dataclass
class Bench:
    """A stand-in GPU with frames in its memory, and the two packages for them."""

    driver: Driver
    trt: ModuleType
    gpu: Gpu
    finds: ModelPackage
    reads: ModelPackage
    adds: ModelPackage
    frames: list[PlaneMemory]

    @cached_property
    def wanted(self) -> Tensors:
        """What the reader shall make of two plates of the first frame."""
        return on_the_cpu(self.adds, self.frames[0], quads(2))

    def detector(self) -> PlaneSession:
        return PlaneSession(self.gpu, self.finds, self.trt.plan_of(self.finds.model))

    def adder(self) -> PlaneSession:
        return PlaneSession(self.gpu, self.adds, self.trt.plan_of(self.adds.model, PROFILES[:2]))

    def reader(self, profiles: tuple[tuple[int, int, int], ...] = PROFILES) -> PlaneSession:
        return PlaneSession(self.gpu, self.reads, self.trt.plan_of(self.reads.model, profiles))


@pytest.fixture
def driver() -> Iterator[Driver]:
    with checked_driver() as standin:
        yield standin


@pytest.fixture
def bench(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    trt = standin_tensorrt(driver, monkeypatch)
    frames = [PlaneMemory(driver, road(seed), PITCH) for seed in range(4)]
    with opened(driver) as gpu:
        yield Bench(driver, trt, gpu, *plane_packages(tmp_path), adder(tmp_path / "adds"), frames)
    for frame in frames:
        frame.close()
    gc.collect()
    assert +trt.world.alive == {}


def on_the_cpu(given: ModelPackage, frame: PlaneMemory, extra: np.ndarray | None = None) -> Tensors:
    """What ONNX Runtime makes of the same memory."""
    session = ort.InferenceSession(given.model, providers=["CPUExecutionProvider"])
    feeds = {"luma": frame.memory[None, None], **({} if extra is None else {"quads": extra})}
    return dict(zip(given.card.output.names, session.run(list(given.card.output.names), feeds), strict=True))


def assert_same(a: Tensors, b: Tensors) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), name


def test_both_networks_give_what_the_cpu_gives(bench: Bench) -> None:
    with bench.detector() as detector, bench.reader() as reader:
        for frame in bench.frames * 3:  # the second round captures, the third launches
            assert_same(detector.run(frame.plane), on_the_cpu(bench.finds, frame))
            for plates in (1, 2, 3, 8):
                corners = quads(plates, plates)
                assert_same(reader.run(frame.plane, {"quads": corners}), on_the_cpu(bench.reads, frame, corners))
        assert detector.launches == 2 * len(bench.frames)
        assert (detector.no_graphs, reader.no_graphs) == ("", "")
        assert detector.version == bench.trt.__version__
        assert detector.identity == f"tensorrt:{bench.finds.card.sha256[:12]}"


def test_the_shipped_networks_give_what_the_cpu_gives(driver, tmp_path, monkeypatch) -> None:
    trt, frame = standin_tensorrt(driver, monkeypatch), PlaneMemory(driver, road(), PITCH)
    cores = [load_full((MODELS / f"plate-{name}.onnx").read_bytes()) for name in ("detector-small", "reader")]
    finds, reads = plane_packages(tmp_path, *cores)
    corners = quads(2)
    with (
        opened(driver) as gpu, PlaneSession(gpu, finds, trt.plan_of(finds.model)) as detector,
        PlaneSession(gpu, reads, trt.plan_of(reads.model, PROFILES[1:2])) as reader,
    ):  # fmt: skip
        for _ in range(3):
            assert_same(detector.run(frame.plane), on_the_cpu(finds, frame))
            assert_same(reader.run(frame.plane, {"quads": corners}), on_the_cpu(reads, frame, corners))
    frame.close()


def test_the_plane_is_bound_and_little_comes_back(bench: Bench) -> None:
    with bench.detector() as detector, bench.reader() as reader:
        up, down, back = bench.driver.uploaded, bench.driver.downloaded, detector.bytes_back + reader.bytes_back
        for frame in bench.frames * 5:
            detector.run(frame.plane)
            reader.run(frame.plane, {"quads": quads(1)})
        frames = 5 * len(bench.frames)
        assert bench.driver.uploaded - up == 32 * frames  # one quad each, and no pixel
        a_frame = (bench.driver.downloaded - down) / frames
        assert a_frame == 64 * 9 * 4 + 64 * 5 * 3 + 4
        assert a_frame < 16 * 1024
        assert detector.bytes_back + reader.bytes_back - back == a_frame * frames


def test_the_frame_may_go_back_before_the_result(bench: Bench) -> None:
    frame = bench.frames[0]
    wanted = on_the_cpu(bench.finds, frame)
    with bench.detector() as detector:
        for _ in range(4):
            running = detector.start(frame.plane)
            running.consumed()
            kept, frame.memory[:] = frame.memory.copy(), 0  # as the camera would
            assert_same(running.result(), wanted)
            frame.memory[:] = kept
            with pytest.raises(GpuError, match="over"):
                running.result()


def test_nothing_is_read_before_somebody_waits(bench: Bench) -> None:
    """The stand-in does work only when it must: a result that is there at once was not waited for."""
    with bench.detector() as detector:
        running = detector.start(bench.frames[0].plane)
        bench.frames[0].memory[:] = bench.frames[1].memory
        assert_same(running.result(), on_the_cpu(bench.finds, bench.frames[1]))


def test_a_run_that_is_forgotten_is_waited_for(bench: Bench) -> None:
    with bench.detector() as detector:
        for frame in bench.frames * 3:
            detector.start(frame.plane)
        gc.collect()
        assert "stream" not in bench.driver.alive
        assert_same(detector.run(bench.frames[0].plane), on_the_cpu(bench.finds, bench.frames[0]))


def test_a_run_ends_well_while_its_session_is_closed(bench: Bench) -> None:
    detector = bench.detector()
    running = detector.start(bench.frames[0].plane)
    detector.close()
    assert_same(running.result(), on_the_cpu(bench.finds, bench.frames[0]))
    assert "stream" not in bench.driver.alive


@pytest.mark.parametrize("plates", [0, 1, 3, 8, 9, 20])
def test_any_number_of_plates_is_read(plates: int, bench: Bench) -> None:
    with bench.reader() as reader:
        corners = quads(plates)
        got = reader.run(bench.frames[0].plane, {"quads": corners})
        assert got["best"].shape == (plates, 64, 5)
        if plates:
            assert_same(got, on_the_cpu(bench.reads, bench.frames[0], corners))
        if plates in (0, 9):
            with pytest.raises(ModelError, match="1 to 8; use run"):
                reader.start(bench.frames[0].plane, {"quads": corners})


def test_one_profile_for_all_numbers_will_do(bench: Bench) -> None:
    with bench.reader(((1, 4, 8),)) as reader:
        for plates in (1, 5, 8):
            corners, before = quads(plates), reader.runs
            wanted = on_the_cpu(bench.reads, bench.frames[0], corners)
            assert_same(reader.run(bench.frames[0].plane, {"quads": corners}), wanted)
            assert reader.runs == before + 1


def test_two_frames_are_read_at_once_also_with_one_profile(bench: Bench) -> None:
    with bench.reader(((1, 4, 8),)) as reader:
        both = [(frame, quads(2, seed)) for seed, frame in enumerate(bench.frames[:2])]
        runs = [reader.start(frame.plane, {"quads": corners}) for frame, corners in both]
        for run, (frame, corners) in zip(runs, both, strict=True):
            assert_same(run.result(), on_the_cpu(bench.reads, frame, corners))


def test_results_are_the_callers_own(bench: Bench) -> None:
    with bench.detector() as detector:
        first = detector.run(bench.frames[0].plane)
        kept = {name: array.copy() for name, array in first.items()}
        detector.run(bench.frames[1].plane)
        assert_same(first, kept)


def test_several_threads_share_a_session(bench: Bench) -> None:
    wanted = [on_the_cpu(bench.finds, frame) for frame in bench.frames]
    with bench.detector() as detector, ThreadPoolExecutor(6) as pool:
        for i, got in enumerate(pool.map(lambda n: detector.run(bench.frames[n % 4].plane), range(60))):
            assert_same(got, wanted[i % 4])
        assert bench.driver.alive["stream"] <= lane_limit()


def lane_limit() -> int:
    from edge_alpr.infer.runs import MOST_LANES  # noqa: PLC0415

    return MOST_LANES


def test_graphs_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "MOST_GRAPHS", 2)
    with bench.detector() as detector:
        for frame in [f for f in bench.frames for _ in range(3)]:
            assert_same(detector.run(frame.plane), on_the_cpu(bench.finds, frame))
            assert bench.driver.alive.get("exec", 0) <= 2
        assert detector.launches == 2 * len(bench.frames)


def test_an_engine_that_cannot_be_captured_runs_without(bench: Bench) -> None:
    bench.trt.world.capturable = False
    with bench.detector() as detector:
        for frame in bench.frames * 3:
            assert_same(detector.run(frame.plane), on_the_cpu(bench.finds, frame))
        assert detector.launches == 0
        assert "cannot be captured" in detector.no_graphs


def test_arrays_of_the_host_are_read_too(driver, tmp_path, monkeypatch) -> None:
    trt = standin_tensorrt(driver, monkeypatch)
    given = package(tmp_path, column_reader(), card("reader"))
    crops = np.stack([column_crop("AB1"), column_crop("", "Z9"), column_crop("X")])[:, None]
    with opened(driver) as gpu, HostSession(gpu, given, trt.plan_of(given.model, PROFILES)) as session:
        for _ in range(3):
            assert_same(session.run({"crops": crops}), onnx.open_session(given, 1).run({"crops": crops}))
        for feeds in ({}, {"luma": crops}, {"crops": crops[..., :120]}, {"crops": crops.astype(np.float32)}):
            with pytest.raises(ModelError, match="wants uint8") as caught:
                session.run(feeds)
            assert "\n" not in str(caught.value)


def test_a_plan_is_compared_with_its_graph(bench: Bench) -> None:
    """What the golden check does: the plan by itself, fed with a frame of the host."""
    corners, frame = quads(3), bench.frames[0]
    with RawSession(bench.gpu, bench.trt.plan_of(bench.reads.model, PROFILES), "reader.plan") as session:
        got = session.run({"luma": frame.memory[None, None], "quads": corners})
        assert_same(got, on_the_cpu(bench.reads, frame, corners))
        with pytest.raises(ModelError, match=r"reader.plan: 'luma' wants uint8 \[1, 1, 180, 512\], was fed nothing"):
            session.run({"quads": corners})


def test_two_thousand_runs_leave_nothing_behind(bench: Bench) -> None:
    with bench.adder() as reader:
        corners = [quads(n, n) for n in (1, 2)]

        def runs(count: int) -> None:
            for i in range(count):
                reader.run(bench.frames[i % 4].plane, {"quads": corners[i % 2]})

        runs(16)
        alive, jobs = bench.driver.alive, len(bench.trt.world.jobs)
        once = ("cuMemAlloc_v2", "cuMemAllocHost_v2", "cuStreamBeginCapture_v2", "cuStreamCreate", "cuEventCreate")
        calls = {name: bench.driver.calls(name) for name in once}
        runs(2000)
        assert (bench.driver.alive, len(bench.trt.world.jobs)) == (alive, jobs)
        assert {name: bench.driver.calls(name) for name in calls} == calls


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pitch": 320}, "180 rows and 512 bytes a row, the frame has 180 rows of 320 pixels and 320 bytes"),
        ({"height": 240}, "the frame has 240 rows"),
        ({"width": 600}, "600 pixels"),
        ({"memory": Memory.SYSTEM}, "host's memory"),
        ({"pointer": 0}, "multiple of 256"),
    ],
)
def test_a_plane_that_does_not_fit_is_named(changes: dict, reason: str, bench: Bench) -> None:
    with bench.detector() as detector:
        with pytest.raises(ModelError, match=reason) as caught:
            detector.run(replace(bench.frames[0].plane, **changes))
        assert "\n" not in str(caught.value)
        assert "; " in str(caught.value)
        detector.run(bench.frames[0].plane)


def test_a_plane_that_begins_anywhere_is_refused(bench: Bench) -> None:
    plane = bench.frames[0].plane
    with bench.detector() as detector, pytest.raises(ModelError, match="multiple of 256"):
        detector.run(replace(plane, pointer=plane.pointer + 64))


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_a_plan_that_is_cut_is_refused(part: float, bench: Bench) -> None:
    plan = bench.trt.plan_of(bench.finds.model)
    with pytest.raises(ModelError, match=r"refuses the plan: .*Magic tag; build it: edge-alpr build") as caught:
        PlaneSession(bench.gpu, bench.finds, plan[: int(len(plan) * part)])
    assert "\n" not in str(caught.value)


def test_a_plan_of_another_graph_is_refused(bench: Bench) -> None:
    with pytest.raises(ModelError, match="no output quads, scores"):
        PlaneSession(bench.gpu, bench.finds, bench.trt.plan_of(bench.reads.model, PROFILES))
    with pytest.raises(ModelError, match="no output"):
        PlaneSession(bench.gpu, bench.reads, bench.trt.plan_of(bench.finds.model))


def test_a_plan_with_numbers_that_numpy_lacks_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def nptype(dtype: object) -> type:
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")  # for bfloat16

    monkeypatch.setattr(bench.trt, "nptype", nptype)
    with pytest.raises(GpuError, match=r"equivalent numpy datatype\.; build it"):
        bench.detector()


def test_a_plan_that_sees_nothing_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(job: object) -> None:
        for port in job.engine.outputs:
            job._view(port.name)[...] = np.nan

    monkeypatch.setattr(bench.trt.Job, "compute", blind)
    with pytest.raises(ModelError, match="all finite") as caught:
        bench.detector()
    assert caught.value.__traceback__  # which keeps the session
    assert bench.driver.alive == {"external": len(bench.frames), "context": 1}


def test_without_tensorrt_the_way_out_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = bench.trt.plan_of(bench.finds.model)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(GpuError, match="python3-libnvinfer"):
        PlaneSession(bench.gpu, bench.finds, plan)


def drive(bench: Bench) -> tuple[int, str]:
    """Open a reader, run it thrice on a frame, close it; gives how many graphs ran."""
    with bench.adder() as reader:
        return on_and_on(bench, reader)


def on_and_on(bench: Bench, reader: PlaneSession) -> tuple[int, str]:
    for _ in range(3):
        assert_same(reader.run(bench.frames[0].plane, {"quads": quads(2)}), bench.wanted)
    return reader.launches, reader.no_graphs


CUDA_CALLS = (
    "cuCtxSetCurrent", "cuMemAlloc_v2", "cuMemFree_v2", "cuMemAllocHost_v2", "cuMemFreeHost", "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2", "cuMemsetD8Async", "cuStreamCreate", "cuStreamDestroy_v2", "cuStreamSynchronize",
    "cuEventCreate", "cuEventDestroy_v2", "cuEventRecord", "cuEventSynchronize", "cuStreamBeginCapture_v2",
    "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuGraphExecDestroy", "cuGraphDestroy",
)  # fmt: skip
TRT_CALLS = (
    "Runtime", "deserialize_cuda_engine", "create_execution_context", "set_optimization_profile_async",
    "set_input_shape", "get_tensor_shape", "set_tensor_address", "set_input_consumed_event", "execute_async_v3",
)  # fmt: skip


def can_answer(call: str) -> tuple[object, ...]:
    """What a TensorRT call that fails may give: those that make something raise or give None."""
    if call == "Runtime":
        return (RuntimeError,)
    makes = call in ("deserialize_cuda_engine", "create_execution_context")
    return (RuntimeError, None if makes else False)


def survives(bench: Bench, arm: Callable[[], None]) -> bool:
    """With one call failing: a typed error, or right answers without graphs. Nothing is left; the next drive works."""
    arm()
    failed = False
    try:
        drive(bench)
    except (GpuError, ModelError) as error:
        assert "\n" not in str(error)
        assert "; " in str(error)
        failed = True
    gc.collect()
    return failed


@pytest.mark.parametrize("call", CUDA_CALLS)
def test_each_cuda_call_may_fail_once(call: str, bench: Bench) -> None:
    before = bench.driver.calls(call)
    drive(bench)
    times = bench.driver.calls(call) - before
    assert times
    for nth in range(1, times + 1):
        failed = survives(bench, lambda n=nth: bench.driver.fault(call, n))
        assert failed or call in FALLS_BACK, (call, nth)
        assert bench.driver.complaint == "", (call, nth)
        bench.driver.fault("", 0)
        drive(bench)


FALLS_BACK = {
    "cuCtxSetCurrent", "cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphDestroy",
    "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuGraphExecDestroy",
}  # fmt: skip
"""Calls that are made while a graph is captured: without the graph the answer is as right."""


@pytest.mark.parametrize(
    ("call", "answer"),
    [(call, answer) for call in TRT_CALLS for answer in (False, None, RuntimeError) if answer in can_answer(call)],
)
def test_each_tensorrt_call_may_fail_once(call: str, answer: object, bench: Bench) -> None:
    world = bench.trt.world
    before = world.calls[call]
    drive(bench)
    times = world.calls[call] - before
    assert times
    for nth in range(1, times + 1):
        failed = survives(bench, lambda n=nth: setattr(world, "fault", bench.trt.Fault(call, n, answer)))
        assert failed or call == "execute_async_v3", (call, nth)
        assert (world.fault, bench.driver.complaint) == (None, ""), (call, nth)
        drive(bench)


@pytest.mark.parametrize("call", ["cuGraphLaunch", "cuEventSynchronize", "cuEventRecord"])
def test_a_run_that_fails_is_told_and_the_next_one_works(call: str, bench: Bench) -> None:
    with bench.adder() as reader:
        for _ in range(3):
            bench.driver.fault(call)
            with pytest.raises(GpuError, match=f"{call}|execute_async_v3"):
                for _ in range(3):
                    reader.run(bench.frames[0].plane, {"quads": quads(2)})
            on_and_on(bench, reader)


@pytest.mark.parametrize("runs_before", [0, 1, 2, 5])
def test_a_gpu_that_disappears_ends_the_session_and_says_so(runs_before: int, bench: Bench) -> None:
    reader, extra = bench.adder(), {"quads": quads(2)}
    for _ in range(runs_before):
        reader.run(bench.frames[0].plane, extra)
    bench.driver.lose()
    with pytest.raises(GpuLostError, match="CUDA_ERROR_UNKNOWN"):
        reader.run(bench.frames[0].plane, extra)
    bench.driver.lib.standin_lose(0)  # it coming back does not make a broken context whole
    for _ in range(2):
        with pytest.raises(GpuLostError, match=r"the session is dead since .*CUDA_ERROR_UNKNOWN"):
            reader.run(bench.frames[0].plane, extra)
    reader.close()


def test_a_sticky_error_of_a_kernel_ends_the_session(bench: Bench) -> None:
    with bench.detector() as detector:
        bench.driver.fault("cuEventSynchronize", 1, 700)
        with pytest.raises(GpuLostError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
            detector.run(bench.frames[0].plane)
        with pytest.raises(GpuLostError, match="dead"):
            detector.run(bench.frames[0].plane)


def test_sessions_close_with_their_gpu(driver, tmp_path, monkeypatch) -> None:
    trt, frame = standin_tensorrt(driver, monkeypatch), PlaneMemory(driver, road(), PITCH)
    adds, extra = adder(tmp_path / "adds"), {"quads": quads(2)}
    with opened(driver) as gpu:
        kept = [PlaneSession(gpu, adds, trt.plan_of(adds.model, PROFILES)) for _ in range(2)]
        kept[0].run(frame.plane, extra)
        dropped = RawSession(gpu, trt.plan_of(adds.model, PROFILES), "dropped")
        assert trt.world.alive["engine"] == 3
        del dropped
        gc.collect()
        assert trt.world.alive["engine"] == 2
    assert +trt.world.alive == {}
    with pytest.raises(GpuError, match="closed"):
        kept[0].run(frame.plane, extra)
    frame.close()


def test_a_closed_session_says_so(bench: Bench) -> None:
    detector = bench.detector()
    detector.close()
    detector.close()
    with pytest.raises(GpuError, match="closed"):
        detector.run(bench.frames[0].plane)


PROGRAM = """
import atexit, sys
from pathlib import Path
from types import SimpleNamespace
import pytest
from helpers_gpu import PITCH, PROFILES, Driver, PlaneMemory, adder, quads, road, standin_tensorrt
from edge_alpr.infer.cuda import open_gpu
from edge_alpr.infer.tensorrt import PlaneSession

driver, patch = Driver(), pytest.MonkeyPatch()
trt = standin_tensorrt(driver, patch)
frame = PlaneMemory(driver, road(), PITCH)

def told():
    alive = {kind: n for kind, n in driver.alive.items() if kind != "external"}
    print(repr(driver.complaint), alive, dict(+trt.world.alive))

atexit.register(told)
gpu = open_gpu(driver.path)
adds = adder(Path(sys.argv[1]))
session = PlaneSession(gpu, adds, trt.plan_of(adds.model, PROFILES))
for _ in range(3):
    session.run(frame.plane, {"quads": quads(2)})
running = session.start(frame.plane, {"quads": quads(1)})
print(session.launches)
"""


def test_a_program_that_ends_in_mid_run_gives_everything_back(tmp_path: Path) -> None:
    Driver()  # compiled, or the test is skipped here
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "adds")], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["2", "'' {} {}"]
