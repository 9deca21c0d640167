"""Has one alert heard at a time, on a thread of its own; a more urgent one cuts off the words of another."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from typing_extensions import Self

from edge_alpr.cabin.alerts import Alert, Waiting
from edge_alpr.cabin.player import Player

_log = logging.getLogger(__name__)
_PATIENCE_S = 2.0


class Ringer:
    """Plays what is given to `ring`, the most urgent first, while it is held."""

    def __init__(self, player: Callable[[], AbstractContextManager[Player]], most: int) -> None:
        """`player` opens the player, on the ringer's thread."""
        self._open = player
        self._waiting = Waiting(most)
        self._changed = threading.Condition()
        self._stop = False
        self._playing: Alert | None = None
        self._silenced: set[str] = set()
        self._chimed: deque[tuple[str, str]] = deque(maxlen=64)
        self._thread = threading.Thread(target=self._run, name="ringer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stop = True
            self._changed.notify()
        self._thread.join(_PATIENCE_S)

    def ring(self, alert: Alert) -> None:
        """Have it heard when its turn comes."""
        with self._changed:
            dropped = self._waiting.dropped
            self._waiting.add(alert)
            if self._waiting.dropped > dropped:
                _log.warning("sound: %d alerts wait; the least urgent was dropped", len(self._waiting))
            self._changed.notify()

    def silence(self, uuid: str) -> None:
        """Somebody has seen to it: it is heard no more, also not to its end."""
        with self._changed:
            self._waiting.forget(uuid)
            if self._playing is not None and self._playing.uuid == uuid:
                self._silenced.add(uuid)

    def _run(self) -> None:
        with self._open() as player:
            while (alert := self._next()) is not None:
                self._play(player, alert)

    def _next(self) -> Alert | None:
        """Wait for it; None at the end."""
        with self._changed:
            self._playing = None
            self._silenced.clear()
            self._changed.wait_for(lambda: self._stop or len(self._waiting) > 0)
            self._playing = None if self._stop else self._waiting.next()
            return self._playing

    def _play(self, player: Player, alert: Alert) -> None:
        speak = player.prepared(alert.words)
        if not alert.uuid or (alert.uuid, alert.chime) not in self._chimed:
            self._chimed.append((alert.uuid, alert.chime))
            player.sound(alert.chime, lambda: self._stop)
        speak(lambda: self._cut(alert))

    def _cut(self, alert: Alert) -> bool:
        with self._changed:
            seen_to = self._stop or alert.uuid in self._silenced
            return seen_to or self._waiting.more_urgent_than(alert.priority)
