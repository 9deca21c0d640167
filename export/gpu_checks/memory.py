"""Ten thousand frames must not take more memory than the first hundred, on the GPU and in the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from edge_alpr.infer.cuda import Gpu
from export.gpu_checks.line import Figures, Line, attempt, wrong_if
from export.gpu_checks.rungs import looking, on_tensorrt
from export.gpu_checks.site import Networks, Site, frames_for, gpu_of, networks, slots

_MB = 1 << 20
MOST_GPU_MB, MOST_RSS_MB = 2.0, 16.0
"""What may be taken: the driver's own pools, and the interpreter's."""


def memory(site: Site) -> Iterator[Line]:
    """A line for each plane, in the recipe's precision, with its large detector where there is one."""
    wanted = site.hardware.recipe(site.folder).detector.precision
    all_of_it = networks(site)
    for found in [one for one in all_of_it if one.precision == wanted] or all_of_it[:1]:
        yield attempt("memory", f"{found.name} {found.tiers[0]}", partial(_memory, site, found))


def _memory(site: Site, found: Networks) -> Figures:
    tier, effort = found.tiers[0], site.effort
    with gpu_of(site) as gpu, ExitStack() as stack:
        untouched = _free_mb(gpu)
        planes = slots(gpu, found.graphs[tier], frames_for(site, found.graphs[tier]), stack)
        looks = looking(found, tier, on_tensorrt(site, gpu, stack))
        opened = _free_mb(gpu)
        settled = (opened, _rss_mb())
        for number in range(effort.frames):
            if number == min(effort.settle, effort.frames // 2):
                settled = (_free_mb(gpu), _rss_mb())
            looks.start(planes[number % len(planes)].plane).result()
        grown, rss = settled[0] - _free_mb(gpu), _rss_mb() - settled[1]
    figures = {
        "frames": effort.frames, "gpu_mb": untouched - settled[0], "gpu_opened_mb": untouched - opened,
        "gpu_growth_mb": grown, "rss_mb": settled[1], "rss_growth_mb": rss,
    }  # fmt: skip
    return wrong_if({
        f"the GPU's memory grew by {grown:.1f} MB": grown > MOST_GPU_MB,
        f"the process grew by {rss:.1f} MB": rss > MOST_RSS_MB,
    }, figures)  # fmt: skip


def _free_mb(gpu: Gpu) -> float:
    return gpu.free_bytes() / _MB


def _rss_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
