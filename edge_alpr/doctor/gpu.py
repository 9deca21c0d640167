"""The GPU: which rung runs each network for planes, found by running it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_alpr.config import Config
from edge_alpr.doctor.finding import Finding, Status, from_error
from edge_alpr.errors import EdgeAlprError, GpuError

if TYPE_CHECKING:
    from edge_alpr.gpudrive import Hardware
    from edge_alpr.infer.graphs import Graph
    from edge_alpr.infer.looking import Bench

AREA = "GPU"


def gpu(config: Config, hardware: Hardware | None = None) -> Iterator[Finding]:
    """Its name, then the rung of each network for each size of frame that there are graphs for."""
    if config.models.run_on == "cpu":
        yield Finding(AREA, "ok", "not wanted: [models] run_on is 'cpu'")
        return
    from edge_alpr.gpudrive import opened_bench, this_hardware  # noqa: PLC0415 - one that does not load is a finding

    try:
        with opened_bench(config, hardware or this_hardware()) as bench:
            info = bench.gpu.info
            yield Finding(AREA, "ok", f"{info.name}, {info.memory_bytes >> 20} MiB, CUDA {info.driver // 1000}")
            for size in bench.sizes:
                for graph in bench.chosen(size).values():
                    yield _rung(bench, graph)
    except EdgeAlprError as error:
        status: Status = "missing" if config.models.run_on == "gpu" else "limited"
        found = from_error(AREA, error, status)
        yield Finding(AREA, status, f"drives run on the processor: {found.what}", found.remedy)


def _rung(bench: Bench, graph: Graph) -> Finding:
    from edge_alpr.infer.rungs import best_for_planes  # noqa: PLC0415

    what = f"{graph.name}, {graph.precision}"
    try:
        choice = best_for_planes(graph.package, bench.gpu, bench.plan)
    except GpuError as error:
        return from_error(AREA, GpuError(f"{what}: {error}"), "limited")
    if not choice.refusals:
        return Finding(AREA, "ok", f"{what}: {choice.rung} runs")
    refusal = choice.refusals[0]
    return from_error(AREA, GpuError(f"{what}: {choice.rung} runs, not {refusal.rung}: {refusal.reason}"), "limited")
