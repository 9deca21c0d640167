"""A plan by itself, to be compared with its graph."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from edge_alpr.errors import BuildError
from edge_alpr.infer.plan import Plan
from edge_alpr.ports import Session


@contextmanager
def open_plan(plan: Plan) -> Iterator[Session]:
    """Run a plan on this machine's GPU while it is held. Raises `BuildError`, and what the GPU raises."""
    try:
        cuda = importlib.import_module("edge_alpr.infer.cuda")
        tensorrt = importlib.import_module("edge_alpr.infer.tensorrt")
    except ImportError as error:
        raise BuildError(f"{plan.path}: this version cannot run plans, so it cannot be checked") from error
    with cuda.open_gpu() as gpu, tensorrt.RawSession(gpu, plan.data, str(plan.path)) as session:
        yield session
