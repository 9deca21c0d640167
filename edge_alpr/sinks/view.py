"""A look into a store that another process may be writing: it never holds the writer up."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_alpr.config import StoreConfig
from edge_alpr.errors import EventError, StoreError
from edge_alpr.sinks import schema
from edge_alpr.sinks.store import FILE
from edge_alpr.sinks.trouble import translated
from edge_alpr.sinks.vault import Vault
from edge_alpr.types import Event

_BUSY_S = 5.0
_log = logging.getLogger(__name__)


class StoreView:
    """The events of the store `folder`. Use it from the thread that opened it, as `with StoreView(...) as view`.

    All methods raise `StoreError`. A row that is damaged is passed over and logged.
    """

    def __init__(self, folder: Path, config: StoreConfig | None = None) -> None:
        """`config` says where the key of an encrypted store is; without it, it is looked for in its usual place.

        Raises `StoreError`, also where there is no store yet.
        """
        self.folder = folder.expanduser()
        self._path = self.folder / FILE
        if not self._path.exists():
            raise StoreError(f"event store {self._path}: there is none yet; start a drive: edge-alpr run")
        self._vault = Vault(config or StoreConfig())
        with translated(self._path):
            self._connection = schema.connect_read_only(self._path, _BUSY_S)
            self._vault.expect(schema.setting(self._connection, "key"))
        self._version = -1

    def after(self, cursor: int, limit: int = 256) -> list[Event]:
        """The first `limit` events with a `seq` over `cursor`, in order."""
        return self._events("WHERE seq > ? ORDER BY seq LIMIT ?", cursor, limit)

    def newest(self, limit: int = 50, before: int | None = None) -> list[Event]:
        """The newest `limit` events, newest first; of those with a `seq` under `before`, where that is given."""
        if before is None:
            return self._events("ORDER BY seq DESC LIMIT ?", limit)
        return self._events("WHERE seq < ? ORDER BY seq DESC LIMIT ?", before, limit)

    def find(self, plate: str, limit: int = 256) -> list[Event]:
        """The newest events of a plate, newest first; O and 0, I and 1 count as the same."""
        with translated(self._path):
            canonical = self._vault.alike(plate)
        return self._events("WHERE canonical = ? ORDER BY seq DESC LIMIT ?", canonical, limit)

    def states(self, uuid: str) -> list[Event]:
        """All states of one passage, in order."""
        return self._events("WHERE uuid = ? ORDER BY seq", uuid)

    def last_seq(self) -> int:
        """The highest `seq` ever given, 0 before the first event."""
        with translated(self._path):
            row = self._connection.execute(schema.LAST_SEQ).fetchone()
        return 0 if row is None else int(row[0])

    def changed(self) -> bool:
        """Whether anything was written since this was last asked (true the first time). Takes some microseconds."""
        with translated(self._path):
            version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        before, self._version = self._version, version
        return version != before

    def picture(self, name: str) -> bytes:
        """The picture that an event's `images` names: a JPEG. Empty where it is gone, or no name of a picture."""
        return self._vault.picture(self.folder, name)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _events(self, clause: str, *values: int | str) -> list[Event]:
        events: list[Event] = []
        with translated(self._path):
            with closing(self._connection.execute(f"SELECT seq, body FROM events {clause}", values)) as found:
                rows = found.fetchall()
            for seq, body in rows:
                try:
                    events.append(self._vault.event(seq, body))
                except EventError as error:
                    _log.warning("event store %s: event %s is damaged and passed over: %s", self._path, seq, error)
        return events
