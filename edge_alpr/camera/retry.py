"""When to try a lost camera again: growing pauses within a budget. No clock of its own."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


class Outage:
    """Counts the time without pictures. `now_s` values are monotonic seconds."""

    def __init__(self, budget_s: float, now_s: float, chance: Callable[[], float] = random.random) -> None:
        self._budget_s = budget_s
        self._chance = chance
        self._since_s = now_s
        self._pause_s = FIRST_PAUSE_S

    def over(self, now_s: float) -> None:
        """A picture came."""
        self._since_s = now_s
        self._pause_s = FIRST_PAUSE_S

    def next_pause_s(self, now_s: float) -> float | None:
        """How long to wait before the next try, or None when the budget is spent.

        Doubles from try to try, varies by a quarter so that many devices do not knock at once, and is cut
        so that there is a last try when the budget ends.
        """
        left = self._since_s + self._budget_s - now_s
        if left <= 0:
            return None
        pause = self._pause_s * (0.75 + 0.5 * self._chance())
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return min(pause, left)
