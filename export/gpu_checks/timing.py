"""How long each stage takes as a drive runs it, beside its engine alone; and the whole way's frames a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge_alpr.geometry import box_quad
from edge_alpr.infer.cuda import DeviceMemory, Gpu, Stream
from edge_alpr.infer.graphs import Graph
from edge_alpr.infer.planes import LUMA
from edge_alpr.infer.tensorrt import PlaneSession
from edge_alpr.infer.trtengine import Engine
from edge_alpr.onplane import MOST_READ, Looked, OnPlane
from export.gpu_checks.line import Figure, Figures, Line, attempt, wrong_if
from export.gpu_checks.rungs import looking, on_tensorrt, plan_of
from export.gpu_checks.site import Networks, Site, Slot, frames_for, gpu_of, networks, slots

WARM = 20
"""Runs before a measurement: captures and clocks."""
SHARE = 0.9
"""Of what the engines alone would give, the whole way must reach so much."""


def latency(site: Site) -> Iterator[Line]:
    """Each graph: a run with its copies and waiting, p50 and p99, and its kernels alone."""
    for found in networks(site):
        for kind, graph in found.graphs.items():
            for plates in (1, 2, 4, 8) if kind == "reader" else (0,):
                what = f"{kind}{f' {plates} plates' if plates else ''} {graph.precision} {graph.plane}"
                yield attempt("latency", what, partial(_latency, site, graph, plates))


def _latency(site: Site, graph: Graph, plates: int) -> Figures:
    with gpu_of(site) as gpu, ExitStack() as stack:
        planes = slots(gpu, graph, frames_for(site, graph)[:4], stack)
        plan = plan_of(site, graph)
        session = stack.enter_context(PlaneSession(gpu, graph.package, plan))
        extra = _feeds(graph, plates)
        spent = []
        for number in range(WARM + site.effort.rounds):
            began = time.perf_counter()
            session.run(planes[number % len(planes)].plane, extra)
            spent.append(1e3 * (time.perf_counter() - began))
        p50, p99 = (float(np.percentile(spent[WARM:], share)) for share in (50, 99))
        alone = engine_ms(gpu, plan, planes[0], plates, site.effort.rounds)
        return {"p50_ms": p50, "p99_ms": p99, "engine_ms": alone, "around_ms": p50 - alone}


def _feeds(graph: Graph, plates: int) -> dict[str, NDArray[np.float32]]:
    if plates:
        quad = box_quad(graph.width / 3, graph.height / 3, graph.width / 2, graph.height / 2)
        return {"quads": np.repeat(quad[None], plates, axis=0).astype(np.float32)}
    return {"window": np.array([[1, 0, 0]], np.float32)} if graph.tier == "near" else {}


def engine_ms(gpu: Gpu, plan: bytes, slot: Slot, plates: int, rounds: int) -> float:
    """Of one run: the engine's kernels as a captured graph, launched again and again without waiting in between."""
    with ExitStack() as stack:
        engine = Engine(gpu, plan, "the engine alone")
        stack.callback(engine.close)
        profile = next((n for n, batch in enumerate(engine.batches) if batch >= plates), 0)
        stream = stack.enter_context(Stream(gpu))
        context = engine.context(profile, stream)
        stack.callback(context.close)
        for port in (*engine.inputs, *engine.outputs):
            size = np.dtype(port.dtype).itemsize * int(np.prod(engine.shape(port, profile)))
            own = slot.memory if port.name == LUMA else stack.enter_context(DeviceMemory(gpu, size))
            if own is not slot.memory:
                stream.fill(own, 0)
            context.bind(port.name, own.handle)
        context.enqueue(stream)
        stream.wait()
        graph = stack.enter_context(stream.capture(lambda: context.enqueue(stream)))
        return _repeated(lambda: stream.launch(graph), stream.wait, rounds)


