"""The card of a model package: a strict TOML table that says what the ONNX file beside it is."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec
import tomli_w
from msgspec import Meta

from edge_alpr.config import Count, Natural, Section, Share
from edge_alpr.errors import ModelError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind: TypeAlias = Literal["detector", "reader"]
KINDS: tuple[Kind, ...] = ("detector", "reader")
Line = Annotated[str, Meta(min_length=1)]
Value: TypeAlias = str | int | float | list[str]


class InputCard(Section, frozen=True):
    """The one input of the graph."""

    name: Line
    shape: tuple[Natural, ...]
    """0 stands for any number."""
    dtype: Literal["uint8"]
    layout: Literal["luma"]


class OutputCard(Section, frozen=True):
    """The outputs of the graph."""

    names: tuple[Line, ...]


class DetectorCard(Section, frozen=True):
    """What only a detector states."""

    pad: Annotated[int, Meta(ge=0, le=255)]
    """Grey level of the letterbox to the right of and below the frame."""
    top_k: Count


class ReaderCard(Section, frozen=True):
    """What only a reader states."""

    alphabet: Line
    blank: Natural
    """Class of the CTC blank."""
    margin: tuple[Share, Share]
    """Share of the crop left free on each side of the plate: left and right, top and bottom."""


class TrainingCard(Section, frozen=True):
    """How the file came to be."""

    command: Line
    hours: Annotated[float, Meta(ge=0)]
    machine: Line
    seed: int


class Card(Section, frozen=True, kw_only=True):
    """A whole card. `detector` or `reader` is there as `kind` says, `data` is free, `figures` measured."""

    name: Line
    kind: Kind
    version: Line
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    licence: Line
    description: Line
    input: InputCard
    output: OutputCard
    detector: DetectorCard | None = None
    reader: ReaderCard | None = None
    training: TrainingCard
    data: Mapping[str, Value]
    figures: Mapping[str, float]


def parse_card(text: str, origin: str) -> Card:
    """Read a card from TOML text. Raises `ModelError` that names `origin` and the line that does not hold."""
    try:
        card = msgspec.convert(tomllib.loads(text), Card)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{origin}: the card is not valid TOML: {error}; mend that line") from error
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "'")
        raise ModelError(f"{origin}: the card does not hold: {reason}; mend that line") from error
    for kind in KINDS:
        if (getattr(card, kind) is not None) != (card.kind == kind):
            raise ModelError(f"{origin}: a {card.kind} has a [{card.kind}] table and no other; mend the card")
    return card


def format_card(card: Card) -> str:
    """Write a card as TOML text, always the same bytes for the same card; `parse_card` gives it back."""
    fields = msgspec.to_builtins(card)
    return tomli_w.dumps({key: value for key, value in fields.items() if value is not None})
