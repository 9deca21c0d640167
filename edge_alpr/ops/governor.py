"""How much to do for each frame, from what was measured. Pure: no clock, no board, no pipeline of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edge_alpr.config import GovernorConfig, Tier


@dataclass(frozen=True, slots=True)
class Level:
    """What is done at one level: which detector, in every how-manyth frame, and how many plates of a frame are read."""

    name: str
    tier: Tier
    interval: int
    reads: int | None
    """None: all that are found."""


LEVELS = (
    #     name          detector  every  reads
    Level("full",       "large",    1,   None),
    Level("fewer reads", "large",   1,      6),
    Level("half",       "large",    2,      6),
    Level("small",      "small",    2,      4),
    Level("third",      "small",    3,      3),
    Level("least",      "small",    5,      2),
)  # fmt: skip
"""From all to least; each asks less of the board than the one before."""
SLOW_LEVEL = 2
"""Enough where the car hardly moves."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What was measured; None (or a number that is not finite) where it is not known. Names are those of the limits."""

    p99_ms: float | None = None
    queue_ms: float | None = None
    lost_percent: float | None = None
    watts: float | None = None
    celsius: float | None = None
    speed_kmh: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """How one condition is judged against its limit."""

    name: str
    said: str
    unit: str
    share: float
    """Well inside is below this share of the limit ..."""
    slack: float
    """... less this much."""
    cool_off_s: float
    """How long a change takes to show in this condition."""


RULES = (
    #    condition       said            unit  share slack cool-off
    Rule("p99_ms",       "p99 ",         "ms", 0.85, 0.0,  2.0),
    Rule("queue_ms",     "frame age ",   "ms", 0.85, 0.0,  2.0),
    Rule("lost_percent", "frames lost ", "%",  0.5,  0.0,  2.0),
    Rule("watts",        "",             "W",  0.85, 0.0,  3.0),
    Rule("celsius",      "",             "°C", 1.0,  6.0,  5.0),
)  # fmt: skip
COOL_OFF_S = min(rule.cool_off_s for rule in RULES)
"""No two steps down follow each other sooner."""
DWELL_S, DWELL_MOST_S = 15.0, 240.0
"""How long all must be well inside before a step up. Doubled, up to the most, by each step up that did not last."""
REGRET_S = 90.0
"""A step up that is taken back within so long did not last."""
BELOW_THROTTLE_C = 5.0
"""How far below the heat at which a board slows itself down the limit lies, where the board is to say."""
_FASTER = 1.25
"""Well above `slow_kmh` is so many times that."""


@dataclass(frozen=True, slots=True)
class Change:
    """A step from one level to the next, by their place in the table, and why, in words."""

    at_s: float
    before: int
    after: int
    reason: str


def limits_on(limits: GovernorConfig, throttles_c: float | None) -> GovernorConfig:
    """The limits with the heat in degrees, on a board that slows itself down at `throttles_c` (None: unknown)."""
    if limits.celsius != "board":
        return limits
    return msgspec.structs.replace(limits, celsius=max(0.0, throttles_c - BELOW_THROTTLE_C) if throttles_c else 0.0)


