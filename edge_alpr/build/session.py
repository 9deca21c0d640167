"""A plan by itself, to be compared with its graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_alpr.infer.cuda import open_gpu
from edge_alpr.infer.plan import Plan
from edge_alpr.infer.tensorrt import RawSession
from edge_alpr.ports import Session


@contextmanager
def open_plan(plan: Plan) -> Iterator[Session]:
    """Run a plan on this machine's GPU while it is held. Raises what the GPU raises."""
    with open_gpu() as gpu, RawSession(gpu, plan.data, str(plan.path)) as session:
        yield session
