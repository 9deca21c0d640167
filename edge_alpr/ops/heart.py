"""The thread that sends heartbeats: each minute, and at once when the governor changes its level.

It also beats while no frame comes. The frame thread never waits for it, and none of its faults reaches the drive.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from typing_extensions import Self

from edge_alpr import __version__
from edge_alpr.device import BoardReading
from edge_alpr.device.host import name_this_thread, rss_mb
from edge_alpr.hotlist.status import Status
from edge_alpr.ops.governor import Governor
from edge_alpr.ops.heart_sinks import HeartSink
from edge_alpr.ops.heartbeat import (
    BoardBeat,
    Heartbeat,
    LevelBeat,
    Mark,
    camera_beats,
    keeping_up,
    list_beats,
    percentiles,
)
from edge_alpr.pipeline import iso_utc
from edge_alpr.timings import Recent
from edge_alpr.types import SourceCounters

FIRST_S = 5.0
"""The first heartbeat comes so long after the start, or sooner where they follow each other sooner."""
_MARKS = 30
"""The interval is known to a share of one in so many."""
_PATIENCE_S = 5.0
"""How long a sink that hangs may keep the drive from ending."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Signs:
    """What is asked for each heartbeat, on the heart's thread. None of it may wait."""

    device_id: str
    cameras: Callable[[], Mapping[str, SourceCounters]]
    board: Callable[[], BoardReading]
    told: Callable[[], tuple[int, int]]
    """Events confirmed and withdrawn so far."""
    models: Callable[[], dict[str, str]]
    spent: Recent
    """Milliseconds of each searched frame, in hand to told."""
    lists: Callable[[], Status | None] = lambda: None
    """What is known of the hot lists."""


class Heart:
    """Use it as a context manager; leaving it sends the last heartbeat."""

    def __init__(self, signs: Signs, sinks: Sequence[HeartSink], every_s: float) -> None:
        self._signs, self._sinks, self._every_s = signs, sinks, every_s
        self._level: LevelBeat | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._error = ""
        self._begun_s = time.monotonic()
        self._marks: deque[Mark] = deque([self._mark(self._begun_s)], maxlen=_MARKS + 1)
        self._failing: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def govern(self, governor: Governor) -> None:
        """Note the governor's level; a change is told at once. Call it on the thread that asks the governor."""
        changes = self._level.changes if self._level else 0
        if self._level is None or governor.changes != changes:
            self._level = LevelBeat.told_by(governor)
            if governor.changes != changes:
                self._wake.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._error = "" if error is None else str(error) or type(error).__name__
        self._closing.set()
        self._wake.set()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        name_this_thread("heartbeat")
        due_s = self._begun_s + min(self._every_s, FIRST_S)
        while True:
            changed = self._wake.wait(min(self._every_s / _MARKS, max(0.0, due_s - time.monotonic())))
            self._wake.clear()
            if self._closing.is_set():
                break
            now_s = time.monotonic()
            if changed or now_s >= due_s:
                self._send(self._beat(now_s, running=True))
            if now_s >= due_s:
                due_s = now_s + self._every_s
            if now_s - self._marks[-1].at_s >= self._every_s / _MARKS:
                self._marks.append(self._mark(now_s))
        self._send(self._beat(time.monotonic(), running=False))

    def _mark(self, now_s: float) -> Mark:
        return Mark.of(self._signs.cameras(), now_s, self._signs.spent.count)

    def _beat(self, now_s: float, running: bool) -> Heartbeat:
        signs, level, board = self._signs, self._level, self._signs.board()
        then, sources = self._marks[0], signs.cameras()
        cameras = camera_beats(then, Mark.of(sources, now_s), sources)
        p50, p99 = percentiles(signs.spent.since(then.timed))
        confirmed, withdrawn = signs.told()
        return Heartbeat(
            device_id=signs.device_id,
            timestamp=iso_utc(time.time_ns() // 1_000_000),
            running=running,
            error=self._error,
            keeping_up=keeping_up(cameras, level),
            uptime_s=round(now_s - self._begun_s, 1),
            interval_s=round(now_s - then.at_s, 2),
            cameras=cameras,
            p50_ms=p50,
            p99_ms=p99,
            level=level,
            board=BoardBeat(watts=board.watts, celsius=board.celsius, power_mode=board.power_mode),
            rss_mb=rss_mb(),
            confirmed=confirmed,
            withdrawn=withdrawn,
            models=signs.models(),
            software=__version__,
            hot_lists=list_beats(signs.lists(), time.time_ns() // 1_000_000),
        )

    def _send(self, beat: Heartbeat) -> None:
        for index, sink in enumerate(self._sinks):
            try:
                sink(beat)
                self._failing.discard(index)
            except Exception as error:  # one sink's fault, of whatever kind, must not stop the others nor the heart
                if index not in self._failing:
                    _log.warning("heartbeat not told: %s", error)
                self._failing.add(index)
