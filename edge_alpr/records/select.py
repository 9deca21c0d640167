"""Which stored events somebody means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from edge_alpr.errors import RecordError
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Event

_PORTION = 256
_AGO = re.compile(r"(\d+)(m|h|d)")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Conditions that all hold; what is left out does not matter. Times are ms since 1970, UTC, of the first sight."""

    uuids: tuple[str, ...] = ()
    plate: str = ""
    list: str = ""
    hits: bool = False
    since_ms: int | None = None
    until_ms: int | None = None
    only: frozenset[str] | None = None
    """Uuids to choose among, e.g. those that are locked."""


def chosen(view: StoreView, wanted: Wanted, limit: int | None = None) -> list[Event]:
    """The newest state of each passage meant, the newest passage first; at most `limit`. Raises `StoreError`."""
    found: list[Event] = []
    seen: set[str] = set()
    for event in _newest_first(view, wanted):
        if event.uuid in seen:
            continue
        seen.add(event.uuid)
        states = view.states(event.uuid) if wanted.plate else []  # by its plate, an older state may be found
        newest = states[-1] if states else event
        if fits(newest, wanted):
            found.append(newest)
        if len(found) == limit:
            break
    return found


def fits(event: Event, wanted: Wanted) -> bool:
    """Whether an event is meant, the plate apart."""
    since, until = wanted.since_ms, wanted.until_ms
    return (
        (since is None or event.epoch_start >= since)
        and (until is None or event.epoch_start < until)
        and (not (wanted.hits or wanted.list) or event.match is not None)
        and (not wanted.list or (event.match is not None and event.match.list == wanted.list))
        and (wanted.only is None or event.uuid in wanted.only)
    )


def moment(text: str, now_ms: int) -> int:
    """`2026-01-02`, `2026-01-02T10:00Z`, or a while ago: `90m`, `2h`, `7d`; in ms since 1970. Raises `RecordError`."""
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago[1]) * _UNIT_MS[ago[2]]
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise RecordError(f"'{text}' is no time; write 2026-01-02, 2026-01-02T10:00Z, 90m, 2h or 7d") from error
    return int(when.replace(tzinfo=when.tzinfo or timezone.utc).timestamp() * 1000)


def _newest_first(view: StoreView, wanted: Wanted) -> Iterator[Event]:
    if wanted.uuids:
        for uuid in wanted.uuids:
            states = view.states(uuid)
            if not states:
                raise RecordError(f"no event {uuid} in the store; `edge-alpr events list` shows what is there")
            yield states[-1]
        return
    if wanted.plate:
        yield from view.find(wanted.plate, 1_000_000)
        return
    before: int | None = None
    while events := view.newest(_PORTION, before):
        yield from events
        before = events[-1].seq
