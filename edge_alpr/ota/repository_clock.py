"""Whether the clock can be believed. Metadata expires: with a clock in 1970 it never does, in 2099 it always has.

The time is certainly later than when this package was built, and than when metadata was last found good. Both are told
by files: a file that was written under a clock in the future would stop all updates, so neither counts for more than
what the metadata beside it says of its own end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import edge_alpr
from edge_alpr.errors import UpdateUnreachableError

_SLACK_S = 3600.0
"""Clocks are set back a little now and then."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The time, seconds since 1970, is at least this. `why`: of what one knows."""

    at_s: float
    why: str


def floor(witnesses: Iterable[tuple[Path, Path, str]]) -> Floor:
    """The latest of what the witnesses say: (a file, metadata that was good when it was written, what the file is)."""
    said = [Floor(min(_written_s(file), _expires_s(metadata)), why) for file, metadata, why in witnesses]
    return max(said, key=lambda one: one.at_s, default=Floor(0.0, "nothing is known"))


def built() -> Path:
    """A file as old as the installed package."""
    return Path(edge_alpr.__file__)


def check_clock(now_s: float, known: Floor) -> None:
    """Raises `UpdateUnreachableError` where the clock has not been set since power came."""
    if now_s < known.at_s - _SLACK_S:
        raise UpdateUnreachableError(
            f"the clock is not set yet: it says {stamp(now_s)}, and {known.why} on {stamp(known.at_s)}; "
            "updates wait for time synchronisation"
        )


def stamp(at_s: float) -> str:
    """A time as the messages tell it."""
    return datetime.fromtimestamp(at_s, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _written_s(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _expires_s(metadata: Path) -> float:
    """When metadata ends; 0 where there is none that can be read, which leaves its witness without a say."""
    try:
        text = json.loads(metadata.read_bytes())["signed"]["expires"]
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0.0
