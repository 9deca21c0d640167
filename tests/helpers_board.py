"""A small board that gets warm, throttles and runs out of time: what a governor steers. Seeded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from edge_alpr.config import GovernorConfig
from edge_alpr.ops.governor import Conditions, Governor, Level
from edge_alpr.ops.steering import Losses
from edge_alpr.types import SourceCounters

Curve = Callable[[float], float]
"""Something over the seconds of a drive."""

STEP_S = 0.25
FOLLOW_MS, DETECT_MS, READ_MS = 3.0, {"large": 14.0, "small": 7.8}, 2.0
"""Of a frame at full clocks: its motion, its search, each plate that is read."""
IDLE_W, BUSY_W = 4.0, 10.0
KELVIN_PER_W, TAU_S = 3.0, 90.0
THROTTLE_C, RELEASE_C, THROTTLED = 97.0, 92.0, 0.5
"""Too warm, the clocks fall to a half, until it is cooler again."""
REST_C = 45.0


def _mild(at_s: float) -> float:
    return 20.0


def _two(at_s: float) -> float:
    return 2.0


def _full(at_s: float) -> float:
    return 1.0


def always(value: float) -> Curve:
    return lambda at_s: value


def between(start_s: float, end_s: float, inside: float, outside: float) -> Curve:
    return lambda at_s: inside if start_s <= at_s < end_s else outside


@dataclass
class Board:
    """One RC element for the heat, clocks by power mode and throttling, a camera with a second of buffers.

    Or a camera that `drops` at once: of what it sent, the newest frame waits.
    """

    ambient_c: Curve = _mild
    plates: Curve = _two
    clock: Curve = _full
    """Share of the full clocks."""
    seed: int = 0
    fps: float = 30.0
    drops: bool = False
    celsius: float = REST_C
    throttled: bool = False
    queue_ms: float = 0.0
    counters: SourceCounters = field(init=False, default_factory=SourceCounters)
    losses: Losses = field(init=False, default_factory=lambda: Losses(GovernorConfig().enough_fps))
    level: Level | None = field(init=False, default=None)
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def step(self, level: Level, at_s: float) -> Conditions:
        """A quarter of a second at a level, and what sensors say of it."""
        speed = self.clock(at_s) * (THROTTLED if self.throttled else 1.0)
        plates = min(self.plates(at_s), level.reads or 99)
        search_ms = (FOLLOW_MS + DETECT_MS[level.tier] + READ_MS * plates) / speed
        mean_ms = (search_ms + (level.interval - 1) * FOLLOW_MS / speed) / level.interval
        busy = min(mean_ms * self.fps / 1e3, 1.0)
        self._queue(mean_ms)
        told = self._measured(search_ms, self._warm(IDLE_W + BUSY_W * busy * speed, at_s))
        return replace(told, lost_percent=self._lost(level, at_s))

    def _queue(self, mean_ms: float) -> None:
        taken_fps = min(1e3 / mean_ms, self.fps)
        whole = self.rng.random()  # frames come whole: rounded up as often as the rest is large
        taken = int(STEP_S * taken_fps + whole)
        self.counters.frames += taken
        if self.drops:
            self.counters.dropped += int(STEP_S * self.fps + whole) - taken
            return
        grown = STEP_S * 1e3 * (1 - 1e3 / self.fps / mean_ms)
        self.queue_ms = min(max(self.queue_ms + grown, 0.0), 1000.0)

    def _lost(self, level: Level, at_s: float) -> float | None:
        """As `Steering` has it: what comes is of another level."""
        if level is not self.level:
            self.losses.clear()
            self.level = level
        return self.losses.percent({"camera0": self.counters}, at_s)

    def _warm(self, watts: float, at_s: float) -> float:
        aim = self.ambient_c(at_s) + KELVIN_PER_W * watts
        self.celsius += (aim - self.celsius) * STEP_S / TAU_S
        self.throttled = self.celsius > (RELEASE_C if self.throttled else THROTTLE_C)
        return watts

    def _measured(self, search_ms: float, watts: float) -> Conditions:
        noise = self.rng.normal(0, 1, 4)
        return Conditions(
            p99_ms=search_ms * float(1.05 + 0.02 * noise[0]),
            queue_ms=max(0.0, self.queue_ms + float(3 * noise[1])),
            watts=watts + float(0.2 * noise[2]),
            celsius=self.celsius + float(0.3 * noise[3]),
        )


@dataclass(frozen=True)
class Moment:
    """One step of a drive: what was measured truly, and the level that followed."""

    at_s: float
    told: Conditions
    celsius: float
    throttled: bool
    place: int
    frames: int
    """Taken so far."""


@dataclass(frozen=True)
class Log:
    """A drive on the board."""

    moments: list[Moment]

    @property
    def changes_s(self) -> list[float]:
        return [b.at_s for a, b in pairwise(self.moments) if a.place != b.place]

    @property
    def most_changes_a_minute(self) -> int:
        times = self.changes_s
        return max((sum(at <= other < at + 60 for other in times) for at in times), default=0)

    @property
    def hottest(self) -> float:
        return max(moment.celsius for moment in self.moments)

    def longest_over_s(self, limit_ms: float) -> float:
        """The longest time without a break that the p99 was over its limit."""
        longest = run = 0.0
        for moment in self.moments:
            assert moment.told.p99_ms is not None
            run = run + STEP_S if moment.told.p99_ms > limit_ms else 0.0
            longest = max(longest, run)
        return longest

    def fps(self, start_s: float, end_s: float) -> float:
        """Frames taken a second."""
        taken = [moment.frames for moment in self.moments if start_s <= moment.at_s < end_s]
        return (taken[-1] - taken[0]) / ((len(taken) - 1) * STEP_S)

    def places(self, start_s: float, end_s: float) -> list[int]:
        return [moment.place for moment in self.moments if start_s <= moment.at_s < end_s]


def drive(
    board: Board,
    governor: Governor,
    seconds: float,
    sensors: Callable[[Conditions, float], Conditions] = lambda told, at_s: told,
) -> Log:
    """A governor on a board; `sensors` may lie about the conditions or keep them back."""
    moments = []
    for step in range(int(seconds / STEP_S)):
        at_s = step * STEP_S
        told = board.step(governor.level, at_s)
        governor.decide(sensors(told, at_s), at_s)
        moments.append(Moment(at_s, told, board.celsius, board.throttled, governor.place,
                              board.counters.frames))  # fmt: skip
    return Log(moments)
