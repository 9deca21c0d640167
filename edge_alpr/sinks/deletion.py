"""Passages leave the store: texts, pictures and marks, in short transactions beside the writer."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote

from edge_alpr.sinks import schema
from edge_alpr.sinks.marks import Marks
from edge_alpr.sinks.pictures import FOLDER, day_of, stem_of, sync_folder
from edge_alpr.sinks.retention import Deletion

BATCH = 16
"""Passages in one transaction: the writer waits no longer than that takes."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What went."""

    passages: int = 0
    pictures: int = 0


def delete(connection: sqlite3.Connection, folder: Path, deletions: Sequence[Deletion]) -> Deleted:
    """Delete passages, durable on return; one that has changed since it was chosen stays.

    The pictures go first: a power cut leaves at worst an event without them, which the next round deletes, and never
    a picture that no event names. Raises `sqlite3.Error` or `OSError`.
    """
    gone: list[str] = []
    pictures = 0
    for at in range(0, len(deletions), BATCH):
        with schema.transaction(connection):
            chosen = [d for d in deletions[at : at + BATCH] if _unchanged(connection, d)]
            files = {d.passage.uuid: pictures_of(connection, folder, d.passage.uuid) for d in chosen}
            _unlink(file for found in files.values() for file in found)
            for deletion in chosen:
                _delete_rows(connection, deletion, len(files[deletion.passage.uuid]))
        gone += files
        pictures += sum(map(len, files.values()))
    if gone:
        Marks(folder).forget(gone)
        truncate_log(connection)
    return Deleted(len(gone), pictures)


def pictures_of(connection: sqlite3.Connection, folder: Path, uuid: str) -> list[Path]:
    """The files of a passage's pictures."""
    query = "SELECT DISTINCT CAST(epoch_ms AS INTEGER) FROM events WHERE uuid = ?"
    times = connection.execute(query, (uuid,)).fetchall()
    days = {folder / FOLDER / day_of(epoch_ms) for (epoch_ms,) in times}
    stem = stem_of(uuid)
    return [file for day in days for kind in ("plate", "frame") for file in day.glob(f"{stem}_{kind}.*")]


def truncate_log(connection: sqlite3.Connection) -> None:
    """Fold the write-ahead log into the file and empty it, for it holds what was deleted.

    Where somebody is reading, it is left for the next time.
    """
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def sweep_orphans(connection: sqlite3.Connection, folder: Path, before_s: float) -> int:
    """Delete pictures that no event names (a power cut came between both) and damaged files put aside.

    Only what was written before `before_s` (wall clock). Returns how many pictures.
    """
    orphans = [
        file
        for file in (folder / FOLDER).glob("*/*_*")
        if file.stat().st_mtime < before_s and not _is_named(connection, file)
    ]
    _unlink(orphans)
    aside = [file for file in folder.glob("*.corrupt-*") if file.stat().st_mtime < before_s]
    _unlink(aside)
    for file in aside:
        _log.warning("event store %s: %s is deleted; what could be read of it is in the store", folder, file.name)
    return len(orphans)


def _is_named(connection: sqlite3.Connection, file: Path) -> bool:
    uuid = unquote(file.name.rpartition("_")[0])
    return connection.execute("SELECT 1 FROM events WHERE uuid = ?", (uuid,)).fetchone() is not None


def _unchanged(connection: sqlite3.Connection, deletion: Deletion) -> bool:
    key = (deletion.passage.uuid, deletion.passage.seq)
    query = "SELECT 1 FROM passages WHERE uuid = ? AND coalesce(CAST(seq AS INTEGER), 0) = ?"
    return connection.execute(query, key).fetchone() is not None


def _unlink(files: Iterable[Path]) -> None:
    folders = set()
    for file in files:
        file.unlink(missing_ok=True)
        folders.add(file.parent)
    for folder in folders:
        sync_folder(folder)
        if not any(os.scandir(folder)):
            folder.rmdir()


def _delete_rows(connection: sqlite3.Connection, deletion: Deletion, pictures: int) -> None:
    uuid = deletion.passage.uuid
    connection.execute("DELETE FROM events WHERE uuid = ?", (uuid,))
    connection.execute("DELETE FROM passages WHERE uuid = ?", (uuid,))
    count = """INSERT INTO deleted VALUES (?, ?, 1, ?) ON CONFLICT (day, reason)
               DO UPDATE SET passages = passages + 1, pictures = pictures + excluded.pictures"""
    today = datetime.now(timezone.utc).date().isoformat()
    connection.execute(count, (today, deletion.reason, pictures))


def reasons(deletions: Iterable[Deletion]) -> str:
    """How many for which reason, for people: `12 forgotten, 1 quota`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(d.reason for d in deletions).items()))
