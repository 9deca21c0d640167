"""The ladder of run-times: the best that runs is taken, and why each better one does not is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx", reason="the graphs for the GPU are composed with onnx: pip install -e .[export]")

import onnxruntime as ort
from helpers_gpu import HEIGHT, PITCH, WIDTH, Driver, adder, opened, plane_packages, quads, road, standin_tensorrt
from helpers_infer import card, column_crop, column_reader, package

from edge_alpr.errors import GpuError, ModelError
from edge_alpr.infer import onnx, ortcuda
from edge_alpr.infer.package import ModelPackage
from edge_alpr.infer.rungs import LADDER, best_for_arrays, best_for_planes, find_gpu
from edge_alpr.types import DevicePlane, Memory

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


@pytest.fixture
def driver() -> Iterator[Driver]:
    standin = Driver()
    standin.reset()
    yield standin
    complaint = standin.complaint
    standin.reset()
    assert complaint == ""


def host_plane(luma: np.ndarray) -> tuple[np.ndarray, DevicePlane]:
    """A plane in memory of the host that is aligned as the GPU's is; keep the array."""
    raw = np.zeros(HEIGHT * PITCH + 256, np.uint8)
    start = -raw.ctypes.data % 256
    memory = raw[start : start + HEIGHT * PITCH].reshape(HEIGHT, PITCH)
    memory[:, :WIDTH] = luma
    return memory, DevicePlane(memory.ctypes.data, WIDTH, HEIGHT, PITCH, Memory.CUDA)


def no_plan(given: ModelPackage) -> bytes:
    raise ModelError(f"{given.path}: no plan is built for it; build it: edge-alpr build")


def needs_no_gpu(provider: str) -> None:
    if provider in ort.get_available_providers():
        pytest.skip(f"{provider} is here")


def test_a_plane_is_bound_where_it_lies(tmp_path: Path) -> None:
    finds, reads = plane_packages(tmp_path)
    memory, plane = host_plane(road())
    detector, reader = (ortcuda.PlaneSession(given, plane.pointer, CPU) for given in (finds, reads))
    for seed in range(3):
        memory[:, :WIDTH] = road(seed)  # the next frame, in the same surface
        for session, given, extra in ((detector, finds, {}), (reader, reads, {"quads": quads(3, seed)})):
            wanted = ort.InferenceSession(given.model, providers=[CPU]).run(
                list(given.card.output.names), {"luma": memory[None, None], **extra}
            )
            before = session.bytes_back
            got = session.start(plane, extra).result()
            assert all(np.array_equal(a, b) for a, b in zip(got.values(), wanted, strict=True))
            assert session.bytes_back - before == sum(array.nbytes for array in wanted)
    assert reader.identity == f"onnxruntime-cpu:{reads.card.sha256[:12]}"


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    reads = adder(tmp_path / "adds")
    _, plane = host_plane(road())
    session = ortcuda.PlaneSession(reads, plane.pointer, CPU)
    with pytest.raises(ModelError, match="'quads' wants float32"):
        session.run(plane)
    with pytest.raises(ModelError, match="made for planes of 180 rows"):
        session.run(DevicePlane(plane.pointer, WIDTH, HEIGHT, WIDTH, Memory.CUDA), {"quads": quads(1)})


@pytest.mark.parametrize("provider", [CUDA, TENSORRT])
def test_a_provider_that_is_not_there_says_what_to_install(provider: str, tmp_path: Path) -> None:
    needs_no_gpu(provider)
    given = package(tmp_path, column_reader(), card("reader"))
    with pytest.raises(GpuError, match=f"no {provider}; install onnxruntime-gpu"):
        ortcuda.HostSession(given, provider)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_list_of_providers_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_no_gpu(CUDA)
    given = package(tmp_path, column_reader(), card("reader"))
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    with pytest.raises(GpuError, match=f"asked for {CUDA} and took {CPU}|cannot be opened"):
        ortcuda.HostSession(given, CUDA)


