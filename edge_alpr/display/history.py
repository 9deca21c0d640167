"""Looking back: passages of the store, newest first, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from edge_alpr.config import StoreConfig
from edge_alpr.display.shown import Shown, shown
from edge_alpr.sinks.marks import Marks
from edge_alpr.sinks.view import StoreView
from edge_alpr.sinks.wire import canonical_plate
from edge_alpr.types import Event

Only: TypeAlias = Literal["all", "hits", "locked"]
PAGE = 40
MOST_SCANNED = 5000
"""Events looked through for one answer."""
_BATCH = 500


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Passages, newest first; `next` is where more may be (for `before`), None at the end."""

    passages: tuple[Shown, ...]
    marks: dict[str, tuple[str, ...]]
    next: int | None


def look_back(config: StoreConfig, only: Only = "all", text: str = "", before: int | None = None) -> Found:
    """Up to PAGE passages with a `seq` under `before`; `text` is any part of a plate (O as 0, I as 1).

    Raises `StoreError`.
    """
    folder = Path(config.path).expanduser()
    marks = Marks(folder)
    locked = {mark.uuid for mark in marks.named("locked")} if only == "locked" else set()
    part = canonical_plate(text)
    tests: dict[Only, Callable[[Event], bool]] = {
        "all": lambda event: True,
        "hits": lambda event: event.match is not None,
        "locked": lambda event: event.uuid in locked,
    }
    passages: dict[str, Event] = {}
    place, scanned = before, 0
    with StoreView(folder, config) as view:
        for scanned, event in enumerate(_backwards(view, before), 1):
            if event.uuid not in passages and tests[only](event) and part in canonical_plate(event.plate):
                passages[event.uuid] = event
            place = event.seq
            if len(passages) == PAGE or scanned == MOST_SCANNED:
                break
        more = place is not None and scanned > 0 and bool(view.newest(1, place))
    said = {uuid: tuple(mark.name for mark in marks.of(uuid)) for uuid in passages}
    found = tuple(shown(event, fresh=False) for event in passages.values())
    return Found(passages=found, marks={uuid: names for uuid, names in said.items() if names},
                 next=place if more else None)  # fmt: skip


def _backwards(view: StoreView, before: int | None) -> Iterator[Event]:
    """All events, newest first."""
    while events := view.newest(_BATCH, before):
        yield from events
        before = events[-1].seq
