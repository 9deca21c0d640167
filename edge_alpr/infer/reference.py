"""The ONNX reference of a graph for the GPU: ONNX Runtime on the CPU, all inputs and outputs as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from edge_alpr.errors import ModelError
from edge_alpr.infer.package import ModelPackage
from edge_alpr.types import Tensors

_FATAL = 4


class ReferenceSession:
    """A `Session` on host arrays. It is slow (the whole frame is resized by it) and only for comparing."""

    def __init__(self, package: ModelPackage) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = _FATAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._package = package
        try:
            self._session = ort.InferenceSession(package.model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise self._translated("cannot be opened", error) from error
        self._outputs = [port.name for port in self._session.get_outputs()]

    @property
    def identity(self) -> str:
        """Provider and the first twelve digits of the model's sha256."""
        return f"onnxruntime-cpu:{self._package.card.sha256[:12]}"

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once. Raises `ModelError` when ONNX Runtime refuses."""
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, dict(feeds)), strict=True))
        except Exception as error:
            raise self._translated("did not run", error) from error

    def _translated(self, what: str, error: Exception) -> ModelError:
        reason = " ".join(str(error).split())[:300]
        return ModelError(f"{self._package.path}: the graph {what} on the CPU: {reason}; export it again")
