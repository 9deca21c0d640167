"""The event as other programs get it: one JSON object, checked against its contract both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from msgspec import UnsetType

from edge_alpr.errors import EventError
from edge_alpr.types import Event

_OCR_TWINS = str.maketrans("OI", "01")


def _plain(value: Any) -> Any:
    """NumPy scalars as Python numbers: np.float64 is a float to the type checker, but not to the encoder."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in an event")


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_decoder = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """The event as one line of JSON, UTF-8, without the line's end.

    Raises `EventError` when it does not keep the contract: a number that is none (NaN, infinity), a score
    out of 0 to 1, a wrong type. So whatever is written can be read back.
    """
    try:
        body = _encoder.encode(event)
        _decoder.decode(body)  # NaN and infinity are encoded as null, which no number may be
    except (msgspec.MsgspecError, TypeError, UnicodeEncodeError) as error:
        raise EventError(f"event {event.uuid!r} breaks its contract: {error}; not passed on") from error
    for name, score in _scores(event):
        if not 0 <= score <= 1:
            raise EventError(f"event {event.uuid!r} breaks its contract: {name} is {score}, not 0 to 1; not passed on")
    return body


def decode_event(body: bytes | str) -> Event:
    """The event of a line. Raises `EventError` when it is none."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EventError(f"not an event: {error}") from error


def canonical_plate(plate: str) -> str:
    """The plate as it is compared: upper case, letters and digits only, O as 0 and I as 1."""
    return "".join(c for c in plate.upper() if c.isalnum()).translate(_OCR_TWINS)


def _scores(event: Event) -> Iterator[tuple[str, float]]:
    yield "score", event.score
    yield "agreement", event.agreement
    if not isinstance(event.region, UnsetType):
        yield "region.score", event.region.score
    for i, score in enumerate(event.char_scores):
        yield f"char_scores[{i}]", score
    for i, candidate in enumerate(event.candidates):
        yield f"candidates[{i}].score", candidate.score
