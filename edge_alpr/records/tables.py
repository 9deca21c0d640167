"""Events as rows: on the terminal, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from edge_alpr.types import Event

COLUMNS = (
    "uuid", "seq", "state", "timestamp", "clock_source", "epoch_start", "epoch_end", "device_id", "camera_id", "plate",
    "score", "reads", "agreement", "list", "entry", "kind", "lat", "lon", "marks", "plate_picture", "frame_picture",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
Marked = Mapping[str, Sequence[str]]
"""The names of the marks that a passage has, by its uuid."""


def row_of(event: Event, marked: Marked) -> tuple[str, ...]:
    """The values of `COLUMNS`."""
    match = event.match
    values = (
        event.uuid, event.seq, event.state, event.timestamp, event.clock_source, event.epoch_start, event.epoch_end,
        event.device_id, event.camera_id, event.plate, event.score, event.reads, event.agreement,
        match.list if match else "", match.entry if match else "", match.kind if match else "",
        event.gps.get("lat", ""), event.gps.get("lon", ""), " ".join(marked.get(event.uuid, ())),
        event.images.plate, event.images.frame,
    )  # fmt: skip
    return tuple(map(_cell, values))


def to_csv(events: Iterable[Event], marked: Marked) -> str:
    """CSV with a line of names (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(row_of(event, marked) for event in events)
    return text.getvalue()


def to_table(events: Iterable[Event], marked: Marked) -> Table:
    """What fits a terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("time (UTC)", "plate", "score", "state", "hit", "marks", "uuid"):
        table.add_column(name, no_wrap=name != "hit", overflow="fold")
    for event in events:
        hit = f"{event.match.list}: {event.match.entry} ({event.match.kind})" if event.match else ""
        time = event.timestamp[:19].replace("T", " ")
        marks = " ".join(marked.get(event.uuid, ()))
        table.add_row(time, event.plate, f"{event.score:.2f}", event.state, hit, marks, event.uuid)
    return table


def _cell(value: str | float) -> str:
    """Numbers as they are; a text that a spreadsheet would take for a formula gets an apostrophe."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return str(value)
