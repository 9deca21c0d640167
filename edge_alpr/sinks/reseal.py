"""A store whose rows and pictures do not lie as the configuration says is written anew: sealed, or plain again.

Rows change in one transaction together with the note of the key, pictures one by one after it, then a second note.
A power cut in between is carried on from at the next opening; reading takes both kinds all the time.
"""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

from edge_alpr.errors import EventError, SealError
from edge_alpr.sinks import schema
from edge_alpr.sinks.pictures import FOLDER
from edge_alpr.sinks.sealing import write_whole
from edge_alpr.sinks.vault import Vault, is_sealed

_PORTION = 256
_log = logging.getLogger(__name__)


def settle(connection: sqlite3.Connection, folder: Path, vault: Vault) -> None:
    """Have all of the store lie as `vault` writes it. Raises `SealError` where the key for that is not at hand."""
    stored = schema.setting(connection, "key")
    vault.expect(stored)
    wanted = vault.key.id.hex() if vault.sealing else ""
    if stored != wanted:
        with schema.transaction(connection):
            count = _write_rows(connection, vault)
            _note(connection, "key", wanted)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # nothing of the old text stays in the log
        if count:
            _log.warning("event store %s: %d events are %s now", folder, count, "encrypted" if wanted else "plain")
    if schema.setting(connection, "pictures") != wanted:
        write_pictures(folder, vault)
        with schema.transaction(connection):
            _note(connection, "pictures", wanted)


def write_pictures(folder: Path, vault: Vault) -> None:
    """Write each picture as `vault` does, where it is not so yet; a damaged one is left."""
    for path in sorted((folder / FOLDER).glob("*/*_*")):
        content, name = path.read_bytes(), str(path.relative_to(folder))
        if path.name.startswith(".") or is_sealed(content) == vault.sealing:
            continue
        try:
            write_whole(path, vault.wrap(name, vault.unwrap(name, content)))
        except SealError as error:
            _log.warning("event store %s: %s", folder, error)


def _write_rows(connection: sqlite3.Connection, vault: Vault) -> int:
    count = last = 0
    while rows := connection.execute(
        "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (last, _PORTION)
    ).fetchall():
        for seq, body in rows:
            count += _write_row(connection, vault, seq, body)
        last = rows[-1][0]
    return count


def _write_row(connection: sqlite3.Connection, vault: Vault, seq: int, body: object) -> int:
    try:
        event = replace(vault.event(seq, body), seq=seq)
    except EventError as error:
        _log.warning("event number %s is damaged and deleted: %s", seq, error)
        connection.execute("DELETE FROM events WHERE seq = ?", (seq,))
        return 0
    _, _, _, plate, canonical, *_, written = vault.row(event)
    values = (plate, canonical, written, seq)
    connection.execute("UPDATE events SET plate = ?, canonical = ?, body = ? WHERE seq = ?", values)
    return 1


def _note(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))
