"""The networks on the GPU as a drive uses them: opened for the frames that come, on the best rung that runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from edge_alpr.config import Config, Tier
from edge_alpr.errors import EdgeAlprError, GpuError, ModelError
from edge_alpr.evidence import Interpret
from edge_alpr.gpuhealth import GpuHealth
from edge_alpr.infer import adapt
from edge_alpr.infer.choose import choose
from edge_alpr.infer.cuda import Gpu
from edge_alpr.infer.graphs import Graph, gpu_graphs, made_elsewhere, outdated
from edge_alpr.infer.package import load_package
from edge_alpr.infer.recipe import Recipe
from edge_alpr.infer.rungs import Choice, PlanReader, best_for_planes
from edge_alpr.infer.sets import GRAPHS, ModelSet
from edge_alpr.onplane import Looked, NearNet, OnPlane, PlaneNets
from edge_alpr.ports import PlaneSession
from edge_alpr.types import DevicePlane

_log = logging.getLogger(__name__)
Size: TypeAlias = tuple[int, int, int]
"""Width and height in pixels, and the bytes of a row."""
Tiered: TypeAlias = Mapping[str, OnPlane]
"""What looks at planes of one size, by the detector's tier."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What networks for planes are opened with: the GPU, the graphs of a folder, and how their plans are found."""

    gpu: Gpu
    graphs: tuple[Graph, ...]
    recipe: Recipe
    plan: PlanReader
    why_not: Callable[[Graph], str] = outdated
    """Why a graph must be left out."""

    @property
    def sizes(self) -> list[Size]:
        """The planes that there are graphs for."""
        return sorted({(graph.width, graph.height, graph.pitch) for graph in self.graphs})

    def chosen(self, size: Size) -> dict[str, Graph]:
        """The graphs for planes of a size by kind, the detectors by tier. Raises `ModelError` where there are none."""
        fits = [graph for graph in self.graphs if (graph.width, graph.height, graph.pitch) == size]
        if not fits:
            others = ", ".join(f"{width}x{height}p{pitch}" for width, height, pitch in self.sizes)
            raise ModelError(
                f"no graph takes frames of {size[0]}x{size[1]} with {size[2]} bytes a row, there are: {others}; "
                f"make one: python -m export.variants --frame {size[0]}x{size[1]} --pitch {size[2]}, then: "
                "edge-alpr build"
            )
        choices = choose(fits, self.recipe, None, self.why_not)
        return {choice.graph.tier or choice.graph.kind: choice.graph for choice in choices}

    def opened(self, graph: Graph) -> PlaneSession:
        """The best rung for a graph; what better ones refuse is logged. Raises `GpuError` where none runs."""
        choice = best_for_planes(graph.package, self.gpu, self.plan)
        tell_refusals(graph, choice)
        return choice.session


def tell_refusals(graph: Graph, choice: Choice[PlaneSession]) -> None:
    """Log, loudly, what did not run."""
    for refusal in choice.refusals:
        _log.warning("%s runs on %s, not on %s: %s", graph.name, choice.rung, refusal.rung, refusal.reason)


def open_bench(folder: Path, gpu: Gpu, recipe: Recipe, plan: PlanReader) -> Bench:
    """The graphs in a folder. Raises `ModelError` where there is none, or one does not hold."""
    return Bench(gpu, tuple(gpu_graphs(folder)), recipe, plan)


def bound_to(bench: Bench, among: ModelSet) -> Bench:
    """The same for the networks of a model set: graphs of other weights are left out. Raises `ModelError` for none."""
    if not among.version:
        return bench
    weights = frozenset(load_package(path).card.sha256 for path in among.paths())
    own = [graph for graph in bench.graphs if not made_elsewhere(graph, weights)]
    if {"detector", "reader"} - {graph.kind for graph in own}:
        raise ModelError(
            f"{among.title}: no graphs for the GPU were made from them; put them into {among.folder / GRAPHS} "
            "(python -m export.variants), then: edge-alpr build"
        )
    return replace(bench, graphs=tuple(own), why_not=lambda graph: "")


class Look:
    """Finds and reads plates on the GPU, as `pipeline.Looking`. The networks for a size are opened at its first frame.

    One that cannot be opened gives the GPU up for this drive. From one thread at a time, `change_tier` also another.
    """

    def __init__(self, bench: Bench, config: Config, health: GpuHealth, interpret: Interpret) -> None:
        self.health = health
        self._tier: Tier = config.models.tier
        self._config, self._interpret = config, interpret
        self._using: tuple[Bench, dict[Size, Tiered]] = bench, {}
        """The bench, and what is open of it."""
        self._latest: OnPlane | None = None

    @property
    def identities(self) -> dict[str, str]:
        """The networks that saw the latest frame; empty before the first."""
        return self._latest.nets.identities if self._latest else {}

    def change_tier(self, tier: Tier) -> None:
        """Which detector runs from the next frame on, where there is a graph of it."""
        self._tier = tier

    def start(self, plane: DevicePlane, most: int | None = None) -> Looked:
        """Find the plates and begin to read the `most` best scored. Raises `GpuError` and `ModelError`."""
        size = (plane.width, plane.height, plane.pitch)
        bench, opened = self._using
        if size not in opened:
            opened[size] = self._open(bench, size)
        tiers = opened[size]
        self._latest = tiers.get(self._tier) or next(iter(tiers.values()))
        return self._latest.start(plane, most)

    def prepared(self, bench: Bench) -> dict[Size, Tiered]:
        """What another bench has for the planes seen so far, open; on any thread. Raises `GpuError`, `ModelError`."""
        return {size: self._nets(bench, size) for size in tuple(self._using[1])}

    def exchange(self, bench: Bench, opened: dict[Size, Tiered]) -> dict[Size, Tiered]:
        """Look by another bench, and what was `prepared` of it, from the next plane on. Gives back what did before."""
        _, before = self._using
        self._using = bench, opened
        return before

    def _open(self, bench: Bench, size: Size) -> Tiered:
        try:
            return self._nets(bench, size)
        except EdgeAlprError as error:
            self.health.give_up(str(error))
            raise GpuError(str(error)) from error

    def _nets(self, bench: Bench, size: Size) -> Tiered:
        graphs = bench.chosen(size)
        read, again = graphs.pop("reader"), graphs.pop("near", None)
        near = bench.opened(again) if again and self._config.detect.look_again else None
        reader, spec = bench.opened(read), adapt.reader_spec(read.package.card)
        tiers: dict[str, OnPlane] = {}
        for tier in self._wanted() & graphs.keys():
            graph = graphs[tier]
            second = NearNet(near, again.input_size, graph.input_size) if near and again else None
            nets = PlaneNets(bench.opened(graph), reader, spec, second)
            tiers[tier] = OnPlane(nets, self._config.detect, self._interpret)
        if self._config.models.tier not in tiers:
            missing = f"there is no graph of the {self._config.models.tier} detector"
            raise ModelError(f"{missing}; make it: python -m export.variants")
        return tiers

    def _wanted(self) -> set[str]:
        """The detectors that this drive may run: the governor's smaller one besides the configured."""
        return {self._config.models.tier, *(["small"] if self._config.governor.enabled else [])}
