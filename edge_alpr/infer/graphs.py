"""The graphs for the GPU in a folder (made by `python -m export.variants`), and the identity of their plans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.errors import ModelError
from edge_alpr.infer.card import Card, DetectorTier, Kind
from edge_alpr.infer.identity import Identity, Typing
from edge_alpr.infer.machine import Machine
from edge_alpr.infer.package import ModelPackage, list_packages, load_package, shipped_folder
from edge_alpr.infer.recipe import PRECISIONS, GraphPrecision, Recipe

_FRAME = re.compile(r"(\d+)x(\d+), (\d+) bytes a row")
_INSIDE = re.compile(r"(\d+) rows, (\d+) columns")
_MADE_FROM = re.compile(r"(\S+\.onnx) sha256 ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Graph:
    """A composed network: the Y plane of a frame goes in. Sizes in pixels, `pitch` in bytes a row."""

    package: ModelPackage
    precision: GraphPrecision
    width: int
    height: int
    pitch: int
    input_size: tuple[int, int]
    """Rows and columns of what the network inside sees: a shrunk frame, a window of it, a crop."""

    @property
    def kind(self) -> Kind:
        """Detector or reader."""
        return self.package.card.kind

    @property
    def tier(self) -> DetectorTier | None:
        """A detector's size."""
        detector = self.package.card.detector
        return detector.tier if detector else None

    @property
    def plane(self) -> str:
        """As it stands in file names: 1280x720p1536."""
        return f"{self.width}x{self.height}p{self.pitch}"

    @property
    def name(self) -> str:
        """Kind, size and plane, the same in each precision."""
        return f"{self.kind}{f' {self.tier}' if self.tier else ''} {self.plane}"


@dataclass(frozen=True, slots=True)
class Settings:
    """How one graph is compiled."""

    precision: GraphPrecision
    profiles: tuple[int, ...]
    """Plates a run; none for a detector."""
    workspace_mb: int
    optimization_level: int
    dla_core: int | None = None
    dla_fallback: bool = True


def gpu_graphs(folder: Path) -> list[Graph]:
    """The graphs of a folder by name. Raises `ModelError` for none, and for any package that does not hold."""
    listed = list_packages(folder)
    for item in listed:
        if item.package is None:
            raise ModelError(item.problem)
    packages = [item.package for item in listed if item.package]
    graphs = [graph_of(package) for package in packages if _variant(package)[0] == "gpu"]
    if not graphs:
        make = f"python -m export.variants --out {folder}"
        raise ModelError(f"{folder}: no graph for the GPU lies there; make them where the repository is: {make}")
    return graphs


def settings_of(graph: Graph, recipe: Recipe) -> Settings:
    """What a recipe says of a graph, which has a precision of its own."""
    network = recipe.detector if graph.kind == "detector" else recipe.reader
    return Settings(
        precision=graph.precision,
        profiles=recipe.reader.profiles if graph.kind == "reader" else (),
        workspace_mb=recipe.build.workspace_mb,
        optimization_level=recipe.build.optimization_level,
        dla_core=network.dla_core,
        dla_fallback=network.dla_fallback,
    )


def identity_of(graph: Graph, settings: Settings, machine: Machine, tensorrt: str, typing: Typing) -> Identity:
    """Of the plan that this machine needs for a graph."""
    inputs: Sequence[str] = [f"luma uint8 1x1x{graph.height}x{graph.pitch}"]
    if graph.kind == "reader":
        inputs = [*inputs, "quads float32 Nx4x2"]
    elif graph.tier == "near":
        inputs = [*inputs, "window float32 1x3"]
    return Identity(
        model=graph.package.path.stem,
        onnx=graph.package.card.sha256,
        precision=settings.precision,
        inputs=tuple(inputs),
        profiles=settings.profiles,
        tensorrt=tensorrt,
        typing=typing,
        cuda=machine.cuda,
        driver=machine.driver,
        gpu=machine.gpu,
        sm=machine.sm,
        l4t=machine.l4t,
        optimization_level=settings.optimization_level,
        workspace_mb=settings.workspace_mb,
        dla_core=settings.dla_core,
        dla_fallback=settings.dla_fallback,
        compatibility="none",
        plugins=(),
    )


def made_elsewhere(graph: Graph, weights: frozenset[str]) -> str:
    """Why a graph is of none of these weights (the sha256 of ONNX files); empty where it is of one of them."""
    made = _MADE_FROM.fullmatch(str(graph.package.card.data.get("made_from", "")))
    return "" if made and made[2] in weights else "not made from the models that are to read"


def outdated(graph: Graph, installed: Path | None = None) -> str:
    """Why a graph is not of the installed weights; empty where it is, or where it was made from a model of your own."""
    made = _MADE_FROM.fullmatch(str(graph.package.card.data.get("made_from", "")))
    source = (installed or shipped_folder()) / made[1] if made else None
    if made is None or source is None or not source.is_file():
        return ""
    return "" if load_package(source).card.sha256 == made[2] else f"made from another {made[1]} than the installed one"


def graph_of(package: ModelPackage) -> Graph:
    """What the card of a graph for the GPU says. Raises `ModelError` for one that is none or contradicts itself."""
    card = package.card
    where, precision = _variant(package)
    if where != "gpu":
        raise ModelError(f"{package.path}: it is no graph for the GPU; make one: python -m export.variants")
    frame = _FRAME.match(str(card.data.get("frame", "")))
    known = next((one for one in PRECISIONS if one == precision), None)
    inside = _INSIDE.fullmatch(str(card.data.get("inside", "")))
    if known is None or frame is None or inside is None or not _fits(card, int(frame[2]), int(frame[3])):
        wrong = "[data] variant, frame and inside of its card do not fit its input"
        raise ModelError(f"{package.path}: {wrong}; export it again")
    width, height, pitch = (int(part) for part in frame.groups())
    return Graph(package, known, width, height, pitch, (int(inside[1]), int(inside[2])))


def _variant(package: ModelPackage) -> tuple[str, str]:
    """Where it is for and its precision: `gpu`, `fp16`."""
    where, _, precision = str(package.card.data.get("variant", "")).partition(" ")
    return where, precision


def _fits(card: Card, height: int, pitch: int) -> bool:
    return card.input.shape == (1, 1, height, pitch) and card.input.dtype == "uint8"
