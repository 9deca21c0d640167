"""What the stages rely on in a graph, and the check that card, graph and stages agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_alpr.errors import ModelError
from edge_alpr.evidence import ALPHABET
from edge_alpr.geometry import CROP_HEIGHT, CROP_MARGIN_X, CROP_MARGIN_Y, CROP_WIDTH
from edge_alpr.infer.card import Card, Kind
from edge_alpr.infer.package import ModelPackage
from edge_alpr.types import Tensors


@dataclass(frozen=True, slots=True)
class Port:
    """An input as the run-time found it in the graph; a dimension of 0 may be any number."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """What a kind of model looks like: names, the layout of its input, and the shapes it answers with."""

    input: str
    input_shape: tuple[int, ...]
    outputs: tuple[str, ...]
    shapes: Callable[[Card, int], tuple[tuple[int, ...], ...]]
    """Output shapes for a batch; 0 may be any number."""


def _detector_shapes(card: Card, batch: int) -> tuple[tuple[int, ...], ...]:
    top_k = card.detector.top_k if card.detector else 0
    return (batch, top_k), (batch, top_k, 4, 2)


def _reader_shapes(card: Card, batch: int) -> tuple[tuple[int, ...], ...]:
    classes = len(card.reader.alphabet) + 1 if card.reader else 0
    return ((batch, 0, classes),)


INTERFACES: dict[Kind, Interface] = {
    "detector": Interface("luma", (1, 1, 0, 0), ("scores", "quads"), _detector_shapes),
    "reader": Interface("crops", (0, 1, CROP_HEIGHT, CROP_WIDTH), ("logprobs",), _reader_shapes),
}


def check_graph(package: ModelPackage, inputs: Sequence[Port], outputs: Sequence[str]) -> None:
    """Compare card, graph and interface. Raises `ModelError` at the first line that differs."""
    card, interface = package.card, INTERFACES[package.card.kind]
    wanted = Port(card.input.name, card.input.dtype, card.input.shape)
    _equal(package, "[input] name", card.input.name, interface.input, "the stage feeds")
    shape = card.input.shape
    if not _fits(shape, interface.input_shape) or 0 in shape[1:]:
        _refuse(package, "[input] shape", list(shape), list(interface.input_shape), "the stage feeds")
    _equal(package, "[output] names", list(card.output.names), list(interface.outputs), "the stage wants")
    _equal(package, "[input]", [wanted], list(inputs), "the graph has")
    _equal(package, "[output] names", list(card.output.names), list(outputs), "the graph has")
    if card.reader:
        margin = (CROP_MARGIN_X, CROP_MARGIN_Y)
        _equal(package, "[reader] alphabet", card.reader.alphabet, ALPHABET, "this version reads")
        _equal(package, "[reader] blank", card.reader.blank, len(ALPHABET), "this version reads")
        _equal(package, "[reader] margin", card.reader.margin, margin, "the crops are cut with")


def probe_feeds(card: Card) -> Mapping[str, NDArray[np.uint8]]:
    """A grey input to try a graph with; dimensions that are free are 2, so that a frozen batch shows."""
    shape = [size or 2 for size in card.input.shape]
    return {card.input.name: np.full(shape, 128, np.uint8)}


def check_outputs(package: ModelPackage, outputs: Tensors) -> None:
    """Compare what a graph made of `probe_feeds` with the card. Raises `ModelError` where it differs."""
    card, interface = package.card, INTERFACES[package.card.kind]
    batch = card.input.shape[0] or 2
    for name, shape in zip(interface.outputs, interface.shapes(card, batch), strict=True):
        found = outputs[name]
        if found.dtype != np.float32 or not _fits(found.shape, shape):
            _refuse(package, f"output {name}", f"float32 {list(shape)}", _kind_of(found), "the graph gives")


def _kind_of(array: NDArray[Any]) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(w in (0, s) for s, w in zip(shape, wanted, strict=True))


def _equal(package: ModelPackage, line: str, card: object, found: object, who: str) -> None:
    if card != found:
        _refuse(package, line, card, found, who)


def _refuse(package: ModelPackage, line: str, card: object, found: object, who: str) -> None:
    raise ModelError(
        f"{package.path}: {line} of the card says {card}, {who} {found}; "
        "get a package for this version, or export the model again and write its card anew"
    )
