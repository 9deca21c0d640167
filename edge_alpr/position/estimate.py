"""Which of several notions of the time is to be believed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

ClockSource: TypeAlias = Literal["gps", "ntp", "rtc", "unset"]
EARLIEST_NS = 1_767_225_600 * 10**9
"""2026: this program is no older, so a clock that shows less was never set."""
DRIFT = 1e-4
"""How fast a board's oscillator may run away from the time it was set to, in seconds a second."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Somebody's notion of the time: UTC is the monotonic clock plus `offset_ns`."""

    source: ClockSource
    offset_ns: int
    at_ns: int
    """When it was so, by the monotonic clock."""
    error_ms: float | None
    """At most so far off, then; None: not known."""

    def error_at(self, now_ns: int) -> float:
        """How far off it may be now, in ms; infinite where that is not known."""
        if self.error_ms is None:
            return float("inf")
        return self.error_ms + DRIFT * max(0, now_ns - self.at_ns) / 1e6


def believed(held: Estimate | None, offered: Sequence[Estimate], now_ns: int) -> Estimate:
    """The estimate with the least error; `offered` holds one at least.

    What was believed before goes on being so, its error growing, until its own source says something newer or
    another is better. Of those whose error is not known, the one offered last: there is nothing to hold on to.
    """
    news = {estimate.source: estimate for estimate in offered}
    keeps = held is not None and held.error_ms is not None and held.source not in news
    candidates = [*([held] if keeps and held else []), *offered]
    least = min(estimate.error_at(now_ns) for estimate in candidates)
    return [estimate for estimate in candidates if estimate.error_at(now_ns) == least][-1]