class Governor:
    """Chooses a level: down at once, one level for each cool-off; up after a dwell with all well inside the limits.

    A condition that is not known never causes a change. While one that forced a step down is unknown, nothing
    steps up: a lost sensor is no sign of a cool board. Limits left to the board are none until `limits_on` sets them.
    """

    def __init__(self, limits: GovernorConfig, levels: Sequence[Level] = LEVELS, dwell_s: float = DWELL_S) -> None:
        self.limits = limits_on(limits, None)
        self._levels = levels
        self._causes: set[str] = set()
        self._least_dwell_s = self._dwell_s = dwell_s
        self._inside_since_s: float | None = None
        self._changed_s = self._fell_s = self._rose_s = -math.inf
        self.place = 0
        """Of the level in the table, 0 is full."""
        self.last: Change | None = None
        self.changes = 0

    @property
    def level(self) -> Level:
        """The present level."""
        return self._levels[self.place]

    @property
    def least(self) -> int:
        """The place of the level that asks the least."""
        return len(self._levels) - 1

    @property
    def status(self) -> str:
        """The level and why in a few words; empty at the full one."""
        if self.place == 0 or self.last is None:
            return ""
        return f"level {self.place} of {self.least}, {self.level.name}: {self.last.reason}"

    def decide(self, conditions: Conditions, now_s: float) -> Level:
        """The level from now on; `now_s` is any clock that does not go back."""
        over = [rule for rule in RULES if self._is_over(rule, conditions)]
        slow = self._is_slow(conditions, 1.0)
        if over or (slow and self.place < SLOW_LEVEL):
            self._inside_since_s = None
            self._fall(over, conditions, now_s)
        elif self.place and self._may_rise(conditions):
            self._wait_or_rise(now_s)
        else:
            self._inside_since_s = None
        return self.level

    def _fall(self, over: Sequence[Rule], conditions: Conditions, now_s: float) -> None:
        self._causes.update(rule.name for rule in over)
        cool_off_s = min((rule.cool_off_s for rule in over), default=COOL_OFF_S)
        if self.place == self.least or now_s - self._changed_s < cool_off_s:
            return
        if now_s - self._rose_s < REGRET_S:
            self._dwell_s = min(2 * self._dwell_s, DWELL_MOST_S)
            self._rose_s = -math.inf
        self._fell_s = now_s
        self._change(1, self._complaint(over, conditions), now_s)

    def _complaint(self, over: Sequence[Rule], conditions: Conditions) -> str:
        said = []
        for rule in over:
            value = _known(getattr(conditions, rule.name))
            said.append(f"{rule.said}{value:.1f} {rule.unit} over {self._limit(rule):g} {rule.unit}")
        if not said:
            self._causes.add("speed_kmh")
            return f"{conditions.speed_kmh:.0f} km/h under {self.limits.slow_kmh:g} km/h"
        return ", ".join(said)

    def _wait_or_rise(self, now_s: float) -> None:
        if self._inside_since_s is None:
            self._inside_since_s = now_s
        if now_s - self._fell_s > DWELL_MOST_S:
            self._dwell_s = self._least_dwell_s
        since_s = max(self._inside_since_s, self._changed_s)
        if now_s - since_s >= self._dwell_s:
            self._rose_s = now_s
            self._change(-1, f"well inside all limits for {now_s - since_s:.0f} s", now_s)

    def _change(self, step: int, reason: str, now_s: float) -> None:
        self.last = Change(now_s, self.place, self.place + step, reason)
        self.place += step
        self.changes += 1
        self._changed_s = now_s
        if self.place == 0:
            self._causes.clear()

    def _limit(self, rule: Rule) -> float:
        return float(getattr(self.limits, rule.name))

    def _is_over(self, rule: Rule, conditions: Conditions) -> bool:
        limit, value = self._limit(rule), _known(getattr(conditions, rule.name))
        return limit > 0 and value is not None and value > limit

    def _may_rise(self, conditions: Conditions) -> bool:
        """All known conditions are well inside, those that forced this level are known, and the car is not slow."""
        if any(_known(getattr(conditions, name)) is None for name in self._causes):
            return False
        if self.place <= SLOW_LEVEL and self._is_slow(conditions, _FASTER):
            return False
        return all(self._is_inside(rule, conditions) for rule in RULES)

    def _is_inside(self, rule: Rule, conditions: Conditions) -> bool:
        limit, value = self._limit(rule), _known(getattr(conditions, rule.name))
        return limit <= 0 or value is None or value <= limit * rule.share - rule.slack

    def _is_slow(self, conditions: Conditions, factor: float) -> bool:
        speed = _known(conditions.speed_kmh)
        return speed is not None and speed < self.limits.slow_kmh * factor


def _known(value: float | None) -> float | None:
    """The value, None where it is no number."""
    return value if value is not None and math.isfinite(value) else None
