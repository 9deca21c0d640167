"""Which events are heard, how, and in which order. Pure, but for the queue's own state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time

from edge_alpr.cabin.spelling import Language, spoken
from edge_alpr.cabin.tones import GONE, SOFT, USUAL
from edge_alpr.types import Event


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to be heard: a chime, then maybe words. Higher priorities are more urgent; -1: on no list."""

    uuid: str
    seq: int
    priority: int
    chime: str
    words: str = ""


class Passages:
    """What was heard of each passage, so that none is heard twice; of a bounded number of them."""

    def __init__(self, language: Language, every_plate: bool, most: int = 512) -> None:
        self._language, self._every_plate, self._most = language, every_plate, most
        self._heard: dict[str, Alert] = {}

    def alert(self, event: Event) -> Alert | None:
        """What is to be heard of an event, None for nothing.

        A hit chimes as soon as it is possible, and is spoken once it is confirmed; a hit that is taken back is said so.
        """
        before = self._heard.get(event.uuid)
        if event.state == "withdrawn":
            self._heard.pop(event.uuid, None)
            return None if before is None else Alert(event.uuid, event.seq, before.priority, GONE)
        alert = self._of_hit(event) if event.match else self._of_plate(event)
        if alert is None or before == alert or (before is not None and before.words):
            return None
        self._remember(alert)
        return alert

    def _of_hit(self, event: Event) -> Alert | None:
        assert event.match is not None
        words = ""
        if event.state == "confirmed":
            words = spoken(event.plate, event.match.list, self._language)
        elif event.uuid in self._heard:
            return None  # it chimed already
        return Alert(event.uuid, event.seq, max(0, event.match.priority), event.match.sound or USUAL, words)

    def _of_plate(self, event: Event) -> Alert | None:
        told = self._every_plate and event.state == "confirmed" and event.uuid not in self._heard
        return Alert(event.uuid, event.seq, -1, SOFT) if told else None

    def _remember(self, alert: Alert) -> None:
        self._heard.pop(alert.uuid, None)
        self._heard[alert.uuid] = alert
        if len(self._heard) > self._most:
            del self._heard[next(iter(self._heard))]


class Waiting:
    """Alerts that wait for their turn: the most urgent first, of equal ones the oldest. Bounded; not thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._alerts: list[Alert] = []
        self.dropped = 0
        """Alerts that were less urgent than so many others."""

    def __len__(self) -> int:
        return len(self._alerts)

    def add(self, alert: Alert) -> None:
        """A later alert of the same passage takes the place of the one that still waits."""
        self.forget(alert.uuid)
        self._alerts.append(alert)
        self._alerts.sort(key=lambda one: (-one.priority, one.seq))
        if len(self._alerts) > self._most:
            self._alerts.pop()
            self.dropped += 1

    def forget(self, uuid: str) -> None:
        """No alert of that passage waits any more."""
        self._alerts = [one for one in self._alerts if one.uuid != uuid]

    def more_urgent_than(self, priority: int) -> bool:
        """Whether the next one should not wait for one of that priority to end."""
        return bool(self._alerts) and self._alerts[0].priority > priority

    def next(self) -> Alert | None:
        """The alert whose turn it is; it waits no more."""
        return self._alerts.pop(0) if self._alerts else None


def is_silent(hours: str, now: time) -> bool:
    """Whether a time lies in `22:00-06:30`; no hours, no silence."""
    if not hours:
        return False
    begin, end = (time.fromisoformat(text) for text in hours.split("-"))
    return begin <= now < end if begin <= end else now >= begin or now < end


def is_heard(alert: Alert, quiet: bool, highest: int) -> bool:
    """The highest list is heard always, also where all is muted; `highest`: its priority."""
    return not quiet or (alert.priority >= 0 and alert.priority >= highest)
