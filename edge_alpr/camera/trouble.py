"""What a GStreamer error means: a pure translation, so that each source can decide what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What went wrong, as far as a source must tell it apart."""

    NOT_FOUND = "not found"
    REFUSED = "refused"
    BUSY = "busy"
    MISSING = "not installed"
    NO_LUMA = "no luma plane"
    DAMAGED = "damaged"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind and one line."""

    kind: Kind
    text: str


class BrokenError(Exception):
    """A pipeline stopped. Stays inside `camera/`: sources raise their own errors from it."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


class EndedError(Exception):
    """A pipeline came to the regular end of its stream. Stays inside `camera/`."""


_CODES = {
    ("gst-resource-error-quark", 3): Kind.NOT_FOUND,
    ("gst-resource-error-quark", 4): Kind.BUSY,
    ("gst-resource-error-quark", 15): Kind.REFUSED,
    ("gst-core-error-quark", 12): Kind.MISSING,
    ("gst-stream-error-quark", 6): Kind.MISSING,
}
_DOMAINS = {"gst-stream-error-quark": Kind.DAMAGED}


def judge(domain: str, code: int, message: str, debug: str) -> Trouble:
    """From the four parts of a GStreamer error (`debug` has several lines, the cause on the last)."""
    lines = [line.strip() for line in debug.splitlines() if line.strip()]
    cause = lines[-1] if len(lines) > 1 else ""
    text = " ".join(message.split()).rstrip(".")
    if "not-negotiated" in debug:
        return Trouble(Kind.NO_LUMA, "the pictures have no 8-bit luma plane")
    kind = _CODES.get((domain, code)) or _DOMAINS.get(domain, Kind.LOST)
    return Trouble(kind, f"{text}: {cause}" if cause and cause not in text else text)
