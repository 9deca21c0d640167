"""What is known from the GPS receiver: its latest fixes and its time. Fed by one thread, asked by others."""

from __future__ import annotations

import threading
from collections import deque

from edge_alpr.position.estimate import Estimate
from edge_alpr.position.reports import Fix, Heard, understand

_FIXES = 128
"""Enough to find the fix of a plate that was last seen some seconds ago, at 10 fixes a second."""
_TIMES = 32


class Receiver:
    """Remembers bounded numbers of fixes and times. Thread-safe."""

    def __init__(self, stale_s: float) -> None:
        """A fix says nothing of moments more than `stale_s` away."""
        self._stale_ns = int(stale_s * 1e9)
        self._lock = threading.Lock()
        self._fixes: deque[Fix] = deque(maxlen=_FIXES)
        self._times: deque[Estimate] = deque(maxlen=_TIMES)
        self.no_fix_ns: int | None = None
        """When the receiver said last that it does not know where it is, by the monotonic clock."""
        self.garbage = 0
        """Lines that were none of gpsd's."""

    def take(self, line: bytes, heard: Heard) -> None:
        """One line from gpsd."""
        try:
            report = understand(line, heard)
        except ValueError:
            self.garbage += 1
            return
        with self._lock:
            if report.fix is not None:
                self._fixes.append(report.fix)
            if report.time is not None:
                self._times.append(report.time)
            if report.no_fix:
                self.no_fix_ns = heard.monotonic_ns

    def time(self) -> Estimate | None:
        """The surest of the latest times; of equal ones that which was under way the least."""
        with self._lock:
            times = tuple(self._times)
        if not times:
            return None
        now_ns = times[-1].at_ns
        return min(times, key=lambda one: (round(one.error_at(now_ns)), -one.offset_ns))

    def fix(self, at_ns: int) -> Fix | None:
        """The fix nearest to a moment of the monotonic clock; None where none is near enough.

        A moment after the receiver lost its satellites has none.
        """
        with self._lock:
            fixes, gone_ns = tuple(self._fixes), self.no_fix_ns
        if not fixes or (gone_ns is not None and fixes[-1].at_ns <= gone_ns <= at_ns):
            return None
        nearest = min(fixes, key=lambda fix: abs(fix.at_ns - at_ns))
        return nearest if abs(nearest.at_ns - at_ns) <= self._stale_ns else None
