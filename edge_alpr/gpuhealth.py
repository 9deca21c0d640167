"""Whether a drive's GPU can be counted on: a call that fails is made up for, one that ends everything is believed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edge_alpr.errors import EdgeAlprError, GpuLostError

MOST_IN_A_ROW = 5
"""Faults without a good frame between them: then the GPU is given up."""
_log = logging.getLogger(__name__)


class GpuHealth:
    """Shared by what lends frames and what runs on them. `given_up` is called once, with the reason."""

    def __init__(self, given_up: Callable[[str], None] = lambda reason: None) -> None:
        self.faults = 0
        """Calls that failed so far; their frames went to the processor, or their plates stayed unread in them."""
        self.lost = ""
        """Why the GPU is not used any more in this drive; empty while it is."""
        self._row = 0
        self._given_up = given_up
        self._lock = threading.Lock()

    @property
    def status(self) -> str:
        """What is not as usual, in a few words; empty where all is."""
        return "GPU given up, the processor reads" if self.lost else ""

    def good(self) -> None:
        """A frame went through."""
        self._row = 0

    def give_up(self, reason: str) -> None:
        """It is not to be used in this drive, or no more."""
        with self._lock:
            if self.lost:
                return
            self.lost = reason
        _log.error("the GPU is given up, the processor reads from now on: %s", reason)
        self._given_up(reason)

    def fault(self, error: EdgeAlprError) -> None:
        """A call failed. The first of a row is told, and the one that ends it."""
        reason = str(error)  # a logged error would hold the frame that its traceback saw
        with self._lock:
            self.faults += 1
            self._row += 1
            last = isinstance(error, GpuLostError) or self._row >= MOST_IN_A_ROW
            if self._row == 1 and not last:
                _log.warning("the GPU failed for a frame; the processor reads it, else it is passed over: %s", reason)
        if last:
            self.give_up(reason)
