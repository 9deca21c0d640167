"""How fast a transfer may be, and how slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_alpr.errors import UpdateUnreachableError

_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Link:
    """The line to the servers, and what is asked of it."""

    url: str
    """Where both repositories lie, `https://…`; http only on loopback."""
    ca_file: str = ""
    """PEM of the authority that the servers' certificate is of; empty: those of the system."""
    bandwidth_bytes_s: int = 0
    """The most that a download takes; 0: no limit."""
    connect_s: float = 10.0
    silence_s: float = 20.0
    """The longest wait for the next byte."""
    answer_s: float = 30.0
    """The longest wait for a whole answer's head."""
    slowest_bytes_s: int = 1024
    """Slower than that over `window_s`, and the line counts as dead."""
    window_s: float = 30.0
    tries: int = 4
    """In a row that bring nothing, before it is given up for now."""
    pause_s: float = 1.0
    """After the first of them; it doubles, with some chance in it, up to a minute."""
    reserve_bytes: int = 64 << 20
    """What stays free on the data partition."""

    @property
    def chunk_bytes(self) -> int:
        """What is read at once: under a limit, what comes in a quarter of a second, so that a stop is quick."""
        return min(_CHUNK_BYTES, max(self.bandwidth_bytes_s // 4, 1)) if self.bandwidth_bytes_s else _CHUNK_BYTES


class Pace:
    """The pace of one transfer. `wait` sleeps so many seconds; it returns True where all is to stop."""

    def __init__(
        self, link: Link, wait: Callable[[float], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._link = link
        self._wait = wait
        self._clock = clock
        self._free_at = self._window_at = clock()
        self._count = 0

    def took(self, count: int) -> None:
        """Hear of bytes that came; waits where they came too fast. Raises `UpdateUnreachableError` where too slow."""
        now = self._clock()
        self._count += count
        took_s = now - self._window_at
        if took_s >= self._link.window_s:
            if self._count < self._slowest_bytes_s * took_s:
                speed = f"{self._count / took_s:.0f} bytes/s over {took_s:.0f} s"
                raise UpdateUnreachableError(f"the server is too slow ({speed}); it goes on where it ended, later")
            self._window_at, self._count = now, 0
        self._hold(now, count)

    @property
    def _slowest_bytes_s(self) -> float:
        limit = self._link.bandwidth_bytes_s
        return min(self._link.slowest_bytes_s, limit / 2) if limit else self._link.slowest_bytes_s

    def _hold(self, now: float, count: int) -> None:
        limit = self._link.bandwidth_bytes_s
        self._free_at = max(self._free_at, now) + (count / limit if limit else 0.0)
        if self._wait(max(self._free_at - now, 0.0)):
            raise UpdateUnreachableError("the download was stopped; it goes on where it ended")
