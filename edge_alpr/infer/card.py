"""The card of a model package: a strict TOML table that says what the ONNX file beside it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from math import inf, isfinite
from typing import Annotated, Literal, TypeAlias

import msgspec
import tomli_w
from msgspec import Meta

from edge_alpr.boxes import FormatName
from edge_alpr.characters import OutputKind, class_columns
from edge_alpr.config import Count, Natural, Positive, Section, Share, Tier
from edge_alpr.errors import ModelError
from edge_alpr.evidence import NONE
from edge_alpr.feed import Axes, Dtype
from edge_alpr.stages.read import Decoding, ReaderAxes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind: TypeAlias = Literal["detector", "reader"]
KINDS: tuple[Kind, ...] = ("detector", "reader")
Line = Annotated[str, Meta(min_length=1)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Value: TypeAlias = str | int | float | list[str]
UNIT = 1 / 255


class InputCard(Section, frozen=True, omit_defaults=True):
    """The one input of the graph."""

    name: Line
    shape: tuple[Natural, ...]
    """0 stands for any number."""
    dtype: Dtype
    layout: Literal["luma", "rgb"]
    """One channel, or the luma three times."""
    axes: Axes = "NCHW"
    scale: Positive = UNIT
    """A float32 graph is given (level * scale - mean) / std; the levels are 0 to 255."""
    mean: float | tuple[float, float, float] = 0.0
    std: float | tuple[float, float, float] = 1.0
    """More than 0: checked by `parse_card`, for msgspec 0.22 crashes on limits within such a union."""


class OutputCard(Section, frozen=True):
    """The outputs of the graph that are used; it may have more."""

    names: tuple[Line, ...]


DetectorTier: TypeAlias = Tier | Literal["near"]


class DetectorCard(Section, frozen=True, omit_defaults=True):
    """What only a detector states."""

    pad: Annotated[int, Meta(ge=0, le=255)]
    """Grey level of the letterbox around the frame."""
    top_k: Natural = 0
    """How many finds it always gives; 0 stands for any number."""
    tier: DetectorTier = "large"
    """`near` is no detector by itself: it looks at one plate again, see `stages.near`."""
    decode: FormatName = "quads"
    """What the outputs mean, see `boxes`."""
    classes: Count = 1
    plates: Annotated[tuple[Natural, ...], Meta(min_length=1)] = (0,)
    """The classes that are number plates."""
    align: Literal["top-left", "centre"] = "top-left"
    """Where the frame lies in the letterbox."""


class ReaderCard(Section, frozen=True, omit_defaults=True, kw_only=True):
    """What only a reader states."""

    alphabet: Line
    """A character for each class, the blank left out."""
    blank: Natural | None = None
    """Class of the CTC blank."""
    margin: tuple[Share, Share]
    """Share of the crop left free on each side of the plate: left and right, top and bottom."""
    light: Literal["normalised", "plain"] = "normalised"
    """Whether crops are brought to one mean and contrast."""
    decode: Decoding = "ctc"
    output: OutputKind = "logprobs"
    axes: ReaderAxes = "NTC"
    """Order of the output: pictures, steps or slots, classes."""
    temperature: Annotated[float, Meta(gt=0, le=100)] = 1.0
    """Log-probabilities are divided by it, so that scores say how often a text is right."""

    @property
    def classes(self) -> int:
        """How many classes the output has."""
        return len(self.alphabet) + (self.blank is not None)


class TrainingCard(Section, frozen=True):
    """How the file came to be."""

    command: Line
    hours: Annotated[float, Meta(ge=0)]
    machine: Line
    seed: int


class VariantCard(Section, frozen=True):
    """The same network in another precision: it takes the place of the package whose ONNX file has the hash `of`."""

    precision: Literal["int8"]
    of: Sha256


class Card(Section, frozen=True, kw_only=True):
    """A whole card. `detector` or `reader` is there as `kind` says, `data` is free, `figures` measured.

    `variant`, `training`, `data` and `figures` may be left out of a card of your own.
    """

    name: Line
    kind: Kind
    version: Line
    sha256: Sha256
    licence: Line
    description: Line
    input: InputCard
    output: OutputCard
    detector: DetectorCard | None = None
    reader: ReaderCard | None = None
    variant: VariantCard | None = None
    training: TrainingCard | None = None
    data: Mapping[str, Value] = msgspec.field(default_factory=dict)
    figures: Mapping[str, float] = msgspec.field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name, and the precision of a variant."""
        return f"{self.name} {self.variant.precision}" if self.variant else self.name


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
    for problem in _contradictions(card):
        raise ModelError(f"{origin}: the card does not hold: {problem}; mend that line")
    return card


def _contradictions(card: Card) -> Iterator[str]:
    """What no single line shows: lines that do not go together."""
    source = card.input
    numbers = {"scale": source.scale != UNIT, "mean": source.mean != 0.0, "std": source.std != 1.0}
    for line, given in numbers.items():
        value = getattr(source, line)
        if given and source.dtype != "float32":
            yield f"[input] {line} is only for dtype 'float32'"
        if isinstance(value, tuple) and source.layout != "rgb":
            yield f"[input] {line} has three values, which are only for layout 'rgb'"
    if not all(0 < std < inf for std in each(source.std)):
        yield "[input] std is not more than 0"
    if not all(isfinite(number) for number in (source.scale, *each(source.mean))):
        yield "[input] scale and mean are no numbers"
    if card.detector:
        yield from _detector_contradictions(card.detector)
    if card.reader:
        yield from _reader_contradictions(card.reader)


def each(value: float | tuple[float, ...]) -> tuple[float, ...]:
    """`mean` or `std`: one value for all channels, or one for each."""
    return value if isinstance(value, tuple) else (value,)


def _detector_contradictions(detector: DetectorCard) -> Iterator[str]:
    if max(detector.plates) >= detector.classes:
        yield f"[detector] plates names class {max(detector.plates)}, classes says there are {detector.classes}"


def _reader_contradictions(reader: ReaderCard) -> Iterator[str]:
    if max(reader.margin) >= 0.5:
        yield "[reader] margin leaves no room for the plate"
    if reader.blank is None and reader.decode == "ctc":
        yield "[reader] blank is missing, decode 'ctc' needs it"
    if reader.blank is not None and reader.blank > len(reader.alphabet):
        yield f"[reader] blank is {reader.blank}, the last of the {reader.classes} classes is {len(reader.alphabet)}"
    if all(class_columns(reader.alphabet, None) == NONE):
        yield "[reader] alphabet has no letter A-Z and no digit"


def format_card(card: Card) -> str:
    """Write a card as TOML text, always the same bytes for the same card; `parse_card` gives it back."""
    fields = msgspec.to_builtins(card)
    return tomli_w.dumps({key: value for key, value in fields.items() if value is not None})
