"""A damaged store is put aside, and every row that can still be read goes into a new one.

Rows are taken in two ways: through SQLite, from the front and from the back up to the first damaged page;
then by their text, wherever it stands in the raw bytes of the file and of its write-ahead log, so that a
lost header or inner page costs nothing but itself. Each step leaves a state that the next opening carries
on from: the new file is complete before the old one is moved.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from edge_alpr.errors import EventError
from edge_alpr.sinks import schema
from edge_alpr.sinks.pictures import sync_folder
from edge_alpr.sinks.vault import Vault
from edge_alpr.sinks.wire import decode_event
from edge_alpr.types import Event

SEQ_GAP = 1_000_000
"""How far `seq` jumps after a recovery, so that a number already told is not given again."""

_ROW = re.compile(rb'\{"version":\d+,"uuid":"([^"]*)","state":"(\w+)","seq":(\d+),')
_BLOCK = 1 << 16
_LONGEST = 1 << 14
"""Bytes looked at for the text of one row; a row split over pages is found through SQLite only."""
_BUSY_S = 1.0
_log = logging.getLogger(__name__)
_json = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Recovered:
    """What opening had to mend: damaged files, events saved from them, the new name of the file."""

    stores: int = 0
    events: int = 0
    aside: str = ""


def recover(path: Path, reason: str, vault: Vault) -> Recovered:
    """Make a new store of what can be read of the damaged one at `path`, and put that one aside.

    Raises `OSError` or `sqlite3.Error` when the new one cannot be written, `SealError` where the key of an encrypted
    one is missing; the old one then stays in place.
    """
    part = path.with_name(f"{path.name}.part")
    _clear(part)
    try:
        schema.create(part)
        with closing(schema.connect(part, _BUSY_S)) as target:
            events = _fill(path, target, vault)
            target.execute("PRAGMA journal_mode=DELETE")  # all of it in the one file, or an error
    except BaseException:
        _clear(part)
        raise
    part.replace(path.with_name(f"{path.name}.salvaged-{_free_stamp(path)}"))
    sync_folder(path.parent)
    aside = finish(path)
    _log.warning("%s; the damaged file is kept as %s, %d events were saved from it", reason, aside, events)
    return Recovered(1, events, aside)


def finish(path: Path) -> str:
    """Put a salvaged store in its place, also one left by a power cut; returns the old file's new name."""
    for ready in path.parent.glob(f"{path.name}.salvaged-*"):
        aside = path.with_name(f"{path.name}.corrupt-{ready.name.rpartition('-')[2]}")
        for suffix in ("-wal", ""):
            source = path.with_name(path.name + suffix)
            if source.exists():
                source.replace(aside.with_name(aside.name + suffix))
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        ready.replace(path)
        sync_folder(path.parent)
        return aside.name
    return ""


def _clear(part: Path) -> None:
    for leftover in part.parent.glob(f"{part.name}*"):
        leftover.unlink()


def _free_stamp(path: Path) -> str:
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    stamps = (now, *(f"{now}.{i}" for i in range(1, 1000)))
    return next(s for s in stamps if not path.with_name(f"{path.name}.corrupt-{s}").exists())


def _fill(path: Path, target: sqlite3.Connection, vault: Vault) -> int:
    """Everything that can be read of `path` into the new store, in one transaction; the number of events."""
    seen: set[tuple[str, str, int]] = set()
    for key_id, _ in _ask(path, "SELECT value, 0 FROM settings WHERE name = 'key'"):
        vault.expect(key_id)
    with schema.transaction(target):
        for event in _rows(path, seen, vault):
            seen.add((event.uuid, event.state, event.seq))
            _insert(target, event, vault)
        for sink, seq in _ask(path, "SELECT sink, seq FROM cursors"):
            target.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (sink, seq))
        target.execute("INSERT INTO settings VALUES ('key', ?)", (vault.key.id.hex() if vault.sealing else "",))
        top = "SELECT max(seq) FROM (SELECT seq FROM events UNION ALL SELECT seq FROM cursors)"
        last = (target.execute(top).fetchone()[0] or 0) + SEQ_GAP
        target.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
        target.execute("INSERT INTO sqlite_sequence VALUES ('events', ?)", (last,))
        return int(target.execute("SELECT count(*) FROM events").fetchone()[0])


def _insert(target: sqlite3.Connection, event: Event, vault: Vault) -> None:
    same = "SELECT 1 FROM events WHERE uuid = ? AND state = ? AND plate = ?"
    if target.execute(same, (event.uuid, event.state, vault.exactly(event.plate))).fetchone():
        return
    if target.execute("SELECT 1 FROM events WHERE seq = ?", (event.seq,)).fetchone():
        # An append that failed may have left its text behind; its number was given to the next event.
        event = replace(event, seq=target.execute("SELECT max(seq) + 1 FROM events").fetchone()[0])
    row = vault.row(event)
    target.execute(schema.INSERT, row)
    target.execute(schema.PASSAGE, schema.passage_of(event, row[-1], 0))


def _rows(path: Path, seen: set[tuple[str, str, int]], vault: Vault) -> Iterator[Event]:
    """The events that can be read, first come first; those in `seen` are left out of the second way."""
    whole = yield from _scan(path, "ASC", vault)
    if not whole:
        yield from _scan(path, "DESC", vault)
    for file in (path, path.with_name(f"{path.name}-wal")):
        if file.exists():
            yield from _carve(file, seen, vault)


def _scan(path: Path, order: str, vault: Vault) -> Generator[Event, None, bool]:
    rows = _ask(path, f"SELECT body, seq FROM events ORDER BY seq {order}")
    while True:
        try:
            body, seq = next(rows)
            yield vault.event(seq, body)
        except EventError as error:
            _log.warning("%s: a damaged row is left out: %s", path.name, error)
        except StopIteration as end:
            return bool(end.value)


def _ask(path: Path, query: str) -> Generator[tuple[str, int], None, bool]:
    """The rows of a query up to the first damage; returns whether that was all of them."""
    try:
        with closing(schema.connect_read_only(path, _BUSY_S)) as connection:
            yield from connection.execute(query)
    except sqlite3.DatabaseError as error:
        _log.info("%s: reading stopped at a damaged place: %s", path.name, error)
        return False
    return True


def _carve(path: Path, seen: set[tuple[str, str, int]], vault: Vault) -> Iterator[Event]:
    """Events by their text, or by the mark of a sealed one, in the raw bytes of a file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        for offset in range(0, os.fstat(handle).st_size, _BLOCK):
            block = _read(handle, offset, path)
            for match in _ROW.finditer(block):
                uuid, state, seq = match.groups()
                key = (uuid.decode(errors="replace"), state.decode(), int(seq))
                if match.start() < _BLOCK and key not in seen:
                    yield from _parse(block[match.start() : match.start() + _LONGEST])
            for start, number, event in vault.carve(block):
                if start < _BLOCK and (event.uuid, event.state, number) not in seen:
                    yield event
    finally:
        os.close(handle)


def _read(handle: int, offset: int, path: Path) -> bytes:
    try:
        return os.pread(handle, _BLOCK + _LONGEST, offset)
    except OSError as error:
        _log.warning("%s: bytes from %d cannot be read: %s", path.name, offset, error.strerror)
        return b""


def _parse(data: bytes) -> Iterator[Event]:
    try:
        _, end = _json.raw_decode(data.decode("latin-1"))  # one character a byte, so `end` counts bytes
        yield decode_event(data[:end])
    except (EventError, ValueError) as error:
        _log.info("a torn row is left out: %s", error)
