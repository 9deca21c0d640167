"""Beside the drive: measures the conditions, asks the governor, and has its level put into effect."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edge_alpr.device import BoardReading
from edge_alpr.ops.governor import Conditions, Governor, Level
from edge_alpr.types import SourceCounters

_log = logging.getLogger(__name__)
_WINDOW_S = 3.0
_FEWEST = 10
"""Frames from which a percentile says something."""
_EVERY_S = 0.25
"""How often the governor is asked."""
_SOONEST_S = 1.0
"""A shorter time says nothing of frames lost."""
_DRIFT = 1e-4
"""How fast a camera's clock may run away from ours, in seconds a second."""


@dataclass(frozen=True, slots=True)
class Sensors:
    """What is asked besides the frames themselves, for the most four times a second. None of it may wait."""

    board: Callable[[], BoardReading] = BoardReading
    speed_kmh: Callable[[], float | None] = lambda: None
    """None: not known."""
    cameras: Callable[[], Mapping[str, SourceCounters]] = dict
    """What each camera went through, by its id."""
    throttles_c: float | None = None
    """See `Board.throttles_c`."""


class Window:
    """Latencies of the latest seconds, in ms; of bounded size. The newest few stay, however slowly frames come."""

    def __init__(self, seconds: float = _WINDOW_S) -> None:
        self._seconds = seconds
        self._seen: deque[tuple[float, float]] = deque(maxlen=512)

    def add(self, ms: float, now_s: float) -> None:
        """Note one frame."""
        self._seen.append((now_s, ms))

    def p99(self, now_s: float) -> float | None:
        """The 99th percentile, None of too few frames. Up to 100 frames it is the second slowest: one is no sign."""
        while len(self._seen) > _FEWEST and self._seen[0][0] < now_s - self._seconds:
            self._seen.popleft()
        if len(self._seen) < _FEWEST:
            return None
        return float(np.percentile([ms for _, ms in self._seen], 99, method="lower"))

    def clear(self) -> None:
        """Forget: what comes is of another level."""
        self._seen.clear()


class FrameAge:
    """How much older frames are than the youngest one was: what a camera's own delay adds is no queue.

    The youngest age grows by the most that two clocks drift apart, so that drift never looks like a queue.
    """

    def __init__(self) -> None:
        self._least_ms: float | None = None
        self._now_s = 0.0

    def over_least_ms(self, age_ms: float, now_s: float) -> float:
        """The age of a frame against the least so far, in ms."""
        grown = (now_s - self._now_s) * _DRIFT * 1e3
        self._least_ms = age_ms if self._least_ms is None else min(age_ms, self._least_ms + grown)
        self._now_s = now_s
        return age_ms - self._least_ms


class Losses:
    """How many frames of a camera are lost over the latest seconds, those beyond `enough_fps` not counted."""

    def __init__(self, enough_fps: float, seconds: float = _WINDOW_S) -> None:
        self._enough_fps, self._seconds = enough_fps, seconds
        self._seen: deque[tuple[float, dict[str, tuple[int, int]]]] = deque(maxlen=64)

    def percent(self, cameras: Mapping[str, SourceCounters], now_s: float) -> float | None:
        """The share of the camera that loses most; None where no camera was watched for long enough."""
        while len(self._seen) > 1 and self._seen[1][0] <= now_s - self._seconds:
            self._seen.popleft()
        now = {name: (counters.frames, counters.dropped) for name, counters in cameras.items()}
        self._seen.append((now_s, now))
        then_s, then = self._seen[0]
        if now_s - then_s < _SOONEST_S:
            return None
        enough = self._enough_fps * (now_s - then_s)
        return max((_lost(then[name], now[name], enough) for name in then.keys() & now.keys()), default=None)

    def clear(self) -> None:
        """Forget: what comes is of another level."""
        self._seen.clear()


def _lost(then: tuple[int, int], now: tuple[int, int], enough: float) -> float:
    """In percent, of frames taken and dropped until then and now."""
    taken, dropped = now[0] - then[0], now[1] - then[1]
    wanted = min(taken + dropped, enough)
    return 100.0 * max(0.0, 1.0 - taken / wanted) if wanted > 0 else 0.0


class Steering:
    """Hears of every frame, and calls `apply` with a level whenever it changes. Not thread-safe."""

    def __init__(self, governor: Governor, apply: Callable[[Level], None], sensors: Sensors | None = None) -> None:
        self.governor = governor
        self._apply = apply
        self._sensors = sensors or Sensors()
        self._window = Window()
        self._ages: defaultdict[str, FrameAge] = defaultdict(FrameAge)
        self._losses = Losses(governor.limits.enough_fps)
        self._queue: list[float] = []
        self._asked_s = float("-inf")

    def frame(self, stamp_ns: int, took_ns: int, searched: bool, now_ns: int, camera_id: str = "") -> None:
        """A frame of `stamp_ns` is done: `took_ns` after its turn came, `now_ns` on the stamps' clock."""
        now_s = now_ns / 1e9
        self._queue.append(self._ages[camera_id].over_least_ms((now_ns - took_ns - stamp_ns) / 1e6, now_s))
        if searched:
            self._window.add(took_ns / 1e6, now_s)
        if now_s - self._asked_s >= _EVERY_S:
            self._ask(now_s)

    def _ask(self, now_s: float) -> None:
        before = self.governor.changes
        board = self._sensors.board()
        level = self.governor.decide(self._conditions(board, now_s), now_s)
        self._asked_s = now_s
        self._queue.clear()
        if self.governor.changes == before:
            return
        self._window.clear()
        self._losses.clear()
        self._apply(level)
        reason = self.governor.last.reason if self.governor.last else ""
        mode = f" (power mode {board.power_mode})" if board.power_mode else ""
        _log.info("governor: level %d, %s: %s%s", self.governor.place, level.name, reason, mode)

    def _conditions(self, board: BoardReading, now_s: float) -> Conditions:
        return Conditions(
            p99_ms=self._window.p99(now_s),
            queue_ms=float(np.median(self._queue)) if self._queue else None,
            lost_percent=self._losses.percent(self._sensors.cameras(), now_s),
            watts=board.watts,
            celsius=board.celsius,
            speed_kmh=self._sensors.speed_kmh(),
        )
