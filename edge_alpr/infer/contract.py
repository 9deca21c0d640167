"""The check that a card, its graph and the stages agree; each refusal names the line of the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_alpr.boxes import FORMATS, Shapes
from edge_alpr.errors import ModelError
from edge_alpr.feed import FeedBuffer
from edge_alpr.infer import adapt
from edge_alpr.infer.card import Card
from edge_alpr.infer.package import ModelPackage
from edge_alpr.stages.read import column_chances
from edge_alpr.types import Tensors

QUADS = ("scores", "quads")
"""Outputs of a detector of our own kind."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input as the run-time found it in the graph; a dimension of 0 may be any number."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def check_graph(package: ModelPackage, inputs: Sequence[Port], outputs: Sequence[str]) -> None:
    """Compare card, graph and stages. Raises `ModelError` at the first line that differs."""
    card = package.card
    shape, wanted = card.input.shape, _stage_shape(card)
    if not _fits(shape, wanted) or 0 in shape[1:]:
        _refuse(package, "[input] shape", list(shape), f"feeds {list(wanted)}", "the stage")
    _check_names(package)
    if [port.name for port in inputs] != [card.input.name]:
        _refuse(package, "[input] name", card.input.name, f"has {[port.name for port in inputs]}")
    (port,) = inputs
    if port.dtype != card.input.dtype:
        _refuse(package, "[input] dtype", card.input.dtype, f"has {port.dtype}")
    if not _fits(shape, port.shape):
        _refuse(package, "[input] shape", list(shape), f"has {list(port.shape)}")
    for name in card.output.names:
        if name not in outputs:
            _refuse(package, "[output] names", list(card.output.names), f"has {list(outputs)}")


def probe_feeds(card: Card) -> Mapping[str, NDArray[Any]]:
    """A grey input to try a graph with; a reader's free batch is 2, so that a frozen one shows."""
    batch = _probe_batch(card)
    buffer = FeedBuffer(adapt.feed(card), batch)
    buffer.planes.fill(128)
    return buffer.feeds(batch)


def check_outputs(package: ModelPackage, outputs: Tensors) -> None:
    """Compare what a graph made of `probe_feeds` with the card. Raises `ModelError` where it differs."""
    card = package.card
    names, (lines, shapes) = card.output.names, _wanted(card)
    for name, shape in zip(names, shapes, strict=True):
        found = outputs[name]
        if found.dtype != np.float32 or not _fits(found.shape, shape):
            given = f"gives {found.dtype} {list(found.shape)}"
            _refuse(package, f"output {name}: {lines}", f"float32 {list(shape)}", given)
    try:
        _try_answer(card, outputs)
    except ModelError as error:
        raise ModelError(f"{package.path}: output {names[0]}: {error}") from error


def _stage_shape(card: Card) -> tuple[int, ...]:
    """The input as the stage can feed it; 0 is any number."""
    any_batch = card.kind == "reader" or card.input.shape[:1] == (0,)
    sizes = {"N": 0 if any_batch else 1, "C": 3 if card.input.layout == "rgb" else 1, "H": 0, "W": 0}
    return tuple(sizes[axis] for axis in card.input.axes)


def _check_names(package: ModelPackage) -> None:
    """Our own detectors have two outputs of known names, all other models one of any name."""
    card = package.card
    names = list(card.output.names)
    if card.detector and card.detector.decode == "quads":
        if names != list(QUADS):
            _refuse(package, "[output] names", names, f"wants {list(QUADS)}", "the stage")
    elif len(names) != 1:
        _refuse(package, "[output] names", names, "wants one", "the stage")


def _probe_batch(card: Card) -> int:
    return (card.input.shape[0] or 2) if card.reader else 1


def _wanted(card: Card) -> tuple[str, Shapes]:
    """The lines of the card that speak of the outputs, and their shapes for the probe; 0 is any number."""
    if card.detector:
        own = card.detector
        return "[detector] decode, top_k and classes", FORMATS[own.decode].shapes(own.top_k, own.classes)
    if card.reader:
        sizes = {"N": _probe_batch(card), "T": 0, "C": card.reader.classes}
        return "[reader] alphabet, blank and axes", (tuple(sizes[axis] for axis in card.reader.axes),)
    return "", ()


def _try_answer(card: Card, outputs: Tensors) -> None:
    """Decode once, so that scores or chances that are none show now and not on the road."""
    if card.detector:
        spec = adapt.detector_spec(card)
        FORMATS[spec.format].pick([outputs[name] for name in spec.outputs], spec.plates, 1.0)
    else:
        reader = adapt.reader_spec(card)
        column_chances(outputs[reader.output], reader, None)


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(w in (0, s) for s, w in zip(shape, wanted, strict=True))


def _refuse(package: ModelPackage, line: str, card: object, found: str, who: str = "the graph") -> None:
    raise ModelError(
        f"{package.path}: {line} of the card: {card}, but {who} {found}; "
        "mend that line, or export the model again and write its card anew"
    )
