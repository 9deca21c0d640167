"""The ladder of run-times: a rung is a function in a file of its own that opens a session on a package.

Which rung runs is found by running it: a session that opens has been tried. Nothing of CUDA or TensorRT is loaded
where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from edge_alpr.errors import GpuError, ModelError
from edge_alpr.infer import onnx
from edge_alpr.infer.cuda import Gpu, open_gpu
from edge_alpr.infer.package import ModelPackage
from edge_alpr.ports import PlaneSession, Session

Opener: TypeAlias = Callable[[ModelPackage, int], Session]
"""Takes the package and the number of threads; raises `ModelError` where it cannot run here."""
PlanReader: TypeAlias = Callable[[ModelPackage], bytes]
"""Gives the plan built for a package; raises `ModelError` where there is none that may be used here, and why."""
T = TypeVar("T")

RUNGS: Mapping[str, Opener] = {"onnxruntime-cpu": onnx.open_session}
"""Those that need nothing but the processor. Each compares the graph with the card through `contract`."""
LADDER = ("tensorrt", "onnxruntime-tensorrt", "onnxruntime-cuda", "onnxruntime-cpu")
"""Best first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rung that does not run here, and why."""

    rung: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """The best rung that runs here, its session, and the better ones that do not."""

    rung: str
    session: T
    refusals: tuple[Refusal, ...] = ()


def open_session(package: ModelPackage, threads: int = 0, rung: str = "onnxruntime-cpu") -> Session:
    """Open a package on the named rung. Raises `ModelError` naming the rungs there are, or why it refuses."""
    if rung not in RUNGS:
        raise ModelError(f"there is no run-time '{rung}'; known here: {', '.join(RUNGS)}")
    return RUNGS[rung](package, threads)


def find_gpu(library: str = "") -> tuple[Gpu | None, str]:
    """The GPU of this machine, or why there is none. Cheap where NVIDIA's driver is not installed."""
    try:
        return open_gpu(library), ""
    except GpuError as error:
        return None, str(error)


def best_for_planes(package: ModelPackage, gpu: Gpu, plan: PlanReader) -> Choice[PlaneSession]:
    """The best rung that takes planes on the GPU. Raises `GpuError` with all the reasons where none does."""
    from edge_alpr.infer import ortcuda, tensorrt  # noqa: PLC0415 - only where there is a GPU

    return _first({
        "tensorrt": lambda: tensorrt.PlaneSession(gpu, package, plan(package)),
        "onnxruntime-tensorrt": lambda: ortcuda.open_planes(gpu, package, "TensorrtExecutionProvider"),
        "onnxruntime-cuda": lambda: ortcuda.open_planes(gpu, package, "CUDAExecutionProvider"),
    })  # fmt: skip


def best_for_arrays(package: ModelPackage, threads: int, gpu: Gpu | None, plan: PlanReader) -> Choice[Session]:
    """The best rung that takes arrays of the host; without a GPU that is the processor. Raises as `open_session`."""
    rungs: dict[str, Callable[[], Session]] = {}
    if gpu is not None:
        from edge_alpr.infer import ortcuda, tensorrt  # noqa: PLC0415 - only where there is a GPU

        rungs = {
            "tensorrt": lambda: tensorrt.HostSession(gpu, package, plan(package)),
            "onnxruntime-tensorrt": lambda: ortcuda.HostSession(package, "TensorrtExecutionProvider"),
            "onnxruntime-cuda": lambda: ortcuda.HostSession(package, "CUDAExecutionProvider"),
        }
    return _first({**rungs, "onnxruntime-cpu": lambda: open_session(package, threads)})


def _first(rungs: Mapping[str, Callable[[], T]]) -> Choice[T]:
    refusals: list[Refusal] = []
    for rung, opened in rungs.items():
        try:
            return Choice(rung, opened(), tuple(refusals))
        except (GpuError, ModelError) as error:
            refusals.append(Refusal(rung, str(error)))
            if len(rungs) == 1:
                raise
    reasons = "; ".join(f"{refusal.rung}: {refusal.reason}" for refusal in refusals)
    raise GpuError(f"no run-time takes the model here: {reasons}")
