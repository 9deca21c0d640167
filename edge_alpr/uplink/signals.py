"""Ends the uplink on SIGINT and SIGTERM; on SIGHUP it begins anew with the configuration as it is then."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_alpr.errors import EdgeAlprError
from edge_alpr.service import Manager, aside
from edge_alpr.uplink.service import Uplink

_log = logging.getLogger(__name__)


@contextmanager
def reloading(make: Callable[[], Uplink], manager: Manager) -> Iterator[Iterator[Uplink]]:
    """Uplinks one after the other, the next one for each SIGHUP; a configuration that is wrong changes nothing."""
    handlers = _Handlers(make(), manager)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handlers.heard) for number in numbers}
    try:
        yield handlers.uplinks(make)
    finally:
        manager.stopping()
        for number, handler in before.items():
            signal.signal(number, handler)


class _Handlers:
    def __init__(self, first: Uplink, manager: Manager) -> None:
        self._running, self._manager = first, manager
        self._again = False

    def heard(self, number: int, _frame: object) -> None:
        self._again = number == signal.SIGHUP
        if self._again:
            self._manager.reloading()
        aside(self._running.stop)

    def uplinks(self, make: Callable[[], Uplink]) -> Iterator[Uplink]:
        yield self._running
        while self._again:
            self._again = False
            try:
                self._running = make()
            except EdgeAlprError as error:
                _log.error("the configuration is not taken: %s", error)
                self._running = self._running.again()
            yield self._running
