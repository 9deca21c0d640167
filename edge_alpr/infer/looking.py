"""The networks on the GPU as a drive uses them: opened for the frames that come, on the best rung that runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edge_alpr.config import Config, Tier
from edge_alpr.errors import EdgeAlprError, GpuError, ModelError
from edge_alpr.evidence import Interpret
from edge_alpr.gpuhealth import GpuHealth
from edge_alpr.infer import adapt
from edge_alpr.infer.choose import choose
from edge_alpr.infer.cuda import Gpu
from edge_alpr.infer.graphs import Graph, gpu_graphs
from edge_alpr.infer.recipe import Recipe
from edge_alpr.infer.rungs import Choice, PlanReader, best_for_planes
from edge_alpr.onplane import Looked, NearNet, OnPlane, PlaneNets
from edge_alpr.ports import PlaneSession
from edge_alpr.types import DevicePlane

_log = logging.getLogger(__name__)
Size: TypeAlias = tuple[int, int, int]
"""Width and height in pixels, and the bytes of a row."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What networks for planes are opened with: the GPU, the graphs of a folder, and how their plans are found."""

    gpu: Gpu
    graphs: tuple[Graph, ...]
    recipe: Recipe
    plan: PlanReader

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
        return {choice.graph.tier or choice.graph.kind: choice.graph for choice in choose(fits, self.recipe, None)}

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


class Look:
    """Finds and reads plates on the GPU, as `pipeline.Looking`. The networks for a size are opened at its first frame.

    One that cannot be opened gives the GPU up for this drive. From one thread at a time, `change_tier` also another.
    """

    def __init__(self, bench: Bench, config: Config, health: GpuHealth, interpret: Interpret) -> None:
        self.health = health
        self._tier: Tier = config.models.tier
        self._bench, self._config, self._interpret = bench, config, interpret
        self._opened: dict[Size, Mapping[str, OnPlane]] = {}
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
        tiers = self._opened.get(size) or self._open(size)
        self._latest = tiers.get(self._tier) or next(iter(tiers.values()))
        return self._latest.start(plane, most)

    def _open(self, size: Size) -> Mapping[str, OnPlane]:
        try:
            graphs = self._bench.chosen(size)
            read, again = graphs.pop("reader"), graphs.pop("near", None)
            near = self._bench.opened(again) if again and self._config.detect.look_again else None
            reader, spec = self._bench.opened(read), adapt.reader_spec(read.package.card)
            tiers: dict[str, OnPlane] = {}
            for tier in self._wanted() & graphs.keys():
                graph = graphs[tier]
                second = NearNet(near, again.input_size, graph.input_size) if near and again else None
                nets = PlaneNets(self._bench.opened(graph), reader, spec, second)
                tiers[tier] = OnPlane(nets, self._config.detect, self._interpret)
            if self._tier not in tiers:
                raise ModelError(f"there is no graph of the {self._tier} detector; make it: python -m export.variants")
        except EdgeAlprError as error:
            self.health.give_up(str(error))
            raise GpuError(str(error)) from error
        self._opened[size] = tiers
        return tiers

    def _wanted(self) -> set[str]:
        """The detectors that this drive may run: the governor's smaller one besides the configured."""
        return {self._config.models.tier, *(["small"] if self._config.governor.enabled else [])}
