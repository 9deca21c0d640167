"""What the store holds and what it let go, in numbers; and deleting what somebody names."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.errors import StoreError
from edge_alpr.sinks import schema
from edge_alpr.sinks.deletion import Deleted, delete
from edge_alpr.sinks.retention import Deletion, Passage
from edge_alpr.sinks.store import FILE
from edge_alpr.sinks.trouble import translated

_BUSY_S = 5.0


@dataclass(frozen=True, slots=True)
class Gone:
    """Passages deleted on a day (UTC) for a reason, and their pictures."""

    day: str
    reason: str
    passages: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Tally:
    """All passages of the store, oldest first, and all that were deleted."""

    passages: tuple[Passage, ...]
    gone: tuple[Gone, ...]
    encrypted: bool


def tally(folder: Path) -> Tally:
    """Count. Raises `StoreError`, also for a store that an older edge-alpr wrote."""
    path = folder / FILE
    with translated(path), closing(schema.connect_read_only(path, _BUSY_S)) as connection:
        _refuse_older(connection, path)
        passages = tuple(_passages(connection.execute(f"{schema.PASSAGES} ORDER BY seq")))
        gone = tuple(Gone(*row) for row in connection.execute("SELECT * FROM deleted ORDER BY day, reason"))
        return Tally(passages, gone, bool(schema.setting(connection, "key")))


def purge(folder: Path, uuids: Iterable[str]) -> Deleted:
    """Delete passages now, whatever they are, also beside a drive. Raises `StoreError`."""
    path = folder / FILE
    with translated(path), closing(schema.connect_again(path, _BUSY_S)) as connection:
        _refuse_older(connection, path)
        found = (connection.execute(f"{schema.PASSAGES} WHERE uuid = ?", (uuid,)).fetchall() for uuid in uuids)
        chosen = [Deletion(passage, "purged") for rows in found for passage in _passages(rows)]
        return delete(connection, folder, chosen)


def _passages(rows: Iterable[tuple[str, int, int, int, int]]) -> Iterable[Passage]:
    return (Passage(uuid, seq, stored, bool(hit), size) for uuid, seq, stored, hit, size in rows)


def _refuse_older(connection: sqlite3.Connection, path: Path) -> None:
    if schema.schema_version(connection) < len(schema.MIGRATIONS):
        raise StoreError(f"event store {path}: an older edge-alpr wrote it; a drive updates it: edge-alpr run")
