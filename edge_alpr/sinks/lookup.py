"""Looking one event up while another process may be writing the store."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from edge_alpr.errors import EventError
from edge_alpr.sinks import schema
from edge_alpr.sinks.store import FILE
from edge_alpr.sinks.trouble import translated
from edge_alpr.sinks.wire import decode_event
from edge_alpr.types import Event

_BUSY_S = 5.0


def find_event(folder: Path, uuid: str) -> Event | None:
    """The event of this uuid in the store `folder`, in its latest state that names a picture, else in its latest.

    None where there is none, or no store. Raises `StoreError`.
    """
    path = folder / FILE
    if not path.exists():
        return None
    with translated(path), closing(schema.connect_read_only(path, _BUSY_S)) as connection:
        query = "SELECT body FROM events WHERE uuid = ? ORDER BY seq DESC"
        bodies = [row[0] for row in connection.execute(query, (uuid,))]
    states: list[Event] = []
    for body in bodies:
        try:
            states.append(decode_event(body))
        except EventError:
            continue  # a damaged row: the store counts and mends it when it is opened
    return next((state for state in states if state.images.plate), states[0] if states else None)
