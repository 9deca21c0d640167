"""What people say of events: acknowledged, wrong, locked. In a file of its own, so that nobody waits for the drive.

Screen, buttons and commands write it, each as a process of its own; the drive reads it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from edge_alpr.sinks.trouble import translated

FILE = "marks.sqlite3"
Name: TypeAlias = Literal["acknowledged", "wrong", "locked"]
NAMES: tuple[Name, ...] = get_args(Name)
_BUSY_S = 5.0
_TABLE = """CREATE TABLE IF NOT EXISTS marks (
    uuid TEXT NOT NULL, name TEXT NOT NULL, epoch_ms INTEGER NOT NULL, who TEXT NOT NULL, PRIMARY KEY (uuid, name)
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of a passage: when it was set (UTC), and by what (`screen`, `button`, `command`)."""

    uuid: str
    name: Name
    epoch_ms: int
    who: str


class Marks:
    """The marks of the passages in the store `folder`. Every method opens the file itself and raises `StoreError`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder.expanduser() / FILE

    def set(self, uuid: str, name: Name, who: str) -> None:
        """Set a mark, durable on return; one that is set stays as it is."""
        with self._writing() as connection:
            values = (uuid, name, time.time_ns() // 1_000_000, who)
            connection.execute("INSERT INTO marks VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", values)

    def clear(self, uuid: str, name: Name) -> None:
        """Take a mark back, if it is set."""
        with self._writing() as connection:
            connection.execute("DELETE FROM marks WHERE uuid = ? AND name = ?", (uuid, name))

    def forget(self, uuids: Iterable[str]) -> None:
        """Passages that are gone have no marks."""
        with self._writing() as connection:
            connection.executemany("DELETE FROM marks WHERE uuid = ?", [(uuid,) for uuid in uuids])

    def of(self, uuid: str) -> list[Mark]:
        """The marks of one passage, the oldest first."""
        return self._read("WHERE uuid = ? ORDER BY epoch_ms", uuid)

    def named(self, name: Name) -> list[Mark]:
        """All marks of a name, the oldest first."""
        return self._read("WHERE name = ? ORDER BY epoch_ms", name)

    def since(self, epoch_ms: int) -> list[Mark]:
        """All marks set at that time or later, the oldest first."""
        return self._read("WHERE epoch_ms >= ? ORDER BY epoch_ms", epoch_ms)

    def _read(self, clause: str, value: int | str) -> list[Mark]:
        if not self._path.exists():
            return []
        with translated(self._path), closing(sqlite3.connect(self._path, timeout=_BUSY_S)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'marks'").fetchone():
                return []  # another process is about to make it
            rows = connection.execute(f"SELECT uuid, name, epoch_ms, who FROM marks {clause}", (value,)).fetchall()
        return [Mark(*row) for row in rows if row[1] in NAMES]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with translated(self._path):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute(_TABLE)
                yield connection
