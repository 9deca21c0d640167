"""Keeps the store within what its owner allows, beside the drive: a look when it starts, then every few seconds."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_alpr.config import PrivacyConfig, StoreConfig
from edge_alpr.errors import StoreError
from edge_alpr.sinks import schema
from edge_alpr.sinks.deletion import delete, reasons, sweep_orphans, truncate_log
from edge_alpr.sinks.marks import Marks
from edge_alpr.sinks.retention import Moment, Passage, choose_deletions, rules_of
from edge_alpr.sinks.store import FILE
from edge_alpr.sinks.trouble import translated

INTERVAL_S = 10.0
_WINDOW = 1024
"""Of each kind, hits and the others, so many of the oldest are looked at in a round."""
_BUSY_S = 2.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class HousekeepingCounters:
    """Counts since the start."""

    passages: int = 0
    pictures: int = 0
    orphans: int = 0
    """Pictures that no event named."""
    failures: int = 0


class Aging:
    """Tells by the monotonic clock which `seq` was there a while ago; remembers some hundred moments."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._spacing_s = after_s / 256
        self._seen: deque[tuple[float, int]] = deque()
        self._aged = 0

    def aged(self, now_s: float, last_seq: int) -> int:
        """The `seq` up to which all were there `after_s` ago. `last_seq` is the highest of now."""
        if not self._seen or now_s - self._seen[-1][0] >= self._spacing_s:
            self._seen.append((now_s, last_seq))
        while self._seen and now_s - self._seen[0][0] >= self._after_s:
            self._aged = self._seen.popleft()[1]
        return self._aged


class Housekeeping:
    """A thread that deletes what is to go. `EventStore` is open on the folder, or has been.

    What fails is logged once, counted, and tried again in the next round: the drive goes on.
    """

    def __init__(self, folder: Path, store: StoreConfig, privacy: PrivacyConfig) -> None:
        self.counters = HousekeepingCounters()
        self._folder = folder.expanduser()
        self._path = self._folder / FILE
        self._rules = rules_of(store, privacy)
        self._aging = Aging(self._rules.forget_ms / 1e3)
        self._start_seq = -1
        self._failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def round(self, now_ms: int, monotonic_s: float) -> int:
        """Delete what is to go now; how many passages went. Raises `StoreError`."""
        with translated(self._path), closing(schema.connect_again(self._path, _BUSY_S)) as connection:
            last = connection.execute(schema.LAST_SEQ).fetchone()
            last_seq = 0 if last is None else int(last[0])
            first = self._start_seq < 0
            if first:
                self._start_seq = last_seq
                truncate_log(connection)
            passages = _candidates(connection, {mark.uuid for mark in Marks(self._folder).named("locked")})
            total = int(connection.execute("SELECT CAST(total(bytes) AS INTEGER) FROM passages").fetchone()[0])
            aged = self._aging.aged(monotonic_s, last_seq) if self._rules.forget_ms else 0
            chosen = choose_deletions(passages, total, self._rules, Moment(now_ms, self._start_seq, aged))
            done = delete(connection, self._folder, chosen)
            if first and self._rules.forget_ms:
                before_s = (now_ms - self._rules.forget_ms) / 1e3
                self.counters.orphans += sweep_orphans(connection, self._folder, before_s)
        self.counters.passages += done.passages
        self.counters.pictures += done.pictures
        if done.passages:
            what = (reasons(chosen), done.pictures)
            _log.info("event store %s: deleted %s, with %d pictures", self._folder, *what)
        return done.passages

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the thread; a round that has begun is ended in order."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                while self.round(time.time_ns() // 1_000_000, time.monotonic()) and not self._stop.is_set():
                    pass
                self._failing = False
            except StoreError as error:
                self.counters.failures += 1
                if not self._failing:
                    _log.warning("nothing old is deleted, and it is tried again: %s", error)
                self._failing = True
            if self._stop.wait(INTERVAL_S):
                return


def _candidates(connection: sqlite3.Connection, locked: set[str]) -> list[Passage]:
    """The oldest hits and the oldest others."""
    query = f"{schema.PASSAGES} WHERE hit = ? ORDER BY seq LIMIT ?"
    rows = [row for hit in (0, 1) for row in connection.execute(query, (hit, _WINDOW + len(locked)))]
    return [Passage(uuid, seq, stored, bool(hit), size, uuid in locked) for uuid, seq, stored, hit, size in rows]
