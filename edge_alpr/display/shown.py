"""An event as the screen shows it. Pure: nothing in it but what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import msgspec
from rapidfuzz.distance import Levenshtein

from edge_alpr.types import Event, Match, RegionGuess

_PATTERN = set("*?[](){}|\\^$+.")
"""Characters that no plate has: an entry with one of these is a pattern, and stands by itself."""
_MOST_NAMED = 2
"""So many differences are named one by one."""


class Cell(msgspec.Struct, frozen=True):
    """One place of a plate: the character read, the list's, and whether they differ. Empty: none there."""

    read: str
    listed: str
    differs: bool


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver is told of a hit."""

    list: str
    entry: str
    how: str
    """In words: exactly, or how nearly."""
    exact: bool
    cells: tuple[Cell, ...]
    """Empty where the entry is a pattern."""
    score: float
    """Probability that the plate is the entry."""
    priority: int
    color: str
    note: str
    stale: bool
    list_age_s: int
    also: tuple[str, ...]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An event, as much of it as the screen needs."""

    uuid: str
    seq: int
    state: str
    plate: str
    score: float
    camera: str
    start_ms: int
    end_ms: int
    reads: int
    candidates: tuple[str, ...]
    """Further texts that it may be."""
    region: str
    pictures: tuple[str, ...]
    """`plate` and `frame`, as far as they were kept."""
    fresh: bool
    """Whether it may still need an answer: it came just now, or a short time ago."""
    alert: Alert | None


def shown(event: Event, fresh: bool = True) -> Shown:
    """What the screen shows of an event."""
    return Shown(
        uuid=event.uuid,
        seq=event.seq,
        state=event.state,
        plate=event.plate,
        score=event.score,
        camera=event.camera_id,
        start_ms=event.epoch_start,
        end_ms=event.epoch_end,
        reads=event.reads,
        candidates=tuple(c.plate for c in event.candidates[1:4] if c.score >= 0.01),
        region=event.region.name if isinstance(event.region, RegionGuess) else "",
        pictures=tuple(kind for kind in ("plate", "frame") if getattr(event.images, kind)),
        fresh=fresh,
        alert=None if event.match is None else _alert(event, event.match),
    )


def _alert(event: Event, match: Match) -> Alert:
    cells = () if _PATTERN & set(match.entry) else aligned(event.plate, match.entry, match.chars_differ)
    return Alert(
        list=match.list,
        entry=match.entry,
        how=_how(match.kind, cells) if cells else "fits the pattern",
        exact=bool(cells) and not any(cell.differs for cell in cells),
        cells=cells,
        score=match.score,
        priority=match.priority,
        color=match.color,
        note=match.note,
        stale=match.stale,
        list_age_s=match.list_age_s,
        also=event.also,
    )


def _how(kind: str, cells: Sequence[Cell]) -> str:
    """`exactly`, `looks alike: O for 0`, `nearly: 3 characters differ`."""
    differing = [cell for cell in cells if cell.differs]
    if not differing:
        return "exactly"
    word = "looks alike" if kind == "equivalent" else "nearly"
    if len(differing) > _MOST_NAMED:
        return f"{word}: {len(differing)} characters differ"
    return f"{word}: " + ", ".join(f"{cell.read or 'none'} for {cell.listed or 'none'}" for cell in differing)


def aligned(read: str, listed: str, differ: Sequence[int] = ()) -> tuple[Cell, ...]:
    """Both texts place by place; `differ` are further places of `read` that are known to differ."""
    cells: list[Cell] = []
    for step in Levenshtein.opcodes(read, listed):
        mine, its = read[step.src_start : step.src_end], listed[step.dest_start : step.dest_end]
        for place, (a, b) in enumerate(zip_longest(mine, its, fillvalue=""), step.src_start):
            cells.append(Cell(a, b, a != b or (bool(a) and place in differ)))
    return tuple(cells)
