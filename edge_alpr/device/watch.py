"""Reads a board beside the drive, so that a sensor that is slow, or hangs, holds up neither frames nor heartbeats."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_alpr.device.board import BoardReading
from edge_alpr.device.host import name_this_thread

_STALE = 5
"""A reading is too old to be told after so many periods."""
_PATIENCE_S = 2.0
"""How long a reading at the end is waited for."""


class BoardWatch:
    """Reads each `every_s` seconds, for the first time after as many, on a thread of its own.

    `hear` is told each reading on that thread; `latest` may be asked from any.
    """

    def __init__(
        self,
        read: Callable[[], BoardReading],
        every_s: float = 1.0,
        hear: Callable[[BoardReading], None] = lambda reading: None,
        name: str = "board",
    ) -> None:
        self._read, self._every_s, self._hear = read, every_s, hear
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(name,), name=name, daemon=True)
        self._newest = (float("-inf"), BoardReading())

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def latest(self) -> BoardReading:
        """The newest reading; nothing is known before the first, nor while the board has not answered for long."""
        at_s, reading = self._newest
        return reading if time.monotonic() - at_s < _STALE * self._every_s else BoardReading()

    def stop(self) -> None:
        """End with a last reading, unless the board does not answer. Stopping twice is fine."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_S)

    def _run(self, name: str) -> None:
        name_this_thread(name)
        stopped = False
        while not stopped:
            stopped = self._stop.wait(self._every_s)
            reading = self._read()
            self._newest = time.monotonic(), reading
            self._hear(reading)
