"""The tables of the event store, and how a store of an older version becomes one of today."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from edge_alpr.errors import StoreCorruptError, StoreError
from edge_alpr.privacy import is_hit
from edge_alpr.sinks.trouble import DAMAGE
from edge_alpr.types import Event

_PASSAGES_OF_PLAIN_EVENTS = """
    SELECT uuid, max(seq), CAST(strftime('%s', 'now') AS INTEGER) * 1000,
        max(instr(body, '"match":null') = 0),
        sum(length(body) + CASE WHEN instr(body, '"pictures/') THEN 65536 ELSE 512 END)
    FROM events GROUP BY uuid"""
"""The sizes of pictures stand in no event; 64 KiB is what two of them usually take."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (  # 0 -> 1
        """CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            uuid TEXT NOT NULL,
            state TEXT NOT NULL,
            plate TEXT NOT NULL,
            canonical TEXT NOT NULL,
            epoch_ms INTEGER NOT NULL,
            camera TEXT NOT NULL,
            body TEXT NOT NULL,
            UNIQUE (uuid, state, plate)
        )""",
        "CREATE INDEX events_canonical ON events (canonical)",
        "CREATE INDEX events_epoch ON events (epoch_ms)",
        "CREATE TABLE cursors (sink TEXT PRIMARY KEY, seq INTEGER NOT NULL)",
    ),
    (  # 1 -> 2: what deciding on deletions takes; an older store's passages count as stored at this moment
        """CREATE TABLE passages (
            uuid TEXT PRIMARY KEY,
            seq INTEGER NOT NULL,
            stored_ms INTEGER NOT NULL,
            hit INTEGER NOT NULL,
            bytes INTEGER NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX passages_order ON passages (hit, seq)",
        """CREATE TABLE deleted (
            day TEXT NOT NULL, reason TEXT NOT NULL, passages INTEGER NOT NULL, pictures INTEGER NOT NULL,
            PRIMARY KEY (day, reason)
        ) WITHOUT ROWID""",
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        f"INSERT INTO passages {_PASSAGES_OF_PLAIN_EVENTS}",
    ),
)
"""MIGRATIONS[n] takes a store from schema version n to n + 1. Entries are never changed, only added.

Every index costs 4 KiB of log an event, so there is one only for what is asked: sameness, plate, time.
"""

_LOG_PAGES = 250
"""Pages of 4 KiB in the write-ahead log from which it is folded into the file, so that it stays near 1 MiB."""

INSERT = """INSERT INTO events (seq, uuid, state, plate, canonical, epoch_ms, camera, body)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


PASSAGE = """INSERT INTO passages (uuid, seq, stored_ms, hit, bytes) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (uuid) DO UPDATE SET
                 seq = excluded.seq, stored_ms = excluded.stored_ms, hit = max(hit, excluded.hit),
                 bytes = bytes + excluded.bytes"""

PASSAGES = """SELECT uuid, coalesce(CAST(seq AS INTEGER), 0), coalesce(CAST(stored_ms AS INTEGER), 0), hit,
              coalesce(CAST(bytes AS INTEGER), 0) FROM passages"""
"""Numbers, whatever a damaged row holds in their place: it must not keep the others from being deleted."""
LAST_SEQ = "SELECT coalesce(CAST(seq AS INTEGER), 0) FROM sqlite_sequence WHERE name = 'events'"
CURSOR = "SELECT coalesce(CAST(seq AS INTEGER), 0) FROM cursors WHERE sink = ?"

Row: TypeAlias = tuple[int, str, str, str, str, int, str, str | bytes]
"""The values for `INSERT`; `plate`, `canonical` and `body` are sealed where the store is encrypted."""
_ROW_BYTES = 512
"""About what a row takes besides its body."""


def passage_of(event: Event, body: str | bytes, picture_bytes: int) -> tuple[str, int, int, bool, int]:
    """The values for `PASSAGE`: it is as old as its newest state is stored, and a hit if any of its states was one."""
    size = len(body) + _ROW_BYTES + picture_bytes
    return event.uuid, event.seq, time.time_ns() // 1_000_000, is_hit(event), size


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing: commits at the end, rolls back on any error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def connect_read_only(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection that neither writes to the file nor folds its write-ahead log in when it closes."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    return _lenient(sqlite3.connect(uri, uri=True, timeout=busy_timeout_s, isolation_level=None))


def _lenient(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A text that is no UTF-8 comes as its bytes: else one damaged row hides all that are asked for with it."""
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def roll_back(path: Path, busy_timeout_s: float) -> None:
    """Undo what a power cut left half done before there was a write-ahead log: when the store was first made.

    Who may only read cannot do that, and so sees nothing. Raises `sqlite3.Error` where it cannot be done.
    """
    journal = path.with_name(f"{path.name}-journal")
    if not journal.exists():
        return
    with closing(sqlite3.connect(path, timeout=busy_timeout_s)) as connection, suppress(sqlite3.DatabaseError):
        schema_version(connection)  # any reading undoes it; damage is `inspect`'s to tell


def inspect(path: Path, busy_timeout_s: float) -> None:
    """Look at an existing file without touching it.

    Raises `StoreCorruptError` when it is damaged, `StoreError` when it is of a newer version or of another
    program, `sqlite3.Error` when it cannot be looked at.
    """
    with closing(connect_read_only(path, busy_timeout_s)) as connection:
        try:
            version = schema_version(connection)
            _refuse_foreign(connection, path, version)
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            if any(words in str(error) for words in DAMAGE):
                raise StoreCorruptError(f"event store {path}: {error}") from error
            raise
    if verdict != "ok":
        raise StoreCorruptError(f"event store {path}: {' '.join(verdict.split())}")


def create(path: Path) -> int:
    """Make sure that the file is there, for nobody else to read (mode 0600); its size in bytes."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        status = os.fstat(handle)
        if status.st_mode & 0o077:
            os.fchmod(handle, 0o600)
        return status.st_size
    finally:
        os.close(handle)


def connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection for writing, durable at every commit, with the tables of today.

    The file is there, if empty. Raises `sqlite3.Error` or `StoreError`.
    """
    connection = connect_again(path, busy_timeout_s)
    try:
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_again(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    """A further connection for writing, of any thread or process, to a store that has the tables of today."""
    connection = _lenient(sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None))
    try:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(
                f"event store {path}: this file system keeps no write-ahead log; "
                "set store.path to a folder on a local disk"
            )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        connection.execute("PRAGMA secure_delete=ON")  # what is deleted is gone, also for `salvage`
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to today's version, in one transaction."""
    with transaction(connection):
        for version in range(schema_version(connection), len(MIGRATIONS)):
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={version + 1}")


def setting(connection: sqlite3.Connection, name: str) -> str:
    """A setting of this store, empty where it has none, also for a store of an older version."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'settings'").fetchone():
        return ""
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return "" if row is None else str(row[0])


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of the tables in this file, 0 for an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_foreign(connection: sqlite3.Connection, path: Path, version: int) -> None:
    if version > len(MIGRATIONS):
        raise StoreError(
            f"event store {path}: written by a newer edge-alpr (schema {version}, this one knows "
            f"{len(MIGRATIONS)}); update edge-alpr or set store.path to another folder"
        )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "events" not in tables:
        raise StoreError(
            f"event store {path}: this database belongs to another program; set store.path to another folder"
        )
