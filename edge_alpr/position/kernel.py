"""What the kernel knows of its clock: whether somebody keeps it right, by how much, and what the board's own shows."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.position.estimate import EARLIEST_NS, Estimate

_UNSYNC = 0x40
_LONG = ctypes.c_long
_NEAR_NS = 5 * 10**9
"""A clock that was set from another one still shows its time, within so much."""


class _Timex(ctypes.Structure):
    """`struct timex` of <sys/timex.h>."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, _LONG) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, _LONG) for name in ("constant", "precision", "tolerance", "sec", "usec", "tick", "ppsfreq", "jitter")),
        ("shift", ctypes.c_int),
        *((name, _LONG) for name in ("stabil", "jitcnt", "calcnt", "errcnt", "stbcnt")),
        ("tai", ctypes.c_int),
        ("spare", ctypes.c_int * 11),
    )


def kept_within_ms() -> float | None:
    """How far the kernel's clock is off at most, as it says itself; None where nobody keeps it (NTP) or it can't say.

    Needs no privilege: it only asks.
    """
    asked = _Timex()
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(None).adjtimex(ctypes.byref(asked)) >= 0 and not asked.status & _UNSYNC:
            return float(asked.maxerror) / 1e3
    return None


def board_clock_ns(root: Path = Path("/")) -> int | None:
    """What the board's own clock shows, UTC in ns, to the second; None where there is none, or it was never set."""
    for clock in sorted(root.glob("sys/class/rtc/rtc*/since_epoch")):
        with suppress(OSError, ValueError):
            shown_ns = int(clock.read_text(encoding="ascii")) * 10**9
            if shown_ns > EARLIEST_NS:
                return shown_ns
    return None


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The computer's clocks; tests have others."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    system_ns: Callable[[], int] = time.time_ns
    kept_within_ms: Callable[[], float | None] = kept_within_ms
    board_ns: Callable[[], int | None] = board_clock_ns


SYSTEM = SystemClock()


class KernelTime:
    """What the system's clock says, and how much that is worth."""

    def __init__(self, clocks: SystemClock) -> None:
        """Asks the board's clock, once: that may take it a while."""
        self._clocks = clocks
        board_ns = clocks.board_ns()
        self._board_offset_ns = None if board_ns is None else board_ns - clocks.monotonic_ns()

    def look(self) -> Estimate:
        """The system's clock now."""
        before_ns = self._clocks.monotonic_ns()
        system_ns = self._clocks.system_ns()
        offset_ns = system_ns - before_ns
        within_ms = self._clocks.kept_within_ms()
        if within_ms is not None and system_ns > EARLIEST_NS:
            return Estimate("ntp", offset_ns, before_ns, within_ms)
        return Estimate("rtc" if self._is_the_board_s(offset_ns) else "unset", offset_ns, before_ns, None)

    def _is_the_board_s(self, offset_ns: int) -> bool:
        return self._board_offset_ns is not None and abs(offset_ns - self._board_offset_ns) < _NEAR_NS