def _repeated(once: Callable[[], None], wait: Callable[[], None], rounds: int) -> float:
    """Milliseconds of one, of many in a row."""
    for _ in range(WARM):
        once()
    wait()
    began = time.perf_counter()
    for _ in range(rounds):
        once()
    wait()
    return 1e3 * (time.perf_counter() - began) / rounds


def throughput(site: Site) -> Iterator[Line]:
    """Frames a second from plane to reads, beside what the engines alone would give."""
    for found in networks(site):
        for tier in found.tiers:
            yield attempt("throughput", f"{found.name} {tier}", partial(_throughput, site, found, tier))


def _throughput(site: Site, found: Networks, tier: str) -> Figures:
    with gpu_of(site) as gpu, ExitStack() as stack:
        graph = found.graphs[tier]
        planes = slots(gpu, graph, frames_for(site, graph), stack)
        stream = stack.enter_context(Stream(gpu))
        looks = looking(found, tier, on_tensorrt(site, gpu, stack))
        rounds = site.effort.rounds
        _drive(looks, planes, 3 * len(planes), None)  # each address with each profile is captured
        near = looks.nets.near.session if looks.nets.near else None
        before = near.runs if isinstance(near, PlaneSession) else 0
        whole, plates = _drive(looks, planes, rounds, None)
        looked_again = (near.runs if isinstance(near, PlaneSession) else 0) - before
        uploading, _ = _drive(looks, planes, rounds, stream)
        alone = _alone(site, gpu, found, tier, planes[0])
        parts = {
            "detector": alone[tier],
            "near": alone.get("near", 0.0) * looked_again / rounds,
            "reader": float(np.mean([_reader_ms(alone, count) for count in plates])),
        }
    figures: dict[str, Figure] = {f"{name}_engine_ms": value for name, value in parts.items()}
    slowest, together = max(parts.values()), sum(parts.values())
    figures |= {
        "frame_ms": whole, "fps": 1e3 / whole, "fps_uploading": 1e3 / uploading, "plates": float(np.mean(plates)),
        "of_slowest": slowest / whole, "of_all_engines": together / whole,
    }  # fmt: skip
    return wrong_if({f"the whole way reaches less than {SHARE:.0%} of its engines": together / whole < SHARE}, figures)


def _drive(looks: OnPlane, planes: Sequence[Slot], frames: int, uploads: Stream | None) -> tuple[float, list[int]]:
    """Milliseconds a frame, and plates read of each; a frame is found while the one before is read."""
    plates: list[int] = []
    under_way: Looked | None = None
    began = time.perf_counter()
    for number in range(frames):
        slot = planes[number % len(planes)]
        if uploads is not None:
            slot.upload(uploads)
            uploads.wait()
        looked = looks.start(slot.plane)
        if under_way is not None:
            under_way.result()
        plates.append(min(MOST_READ, len(looked.detections)))
        under_way = looked
    if under_way is not None:
        under_way.result()
    return 1e3 * (time.perf_counter() - began) / frames, plates


def _alone(site: Site, gpu: Gpu, found: Networks, tier: str, slot: Slot) -> dict[str, float]:
    """Milliseconds of each engine by tier, the reader's by plates."""
    spent = {}
    for name in (tier, "near"):
        if name in found.graphs:
            spent[name] = engine_ms(gpu, plan_of(site, found.graphs[name]), slot, 0, site.effort.rounds)
    plan = plan_of(site, found.graphs["reader"])
    for plates in (1, 2, 4, 8):
        spent[str(plates)] = engine_ms(gpu, plan, slot, plates, site.effort.rounds)
    return spent


def _reader_ms(alone: dict[str, float], plates: int) -> float:
    """Of a frame with so many plates: runs of eight, and one of what is left, rounded up to a profile."""
    rest = plates % 8
    profile = next((size for size in (1, 2, 4, 8) if size >= rest), 8)
    return plates // 8 * alone["8"] + (alone[str(profile)] if rest else 0.0)
