"""Sessions on each run-time, and the processor's beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec
import onnxruntime as ort
from numpy.typing import NDArray

from edge_alpr.config import DetectConfig
from edge_alpr.errors import GpuError
from edge_alpr.infer import adapt, ortcuda, tensorrt
from edge_alpr.infer.cuda import Gpu
from edge_alpr.infer.graphs import Graph
from edge_alpr.infer.planes import EMPTY
from edge_alpr.infer.reference import ReferenceSession
from edge_alpr.infer.trtengine import load_tensorrt
from edge_alpr.onplane import NearNet, OnPlane, PlaneNets
from edge_alpr.ports import PlaneSession
from edge_alpr.types import DevicePlane, Tensors
from export.gpu_checks.line import AbsentError
from export.gpu_checks.site import Networks, Site, Slot

PROVIDERS: Mapping[str, ortcuda.Provider] = {
    "onnxruntime-cuda": "CUDAExecutionProvider",
    "onnxruntime-tensorrt": "TensorrtExecutionProvider",
}
Opened = Callable[[Graph], PlaneSession]
MOST = msgspec.structs.replace(DetectConfig(), max_plates=16)


def needs_tensorrt() -> None:
    """Raises `AbsentError` where TensorRT's module cannot be loaded."""
    try:
        load_tensorrt()
    except GpuError as error:
        raise AbsentError(str(error)) from error


def plan_of(site: Site, graph: Graph) -> bytes:
    """The proven plan of a graph. Raises `AbsentError` without TensorRT, `ModelError` where the plan is not proven."""
    needs_tensorrt()
    return site.hardware.plans(site.folder, site.hardware.recipe(site.folder))(graph.package)


def on_tensorrt(site: Site, gpu: Gpu, stack: ExitStack) -> Opened:
    """Opens graphs by their plans; sessions are closed with `stack`."""
    return lambda graph: stack.enter_context(tensorrt.PlaneSession(gpu, graph.package, plan_of(site, graph)))


def on_onnxruntime(gpu: Gpu, rung: str) -> Opened:
    """Opens graphs by ONNX Runtime. Raises `AbsentError` where it was built without the provider."""
    provider = PROVIDERS[rung]
    if provider not in ort.get_available_providers():
        raise AbsentError(f"ONNX Runtime {ort.__version__} as installed has no {provider}; install onnxruntime-gpu")
    if rung == "onnxruntime-tensorrt":
        needs_tensorrt()
    return lambda graph: ortcuda.open_planes(gpu, graph.package, provider)


class OnProcessor:
    """A `PlaneSession` that computes slots by ONNX Runtime on the processor."""

    def __init__(self, graph: Graph, slots: Sequence[Slot]) -> None:
        self._session, self.most = ReferenceSession(graph.package), ortcuda.MOST_PLATES
        self._pixels = {slot.plane.pointer: slot.pixels for slot in slots}

    @property
    def identity(self) -> str:
        """As events have it."""
        return self._session.identity

    def run(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = EMPTY) -> Tensors:
        """Run once. Raises `ModelError`."""
        return self._session.run({"luma": self._pixels[plane.pointer], **extra})

    def start(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = EMPTY) -> ortcuda.Done:
        """Over when it begins."""
        return ortcuda.Done(self.run(plane, extra))


def nets(found: Networks, tier: str, opened: Opened) -> PlaneNets:
    """The networks of a drive with one detector. Raises what opening raises."""
    graphs, near = found.graphs, found.graphs.get("near")
    second = NearNet(opened(near), near.input_size, graphs[tier].input_size) if near else None
    reader = graphs["reader"]
    return PlaneNets(opened(graphs[tier]), opened(reader), adapt.reader_spec(reader.package.card), second)


def looking(found: Networks, tier: str, opened: Opened) -> OnPlane:
    """Finds and reads as a drive does."""
    return OnPlane(nets(found, tier, opened), MOST)
