"""Graphs for a small GPU plane, made of the shipped networks, and a machine that would run their plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from standin_tensorrt import Standin, onnx_of

from edge_alpr.build.command import Here
from edge_alpr.infer.identity import Identity
from edge_alpr.infer.machine import Machine
from edge_alpr.infer.plan import Golden, Plan, Sidecar
from edge_alpr.types import Tensors
from export.compose import Plane
from export.gpu_checks.make import make_graphs

PLANE = Plane(640, 360, 768)
NANO = Machine("Orin (nvgpu)", "8.7", "12.6", "540.4.0", "36.4.0")
NANO_NAME = "NVIDIA Jetson Orin Nano Developer Kit"
Spoil = Callable[[Tensors], Tensors]


def put_graphs(
    folder: Path, precisions: tuple[str, ...] = ("fp16",), plane: Plane = PLANE, near: bool = False
) -> Path:
    """The small detector and the reader, composed for a plane, each with its card; also what looks again."""
    make_graphs(folder, plane, precisions, ("small", "near") if near else ("small",))
    return folder


class KeptSession:
    """Runs the ONNX bytes that a plan of the stand-in keeps; `spoil` makes it a bad engine."""

    identity = "standin"

    def __init__(self, model: bytes, spoil: Spoil) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._spoil = spoil

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        names = [port.name for port in self._session.get_outputs()]
        return self._spoil(dict(zip(names, self._session.run(names, dict(feeds)), strict=True)))


def opener(spoil: Spoil = lambda outputs: outputs) -> Callable[[Plan], Any]:
    """Opens plans of the stand-in; gives the session only while it is held."""

    @contextmanager
    def open_plan(plan: Plan) -> Iterator[KeptSession]:
        yield KeptSession(onnx_of(plan.data), spoil)

    return open_plan


def nano(trt: Standin, spoil: Spoil = lambda outputs: outputs, machine: Machine = NANO, name: str = NANO_NAME) -> Here:
    """An Orin Nano with a stand-in for TensorRT."""
    return Here(name, True, lambda: trt, lambda: machine, opener(spoil))


def identity(**changes: Any) -> Identity:
    """Of a reader's plan on an Orin Nano."""
    fields: dict[str, Any] = {
        "model": "plate-reader-gpu-640x360p768-fp16", "onnx": "ab" * 32, "precision": "fp16",
        "inputs": ("luma uint8 1x1x360x768", "quads float32 Nx4x2"), "profiles": (1, 2, 4, 8), "tensorrt": "10.3.0",
        "typing": "strong", "cuda": "12.6", "driver": "540.4.0", "gpu": "Orin (nvgpu)", "sm": "8.7", "l4t": "36.4.0",
        "optimization_level": 3, "workspace_mb": 512, "dla_core": None, "dla_fallback": True, "compatibility": "none",
        "plugins": (),
    }  # fmt: skip
    return Identity(**fields | changes)


PASSED = Golden(
    problem="", frames=9, plates=20, corners_px=0.1, score=0.01, texts=20, texts_same=20, limits="as stated"
)


def sidecar(of: Identity, golden: Golden | None = PASSED, built: str = "2026-11-25T09:00:00+00:00") -> Sidecar:
    """Of a plan that was built for an identity."""
    return Sidecar(identity=of, builder="edge-alpr test", built=built, seconds=2.5, golden=golden)


def blind(outputs: Tensors) -> Tensors:
    """An engine that runs and sees nothing."""
    return {name: np.zeros_like(array) for name, array in outputs.items()}
