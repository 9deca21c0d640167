"""Who takes events to a target: one thread each, in order, until the target has them."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Protocol

from edge_alpr.uplink.waiting import Waiting

_WORTH_TELLING_S = 5.0
_log = logging.getLogger(__name__)


class Courier(Protocol):
    """Takes the events of one target there."""

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. What it raises is a fault of the program."""

    def beat(self, beat: dict[str, Any]) -> None:
        """Send a heartbeat soon, if the target wants them. From any thread."""


class Outage:
    """Says once that a target has taken nothing for some seconds, and once that it does again."""

    def __init__(self, name: str, waiting: Waiting) -> None:
        self._name, self._waiting = name, waiting
        self._since_s: float | None = None
        self._told = False

    def goes_on(self, reason: str) -> None:
        """It takes nothing."""
        self._waiting.trouble = reason
        self._since_s = self._since_s or time.monotonic()
        if not self._told and time.monotonic() - self._since_s >= _WORTH_TELLING_S:
            self._told = True
            _log.warning("%s takes nothing, %d events wait: %s", self._name, len(self._waiting), reason)

    def is_over(self) -> None:
        """It takes something."""
        if self._told:
            _log.warning("%s works again, %d events wait", self._name, len(self._waiting))
        self._waiting.trouble, self._since_s, self._told = "", None, False
