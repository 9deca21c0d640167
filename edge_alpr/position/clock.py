"""A wall clock that hangs on the monotonic one, so that a jump of the system's clock bends nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from edge_alpr.position.estimate import ClockSource, Estimate, believed
from edge_alpr.position.kernel import SYSTEM, KernelTime, SystemClock

_log = logging.getLogger(__name__)
_STEP_NS = 10**9
"""Corrections of less are spread over time, so that the clock never goes back for them."""
_SLEW = 0.1
"""How much faster or slower the clock then runs."""
_APART_MS = 1000.0
"""Two sources further apart than their errors and so much contradict each other."""


class AnchoredClock:
    """UTC as the monotonic clock plus an offset, which is that of the best source there is.

    The system's clock is believed while somebody keeps it (NTP); GPS time where that is better; what was known
    before, with an error that grows, where both are gone. An offset that turns out to be wrong is corrected: by
    less than a second gradually, by more at once, with a line in the log. Moments asked for again after that have
    the right time, too. Thread-safe. A `ports.Clock`.
    """

    def __init__(
        self, clocks: SystemClock = SYSTEM, satellites: Callable[[], Estimate | None] = lambda: None
    ) -> None:
        """`satellites`: the newest GPS time, if it was ever heard."""
        self._clocks = clocks
        self._kernel = KernelTime(clocks)
        self._satellites = satellites
        self._lock = threading.Lock()
        self._warned = False
        self._held = self._best(None)
        self._offset_ns = self._held.offset_ns
        self._looked_ns = clocks.monotonic_ns()

    def epoch_ms(self) -> int:
        """UTC now, in ms since 1970."""
        return self.at(self._clocks.monotonic_ns())

    def at(self, monotonic_ns: int) -> int:
        """UTC at a moment of the monotonic clock, in ms since 1970, as far as it is known now."""
        with self._lock:
            self._look()
            return (monotonic_ns + self._offset_ns) // 1_000_000

    def source(self) -> ClockSource:
        """Who set the clock, as of when it was asked last."""
        return self._held.source

    def error_ms(self) -> float | None:
        """How far off it is at most, in ms, as of when it was asked last; None where that is not known."""
        with self._lock:
            if self._held.error_ms is None:
                return None
            pending_ms = abs(self._held.offset_ns - self._offset_ns) / 1e6
            return round(self._held.error_at(self._looked_ns) + pending_ms, 3)

    def _best(self, held: Estimate | None) -> Estimate:
        kernel, gps = self._kernel.look(), self._satellites()
        if gps is not None and kernel.error_ms is not None and not self._warned:
            apart_ms = abs(gps.offset_ns - kernel.offset_ns) / 1e6
            self._warned = apart_ms > gps.error_at(kernel.at_ns) + kernel.error_ms + _APART_MS
            if self._warned:
                _log.warning("clock: GPS and NTP are %s apart; the surer one is believed", _span(apart_ms * 1e6))
        return believed(held, [kernel] if gps is None else [kernel, gps], kernel.at_ns)

    def _look(self) -> None:
        now_ns = self._clocks.monotonic_ns()
        self._held, before = self._best(self._held), self._held
        missing_ns = self._held.offset_ns - self._offset_ns
        if abs(missing_ns) >= _STEP_NS:
            way = "forwards" if missing_ns > 0 else "back"
            _log.warning("clock: set %s by %s (%s)", way, _span(missing_ns), self._held.source)
            self._offset_ns = self._held.offset_ns
        else:
            if self._held.source != before.source:
                _log.info("clock: from %s now, before from %s", self._held.source, before.source)
            most_ns = int(_SLEW * max(0, now_ns - self._looked_ns))
            self._offset_ns += max(-most_ns, min(most_ns, missing_ns))
        self._looked_ns = now_ns


def _span(nanoseconds: float) -> timedelta:
    return timedelta(seconds=round(abs(nanoseconds) / 1e9))
