"""An event on its way out: stored first, then told to every sink, at least once and in order."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from edge_alpr.errors import OutputClosedError
from edge_alpr.ports import Sink
from edge_alpr.sinks.pictures import Pictures
from edge_alpr.sinks.store import EventStore
from edge_alpr.types import Event

_BATCH = 256
_log = logging.getLogger(__name__)


class Start(Enum):
    """Where a sink begins in what is stored."""

    OLDEST = "oldest"
    """After its own cursor; a new sink hears of everything stored, e.g. a server that wants all of it."""
    JOINED = "joined"
    """After its own cursor; a new sink begins with this run, e.g. a file named on the command line."""
    NOW = "now"
    """With this run, always; no cursor is kept, for a sink without a memory: the screen, standard output."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A sink, and where it begins."""

    sink: Sink
    start: Start


@dataclass(slots=True)
class Delivery:
    """How it goes with one sink: `cursor` is the `seq` up to which it has heard everything."""

    cursor: int
    told: int = 0
    failures: int = 0
    """Tries that failed; the event is told again."""
    failing: bool = False
    """An outage that goes on."""


class Dispatcher:
    """Stores events and tells the sinks.

    A sink that fails keeps its cursor and is tried again at the next event, in order and without holding
    up the others; each outage is logged once. What is still to be told when a run ends is told in the next
    one, by the sink's name in `subscribers`: give two files two names. Use it from the store's thread.
    """

    def __init__(self, store: EventStore, subscribers: Mapping[str, Subscriber]) -> None:
        self._store = store
        self._subscribers = dict(subscribers)
        self.deliveries = {name: Delivery(self._begin(name, s.start)) for name, s in subscribers.items()}

    def publish(self, event: Event, pictures: Pictures | None = None) -> Event:
        """Store an event, tell it, and return it as stored.

        Raises what `EventStore.append` raises, and then no sink has heard of it; `OutputClosedError` when
        the reader of our output has gone, after everybody else was told.
        """
        stored = self._store.append(event, pictures)
        self.catch_up()
        return stored

    def catch_up(self) -> None:
        """Tell every sink what it has not heard yet. Worth calling when a run begins and when it ends."""
        closed: OutputClosedError | None = None
        for name in self._subscribers:
            try:
                self._serve(name)
            except OutputClosedError as error:
                closed = error
        if closed is not None:
            raise closed

    def _serve(self, name: str) -> None:
        delivery = self.deliveries[name]
        while events := self._store.after(delivery.cursor, _BATCH):
            for event in events:
                if not self._tell(name, event, delivery):
                    return
                delivery.cursor = event.seq
                if self._subscribers[name].start is not Start.NOW:
                    self._store.advance(name, event.seq)

    def _tell(self, name: str, event: Event, delivery: Delivery) -> bool:
        try:
            self._subscribers[name].sink.tell(event)
        except OutputClosedError:
            raise
        except Exception as error:  # one sink's fault, of whatever kind, must not stop the drive
            delivery.failures += 1
            if not delivery.failing:
                _log.warning("sink %s fails and is tried again at each event: %r", name, error)
            delivery.failing = True
            return False
        if delivery.failing:
            _log.warning("sink %s works again", name)
        delivery.failing = False
        delivery.told += 1
        return True

    def _begin(self, name: str, start: Start) -> int:
        if start is Start.NOW:
            return self._store.last_seq()
        known = self._store.cursor(name)
        if known is not None:
            return known
        begin = self._store.last_seq() if start is Start.JOINED else 0
        self._store.advance(name, begin)
        return begin
