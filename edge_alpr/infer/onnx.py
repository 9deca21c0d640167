"""ONNX Runtime on the CPU: the rung that every device has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from edge_alpr.errors import ModelError
from edge_alpr.infer.contract import Port, check_graph, check_outputs, probe_feeds
from edge_alpr.infer.package import ModelPackage
from edge_alpr.ports import Session
from edge_alpr.types import Tensors

MOST_THREADS = 4
_FATAL = 4


class CpuSession:
    """A graph bound to ONNX Runtime; `run` may be called from several threads."""

    def __init__(self, package: ModelPackage, threads: int) -> None:
        self._where = str(package.path)
        self._identity = f"onnxruntime-cpu:{package.card.sha256[:12]}"
        try:
            self._session = ort.InferenceSession(package.model, _options(threads), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise self._translated("cannot be opened", error) from error
        inputs = [port_of(node) for node in self._session.get_inputs()]
        self._outputs = list(package.card.output.names)
        check_graph(package, inputs, [node.name for node in self._session.get_outputs()])
        check_outputs(package, self.run(probe_feeds(package.card)))

    @property
    def identity(self) -> str:
        """Provider and the first twelve digits of the model's sha256."""
        return self._identity

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once; the arrays given back are new. Raises `ModelError` when ONNX Runtime refuses."""
        try:
            results = self._session.run(self._outputs, feeds)
        except Exception as error:
            raise self._translated("did not run", error) from error
        return dict(zip(self._outputs, results, strict=True))

    def _translated(self, what: str, error: Exception) -> ModelError:
        """ONNX Runtime's errors share no base class, so any of them becomes a `ModelError`."""
        reason = " ".join(str(error).split())[:300]
        return ModelError(f"{self._where}: the model {what}: {reason}; check it: edge-alpr doctor")


def open_session(package: ModelPackage, threads: int = 0) -> Session:
    """Open a package on the CPU with so many threads, 0: as many as cores, at most 4.

    Raises `ModelError` where the graph is damaged or is not what its card says.
    """
    return CpuSession(package, threads)


def port_of(node: Any) -> Port:
    """An input or output as ONNX Runtime tells it."""
    return Port(node.name, _dtype(node.type), _shape(node.shape))


def _options(threads: int) -> ort.SessionOptions:
    """One network at a time, and no spinning: a thread that waits leaves its core to the decoder."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or min(os.cpu_count() or 1, MOST_THREADS)
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _FATAL
    return options


def _dtype(kind: str) -> str:
    """`tensor(uint8)` becomes `uint8`, and `float` what NumPy calls it."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def _shape(shape: list[Any]) -> tuple[int, ...]:
    """Named and unknown dimensions become 0."""
    return tuple(size if isinstance(size, int) else 0 for size in shape)
