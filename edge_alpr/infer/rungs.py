"""The ladder of run-times: a rung is a function in a file of its own that opens a session on a package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from edge_alpr.errors import ModelError
from edge_alpr.infer import onnx
from edge_alpr.infer.package import ModelPackage
from edge_alpr.ports import Session

Opener: TypeAlias = Callable[[ModelPackage, int], Session]
"""Takes the package and the number of threads; raises `ModelError` where it cannot run here."""

RUNGS: Mapping[str, Opener] = {"onnxruntime-cpu": onnx.open_session}
"""Best first. Each rung compares the graph with the card through `contract` before it serves."""


def open_session(package: ModelPackage, threads: int = 0, rung: str = "onnxruntime-cpu") -> Session:
    """Open a package on the named rung. Raises `ModelError` naming the rungs there are, or why it refuses."""
    if rung not in RUNGS:
        raise ModelError(f"there is no run-time '{rung}'; known here: {', '.join(RUNGS)}")
    return RUNGS[rung](package, threads)