def test_the_tensorrt_provider_is_told_the_profiles(tmp_path: Path) -> None:
    reads = adder(tmp_path / "adds")
    half = msgspec.structs.replace(reads.card, data={"variant": "gpu fp16"})
    options = ortcuda.provider_options(TENSORRT, ModelPackage(reads.path, half, reads.model))
    assert [name for name, _ in ortcuda.providers(TENSORRT, reads)] == [TENSORRT, CUDA]  # not the processor
    assert options["trt_profile_max_shapes"] == "quads:8x4x2"
    assert options["trt_fp16_enable"] == "True"
    assert options["trt_engine_cache_path"] == str(reads.path.parent)
    assert options["trt_int8_enable"] == "False"
    assert ortcuda.provider_options(TENSORRT, reads)["trt_fp16_enable"] == "False"
    bytes_ = msgspec.structs.replace(reads.card, data={"variant": "gpu int8"})
    options = ortcuda.provider_options(TENSORRT, ModelPackage(reads.path, bytes_, reads.model))
    assert (options["trt_int8_enable"], options["trt_fp16_enable"]) == ("True", "True")  # its best leave in halves


def test_tensorrt_is_the_best_rung(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = standin_tensorrt(driver, monkeypatch)
    reads = adder(tmp_path / "adds")
    (tmp_path / "crops").mkdir()
    crops = package(tmp_path / "crops", column_reader(), card("reader"))
    plan: Callable[[ModelPackage], bytes] = lambda given: trt.plan_of(given.model, ((1, 2, 2),))  # noqa: E731
    with opened(driver) as gpu:
        for choice in (best_for_planes(reads, gpu, plan), best_for_arrays(crops, 1, gpu, plan)):
            assert (choice.rung, choice.refusals) == ("tensorrt", ())
            choice.session.close()


def test_each_better_rung_says_why_it_does_not_run(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_no_gpu(CUDA)
    standin_tensorrt(driver, monkeypatch)
    given = package(tmp_path, column_reader(), card("reader"))
    crops = {"crops": column_crop("AB1")[None, None]}
    with opened(driver) as gpu:
        choice = best_for_arrays(given, 1, gpu, no_plan)
        assert choice.rung == "onnxruntime-cpu"
        assert tuple(refusal.rung for refusal in choice.refusals) == LADDER[:3]
        assert "no plan is built" in choice.refusals[0].reason
        wanted = onnx.open_session(given, 1).run(crops)
        assert np.array_equal(choice.session.run(crops)["logprobs"], wanted["logprobs"])
        with pytest.raises(GpuError, match=r"tensorrt: .*no plan.*onnxruntime-cuda: .*install") as caught:
            best_for_planes(adder(tmp_path / "adds"), gpu, no_plan)
        assert "\n" not in str(caught.value)


def test_a_plan_that_does_not_run_falls_to_the_next_rung(driver, tmp_path, monkeypatch) -> None:
    needs_no_gpu(CUDA)
    trt = standin_tensorrt(driver, monkeypatch)
    given = package(tmp_path, column_reader(), card("reader"))
    with opened(driver) as gpu:
        driver.fault("cuMemAlloc_v2")
        choice = best_for_arrays(given, 1, gpu, lambda it: trt.plan_of(it.model, ((1, 2, 2),)))
        assert choice.rung == "onnxruntime-cpu"
        assert "CUDA_ERROR_OUT_OF_MEMORY" in choice.refusals[0].reason
    assert driver.alive == {}


def test_a_broken_model_is_told_as_ever(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be opened"):
        best_for_arrays(package(tmp_path, b"nonsense", card("reader")), 1, None, no_plan)


def test_without_a_gpu_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    given = package(tmp_path, column_reader(), card("reader"))
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edge_alpr.infer.package import load_package\n"
        "from edge_alpr.infer.rungs import best_for_arrays, find_gpu\n"
        "gpu, reason = find_gpu('libcuda-of-nobody.so.1')\n"
        "choice = best_for_arrays(load_package(Path(sys.argv[1])), 1, gpu, lambda package: b'')\n"
        "print(choice.rung, choice.refusals, reason)\n"
        "print([name for name in ('tensorrt', 'cuda', 'edge_alpr.infer.tensorrt') if name in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", program, given.path], capture_output=True, text=True, check=True)
    lines = told.stdout.splitlines()
    assert lines[0].startswith("onnxruntime-cpu () libcuda-of-nobody.so.1 cannot be loaded")
    assert lines[1] == "[]"


def test_a_gpu_is_found(driver: Driver) -> None:
    gpu, reason = find_gpu(driver.path)
    assert gpu is not None
    assert reason == ""
    gpu.close()
    assert driver.alive == {}
