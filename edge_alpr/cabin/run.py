"""The sound process: watches the store, has alerts heard, and takes what the buttons say."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.cabin.alerts import Alert, Passages, is_heard
from edge_alpr.cabin.muting import Muting
from edge_alpr.cabin.player import Player
from edge_alpr.cabin.ringer import Ringer
from edge_alpr.cabin.tones import TICK
from edge_alpr.config import Config
from edge_alpr.device.buttons import Action, listen
from edge_alpr.errors import StoreError
from edge_alpr.records.marking import mark
from edge_alpr.sinks.marks import Marks
from edge_alpr.sinks.store import FILE
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Event

_log = logging.getLogger(__name__)
_LOOK_S = 0.02
_AGAIN_S = 1.0
_MARKS_S = 0.25
_KNOWN = 1000
"""Newest events that tell which list is the highest."""


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Signs:
    """Who hears that the process is ready, that it lives (often), and what is not as usual."""

    ready: Callable[[], None] = _nothing
    alive: Callable[[], None] = _nothing
    status: Callable[[str], None] = lambda text: None


UNHEARD = Signs()


class Cabin:
    """Hears of events and buttons. Its methods may be called from several threads."""

    def __init__(self, config: Config, ringer: Ringer) -> None:
        folder = Path(config.store.path).expanduser()
        self._store, self._marks = config.store, Marks(folder)
        self.muting = Muting(folder, config.sound)
        self._ringer = ringer
        self._passages = Passages(config.sound.language, config.sound.every_plate)
        self._highest = 0
        self.told_to: int | None = None if (folder / FILE).exists() else 0
        """The `seq` up to which all was told; None: what a store holds at the start is no news. In a new one all is."""
        self._newest = ""
        """The passage that a button speaks of."""
        self._lock = threading.Lock()

    def know(self, event: Event) -> None:
        """Learn of an event that is no news."""
        self._highest = max(self._highest, event.match.priority if event.match else 0)
        self._passages.alert(event)

    def tell(self, event: Event) -> None:
        """Have a new event heard, if it is to be."""
        with self._lock:
            self._highest = max(self._highest, event.match.priority if event.match else 0)
            alert = self._passages.alert(event)
            if alert is None:
                return
            if event.match is not None and event.state != "withdrawn":
                self._newest = event.uuid
            if event.state == "withdrawn":
                self._ringer.silence(event.uuid)
        if is_heard(alert, self.muting.quiet, self._highest):
            self._ringer.ring(alert)

    def press(self, action: Action) -> None:
        """A button: of the newest alert, or for quiet."""
        with self._lock:
            uuid = self._newest
        try:
            if action == "mute":
                self.muting.toggle()
            elif uuid:
                mark(self._store, uuid, action, True, "button")
                self._ringer.silence(uuid)
        except (StoreError, OSError) as error:
            _log.warning("button %s: %s", action, error)
            return
        self._ringer.ring(Alert("", 0, 0, TICK))

    def seen_to(self, since_ms: int) -> None:
        """What was marked on the screen meanwhile needs to be heard no more."""
        for one in self._marks.since(since_ms):
            if one.name != "locked":
                self._ringer.silence(one.uuid)


def sound(config: Config, stop: threading.Event, signs: Signs = UNHEARD) -> None:
    """Until `stop`. Waits for a store to be there. Raises `SoundError` where nothing can be played."""
    with ExitStack() as stack:
        player = stack.enter_context(Player(config.sound))
        ringer = stack.enter_context(Ringer(lambda: player, config.sound.most_waiting))
        cabin = Cabin(config, ringer)
        stack.enter_context(listen(config.buttons, cabin.press))
        signs.ready()
        told = ""
        while not stop.is_set():
            signs.alive()
            try:
                with StoreView(Path(config.store.path), config.store) as view:
                    told = ""
                    signs.status(told)
                    _watch(view, cabin, stop, signs)
            except StoreError as error:
                if str(error) != told:
                    _log.warning("%s", error)
                told = str(error)
                signs.status(told)
                stop.wait(_AGAIN_S)


def _watch(view: StoreView, cabin: Cabin, stop: threading.Event, signs: Signs) -> None:
    last = view.last_seq()  # lower than what was told only where the store is another one
    cursor = last if cabin.told_to is None else min(cabin.told_to, last)
    for event in reversed(view.newest(_KNOWN, before=cursor + 1)):
        cabin.know(event)
    cabin.told_to = cursor
    looked_s = time.monotonic()
    while not stop.wait(_LOOK_S):
        signs.alive()
        if view.changed():
            cabin.told_to = _tell_new(view, cabin, cabin.told_to)
        if time.monotonic() - looked_s >= _MARKS_S:
            looked_s = time.monotonic()
            cabin.seen_to(int((time.time() - 2 * _MARKS_S) * 1000))


def _tell_new(view: StoreView, cabin: Cabin, cursor: int) -> int:
    """The new cursor."""
    while events := view.after(cursor):
        for event in events:
            cabin.tell(event)
        cursor = events[-1].seq
    return cursor
