"""What the stages must know of a model, taken from its card."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from edge_alpr.errors import ModelError
from edge_alpr.feed import Feed
from edge_alpr.geometry import CROP, CropShape
from edge_alpr.infer.card import Card, DetectorCard, ReaderCard, each
from edge_alpr.stages.detect import DetectorSpec
from edge_alpr.stages.read import ReaderSpec
from edge_alpr.stages.rectify import cut
from edge_alpr.types import Crop, Detection, Luma

Cut: TypeAlias = Callable[[Luma, Detection], Crop]


def feed(card: Card) -> Feed:
    """The input of a model whose card fits its graph (`contract.check_graph`)."""
    source = card.input
    mean, std = (each(value) for value in (source.mean, source.std))
    return Feed(source.name, source.shape, source.axes, source.dtype, source.scale, mean, std)


def detector_spec(card: Card) -> DetectorSpec:
    """A detector for the stage `detect`."""
    own = _detector(card)
    return DetectorSpec(feed(card), card.output.names, own.decode, own.plates, own.pad, own.align == "centre")


def reader_spec(card: Card) -> ReaderSpec:
    """A reader for the stage `read`."""
    own = _reader(card)
    return ReaderSpec(
        feed=feed(card),
        output=card.output.names[0],
        kind=own.output,
        axes=own.axes,
        decode=own.decode,
        alphabet=own.alphabet,
        blank=own.blank,
        temperature=own.temperature,
    )


def cutter(card: Card) -> Cut:
    """Cuts crops for a reader: of its size, margin and light."""
    own = _reader(card)
    rows, columns = feed(card).size
    shape, normalise = CropShape(columns, rows, *own.margin), own.light == "normalised"
    return cut if (shape, normalise) == (CROP, True) else partial(cut, shape=shape, normalise=normalise)


def _detector(card: Card) -> DetectorCard:
    if card.detector is None:
        raise ModelError(f"{card.name} is a {card.kind}, a detector is wanted; name another package")
    return card.detector


def _reader(card: Card) -> ReaderCard:
    if card.reader is None:
        raise ModelError(f"{card.name} is a {card.kind}, a reader is wanted; name another package")
    return card.reader
