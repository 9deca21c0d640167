"""What is on its way out of the car, by target, in a file of its own beside the store.

A target is a broker or a server. Its events wait here by their `seq` only; their texts stay in the store.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

from typing_extensions import Self

from edge_alpr.errors import StoreCorruptError, StoreError
from edge_alpr.sinks import schema
from edge_alpr.sinks.trouble import translated

FILE = "uplink.sqlite3"
Outcome: TypeAlias = Literal["sent", "refused", "gone"]
"""How the way of an event ended: told and acknowledged; refused for good; gone from the store before it was told."""
_BUSY_S = 5.0
_LETTERS = 1000
_TABLES = (
    "CREATE TABLE IF NOT EXISTS targets (target TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS waiting (
        target TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (target, seq)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS outcomes (
        target TEXT NOT NULL, outcome TEXT NOT NULL, events INTEGER NOT NULL,
        PRIMARY KEY (target, outcome)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS letters (
        id INTEGER PRIMARY KEY, target TEXT NOT NULL, seq INTEGER NOT NULL, epoch_ms INTEGER NOT NULL,
        reason TEXT NOT NULL)""",
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """How it ended for one event, and why it was refused."""

    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """A target's state: looked at up to `seen`, these wait in order, so many ended how."""

    seen: int = 0
    waiting: tuple[int, ...] = ()
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a target since its state was saved."""

    seen: int
    added: frozenset[int]
    settled: Mapping[int, Settled]


@dataclass(frozen=True, slots=True)
class Letter:
    """An event that a target refused for good."""

    target: str
    seq: int
    epoch_ms: int
    reason: str


class OutboxFile:
    """`uplink.sqlite3` in the store's folder, for one process at a time.

    Use it from the thread that opened it. A damaged file is put aside and begun anew: then all that the store holds is
    told again. Every method raises `StoreError`; nothing of a `save` that failed is in the file.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder.expanduser() / FILE
        with translated(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _take_lock(self._path.with_name(f"{FILE}.lock"))
        try:
            self._connection = self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def load(self, target: str) -> Saved:
        """The state of a target; an empty one for a target never heard of."""
        with translated(self._path):
            ask = self._connection.execute
            row = ask("SELECT seen FROM targets WHERE target = ?", (target,)).fetchone()
            waiting = ask("SELECT seq FROM waiting WHERE target = ? ORDER BY seq", (target,)).fetchall()
            outcomes = ask("SELECT outcome, events FROM outcomes WHERE target = ?", (target,)).fetchall()
        return Saved(row[0] if row else 0, tuple(seq for (seq,) in waiting), dict(outcomes))

    def save(self, target: str, change: Change) -> None:
        """Make a change durable: all of it or nothing."""
        new = [(target, seq) for seq in sorted(change.added - change.settled.keys())]
        done = [(target, seq) for seq in change.settled.keys() - change.added]
        letters = [(target, seq, time.time_ns() // 1_000_000, settled.reason)
                   for seq, settled in change.settled.items() if settled.outcome == "refused"]  # fmt: skip
        with translated(self._path), schema.transaction(self._connection) as _:
            many = self._connection.executemany
            many("INSERT OR REPLACE INTO targets VALUES (?, ?)", [(target, change.seen)])
            many("INSERT OR IGNORE INTO waiting VALUES (?, ?)", new)
            many("DELETE FROM waiting WHERE target = ? AND seq = ?", done)
            many("""INSERT INTO outcomes VALUES (?, ?, 1)
                    ON CONFLICT (target, outcome) DO UPDATE SET events = events + 1""",
                 [(target, settled.outcome) for settled in change.settled.values()])  # fmt: skip
            many("INSERT INTO letters (target, seq, epoch_ms, reason) VALUES (?, ?, ?, ?)", letters)
            if letters:
                many("DELETE FROM letters WHERE id <= (SELECT max(id) FROM letters) - ?", [(_LETTERS,)])

    def close(self) -> None:
        """Close the file and let others have it."""
        self._connection.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except StoreCorruptError as error:
            aside = self._path.with_name(f"{FILE}.corrupt-{time.time_ns()}")
            with translated(self._path):
                self._path.replace(aside)
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(FILE + suffix).unlink(missing_ok=True)
            _log.warning("%s; it is kept as %s, and all events in the store are told again", error, aside.name)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        with translated(self._path):
            schema.create(self._path)
            connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA wal_autocheckpoint=100")
                with schema.transaction(connection):
                    for table in _TABLES:
                        connection.execute(table)
                for (verdict,) in connection.execute("PRAGMA quick_check(1)"):
                    if verdict != "ok":
                        raise StoreCorruptError(f"{self._path}: {' '.join(verdict.split())}")
            except BaseException:
                connection.close()
                raise
        return connection


def peek(folder: Path) -> tuple[dict[str, Saved], list[Letter]]:
    """The states of all targets and the latest refusals, while another process may be at it. Raises `StoreError`."""
    path = folder.expanduser() / FILE
    if not path.exists():
        return {}, []
    with translated(path):
        connection = schema.connect_read_only(path, _BUSY_S)
        try:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return {}, []  # it is being made
            seen = dict(connection.execute("SELECT target, seen FROM targets"))
            waiting = connection.execute("SELECT target, seq FROM waiting ORDER BY target, seq").fetchall()
            outcomes = connection.execute("SELECT target, outcome, events FROM outcomes").fetchall()
            letters = connection.execute(
                "SELECT target, seq, epoch_ms, reason FROM letters ORDER BY id DESC LIMIT 20").fetchall()  # fmt: skip
        finally:
            connection.close()
    states = {
        target: Saved(last, tuple(s for t, s in waiting if t == target), {o: n for t, o, n in outcomes if t == target})
        for target, last in seen.items()
    }
    return states, [Letter(*row) for row in letters]


def _take_lock(path: Path) -> int:
    """The open lock file. The system drops the lock with the process. Raises `StoreError`."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreError(f"{path.with_suffix('')}: another `edge-alpr uplink` is at it; end that one first") from None
    return handle
