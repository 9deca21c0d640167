"""The event store: what is appended survives a power cut, and nobody is told of an event before that."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_alpr.config import StoreConfig
from edge_alpr.errors import EventError, StoreCorruptError, StoreError, StoreFullError
from edge_alpr.sinks import schema
from edge_alpr.sinks.lock import make_folder, take_lock
from edge_alpr.sinks.pictures import Kept, Pictures, clear_staging, drop, keep_pictures, sync_folder
from edge_alpr.sinks.reseal import settle
from edge_alpr.sinks.salvage import Recovered, finish, recover
from edge_alpr.sinks.trouble import os_trouble, translated
from edge_alpr.sinks.vault import Vault
from edge_alpr.sinks.wire import encode_event
from edge_alpr.types import Event, Images

__all__ = ["EventStore", "Pictures", "Recovered", "StoreCounters"]

FILE = "events.sqlite3"
_log = logging.getLogger(__name__)
_DELETE = "DELETE FROM events WHERE uuid = ? AND state = ? AND plate = ?"


@dataclass(slots=True)
class StoreCounters:
    """Counts since the store was opened."""

    appended: int = 0
    duplicates: int = 0
    """Appends that were already stored."""
    pictures_lost: int = 0
    """Events stored without their pictures, because those could not be written."""
    unreadable: int = 0
    """Rows passed over because their text is damaged."""


class EventStore:
    """Events in `folder`/events.sqlite3, their pictures below `folder`/pictures.

    One writer: a second `EventStore` on the folder, of this or another process, is refused; others may
    read the file with SQLite. Use it from the thread that opened it, as `with EventStore(...) as store`.
    Every method raises `StoreError` (one line, with the remedy) when the disk or the file fails. After
    `StoreFullError` the store stays usable: what was stored is kept, and the next append tries again.
    """

    def __init__(self, folder: Path, config: StoreConfig, busy_timeout_s: float = 5.0) -> None:
        """Open the store, or make it; mends a damaged file and says so (`recovered`, a logged warning).

        `busy_timeout_s` is how long to wait for another process that holds the store. Raises `StoreError`.
        """
        self.folder = folder.expanduser()
        self.path = self.folder / FILE
        self.counters = StoreCounters()
        self.recovered = Recovered()
        self._config = config
        self._vault = Vault(config)
        self._pictures_fail = False
        with translated(self.folder):
            make_folder(self.folder)
            self._lock = take_lock(self.path.with_name(f"{FILE}.lock"), busy_timeout_s)
        try:
            with translated(self.path):
                self._connection = self._open(busy_timeout_s)
        except BaseException:
            os.close(self._lock)
            raise

    def append(self, event: Event, pictures: Pictures | None = None) -> Event:
        """Store an event, durable on return, and give it back as stored.

        `seq` is set here, one transaction an event, strictly increasing over restarts: the caller's is
        replaced. `images` names the pictures kept; where they cannot be written the event is stored
        without. An event with the same uuid, state and plate is stored once: the stored one comes back, unless
        the new one hit an entry of a hot list that the stored one did not; then it takes its place.
        Raises `EventError` when the event breaks its contract, `StoreFullError` when the disk is full,
        else `StoreError`; the event is then not stored.
        """
        encode_event(event)  # refused before anything is written
        with translated(self.path):
            stored = self._same(event)
        if stored is not None and not _hits_anew(event, stored):
            self.counters.duplicates += 1
            return stored
        kept = self._keep(event, pictures)
        if stored is not None and not kept.images.plate:
            kept = replace(kept, images=stored.images)
        try:
            return self._insert(replace(event, images=kept.images), kept.size)
        except StoreFullError as error:
            if not kept.fresh:
                raise
            drop(kept.fresh)
            self._lost(event, error)
            return self._insert(replace(event, images=Images()), 0)
        except StoreError:
            drop(kept.fresh)
            raise

    def after(self, cursor: int, limit: int = 256) -> list[Event]:
        """The first `limit` events with a `seq` over `cursor`, in order."""
        return self._events("SELECT seq, body FROM events WHERE seq > ? ORDER BY seq", (cursor,), limit)

    def find(self, plate: str, limit: int = 256) -> list[Event]:
        """The newest `limit` events of a plate, newest first; O and 0, I and 1 count as the same."""
        query = "SELECT seq, body FROM events WHERE canonical = ? ORDER BY seq DESC"
        with translated(self.path):
            canonical = self._vault.alike(plate)
        return self._events(query, (canonical,), limit)

    def count(self) -> int:
        """How many events are stored."""
        return self._number("SELECT count(*) FROM events")

    def last_seq(self) -> int:
        """The highest `seq` ever given, 0 before the first event."""
        return self._number(schema.LAST_SEQ) or 0

    def cursor(self, sink: str) -> int | None:
        """The `seq` up to which a sink has heard everything; None for a sink never heard of."""
        with translated(self.path):
            row = self._connection.execute(schema.CURSOR, (sink,)).fetchone()
        return None if row is None else int(row[0])

    def advance(self, sink: str, seq: int) -> None:
        """Note durably that a sink has heard all up to `seq`: never back, nor past the last event."""
        statement = """INSERT INTO cursors VALUES (?, ?)
                       ON CONFLICT (sink) DO UPDATE SET seq = max(seq, excluded.seq)"""
        seq = min(seq, self.last_seq())
        with translated(self.path), schema.transaction(self._connection):
            self._connection.execute(statement, (sink, seq))

    def close(self) -> None:
        """Close the file and let others have the store. Closing twice is fine."""
        if self._lock >= 0:
            with translated(self.path):
                self._connection.close()
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, busy_timeout_s: float) -> sqlite3.Connection:
        finished = finish(self.path)
        if schema.create(self.path):
            try:
                schema.roll_back(self.path, busy_timeout_s)
                schema.inspect(self.path, busy_timeout_s)
            except StoreCorruptError as error:
                self.recovered = recover(self.path, str(error), self._vault)
        connection = schema.connect(self.path, busy_timeout_s)
        try:
            clear_staging(self.folder)
            settle(connection, self.folder, self._vault)
        except BaseException:
            connection.close()
            raise
        sync_folder(self.folder)
        if finished:
            events = int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
            self.recovered = Recovered(1, events, finished)
            _log.warning("event store %s: an interrupted repair is completed; %s", self.path, self.recovered)
        return connection

    def _insert(self, event: Event, picture_bytes: int) -> Event:
        with translated(self.path), schema.transaction(self._connection):
            event = replace(event, seq=self.last_seq() + 1)
            row = self._vault.row(event)
            self._connection.execute(_DELETE, (event.uuid, event.state, self._vault.exactly(event.plate)))
            self._connection.execute(schema.INSERT, row)
            self._connection.execute(schema.PASSAGE, schema.passage_of(event, row[-1], picture_bytes))
        self.counters.appended += 1
        return self._vault.event(event.seq, row[-1])

    def _same(self, event: Event) -> Event | None:
        query = "SELECT seq, body FROM events WHERE uuid = ? AND state = ? AND plate = ?"
        key = (event.uuid, event.state, self._vault.exactly(event.plate))
        row = self._connection.execute(query, key).fetchone()
        if row is None:
            return None
        try:
            return self._vault.event(*row)
        except EventError as error:
            self._unreadable(event.uuid, error)
            self._connection.execute(_DELETE, key)
            return None

    def _keep(self, event: Event, pictures: Pictures | None) -> Kept:
        if pictures is None or not self._config.keep_images:
            return Kept(event.images, ())
        try:
            kept = keep_pictures(self.folder, event, pictures, self._vault.wrap)
        except OSError as error:
            self._lost(event, os_trouble(error, self.folder / "pictures"))
            return Kept(Images(), ())
        self._pictures_fail = False
        return kept

    def _lost(self, event: Event, error: StoreError) -> None:
        """Count an event whose pictures are not kept; say so once until one is kept again."""
        self.counters.pictures_lost += 1
        if not self._pictures_fail:
            _log.warning("event %s is stored without its pictures: %s", event.uuid, error)
        self._pictures_fail = True

    def _events(self, query: str, values: tuple[int | str], limit: int) -> list[Event]:
        events: list[Event] = []
        with translated(self.path), closing(self._connection.execute(query, values)) as rows:
            for seq, body in rows:
                if len(events) >= limit:
                    break
                try:
                    events.append(self._vault.event(seq, body))
                except EventError as error:
                    self._unreadable(f"number {seq}", error)
        return events

    def _unreadable(self, name: str, error: EventError) -> None:
        self.counters.unreadable += 1
        _log.warning("event store %s: event %s is damaged and passed over: %s", self.path, name, error)

    def _number(self, query: str) -> int:
        with translated(self.path):
            row = self._connection.execute(query).fetchone()
        return 0 if row is None else int(row[0])


def _hits_anew(event: Event, stored: Event) -> bool:
    """Whether an event hit an entry of a hot list that the stored one did not, or hit it more surely."""
    hit, known = event.match, stored.match
    if hit is None or known is None:
        return hit is not None
    return (hit.list, hit.entry) != (known.list, known.entry) or hit.score > known.score
