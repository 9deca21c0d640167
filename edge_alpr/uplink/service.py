"""The uplink process: looks through the store for what may leave, and keeps what is on its way on disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.config import Config, States
from edge_alpr.errors import LinkError, StoreError
from edge_alpr.service import Manager
from edge_alpr.sinks.outbox import OutboxFile
from edge_alpr.uplink.beats import Beats
from edge_alpr.uplink.courier import Courier
from edge_alpr.uplink.hook_courier import HookCourier
from edge_alpr.uplink.metrics import DriveCollector, serving
from edge_alpr.uplink.mqtt_courier import MqttCourier
from edge_alpr.uplink.shapes import DIALECTS
from edge_alpr.uplink.source import Source
from edge_alpr.uplink.waiting import Waiting

_SAVE_S = 0.2
_BATCH = 256
_JOIN_S = 15.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """One target, what waits for it, which states it is told."""

    name: str
    waiting: Waiting
    states: frozenset[str]
    courier: Courier


class Uplink:
    """Everything that leaves the car. Make it, then `run` it once, in the thread that made it.

    Raises `LinkError` where nothing is configured or a file is missing, `StoreError` where its own file cannot be
    opened or another uplink has it.
    """

    def __init__(self, config: Config, manager: Manager | None = None, look_s: float = 0.05) -> None:
        """`manager` hears how it goes; `look_s`: how often to look whether the store has changed."""
        if not (config.mqtt.host or config.webhooks or config.metrics.listen):
            raise LinkError("no link is configured: set mqtt.host, [[webhooks]] or metrics.listen; see docs/links.md")
        self._config = config
        self._manager, self._look_s = manager or Manager({}), look_s
        self._folder = Path(config.store.path).expanduser()
        self._data = Path(config.update.folder or config.store.path).expanduser()
        self._stop = threading.Event()
        self._look_again = True
        self._save_fails = False
        self._unseen = ""
        """Why the store cannot be looked at now; empty while it can, or while there is none yet."""
        self._fault: BaseException | None = None

    def stop(self) -> None:
        """End `run` soon; from a signal handler or another thread."""
        self._stop.set()

    def again(self) -> Uplink:
        """A new one, with the same configuration."""
        return Uplink(self._config, self._manager, self._look_s)

    def run(self, limit_s: float | None = None, once: bool = False) -> None:
        """Until `stop`, or so many seconds; `once`: until nothing waits. What waits then waits on disk.

        Raises `LinkError` where `once` and something still waits at the end.
        """
        with ExitStack() as stack:
            outbox = stack.enter_context(OutboxFile(self._folder))
            source = Source(self._config)
            stack.callback(source.close)
            links = self._links(outbox)
            collector = DriveCollector(self._folder, {link.name: link.waiting for link in links}, self._data)
            if self._config.metrics.listen:
                stack.enter_context(serving(self._config.metrics.listen, collector))
            with self._couriers(links):
                self._watch(source, outbox, links, limit_s, once)
            self._save(outbox, links)
        if self._fault is not None:
            raise self._fault
        if once and (left := [link for link in links if len(link.waiting)]):
            raise LinkError(f"events still wait: {'; '.join(_still(link) for link in left)}")

    def _watch(self, source: Source, outbox: OutboxFile, links: list[Link], limit_s: float | None, once: bool) -> None:
        start = time.monotonic()
        next_save, beats = start, Beats(self._folder, self._data)
        self._manager.ready()
        while not self._stop.is_set():
            now = time.monotonic()
            self._look(source, links)
            if now >= next_save:
                self._save(outbox, links)
                _tell_beat(beats, links)
                self._manager.alive()
                troubles = [_still(link) for link in links if link.waiting.trouble]
                self._manager.status("; ".join(filter(None, [self._unseen, *troubles])))
                next_save = now + _SAVE_S
            done = once and not self._look_again and not any(len(link.waiting) for link in links)
            if done or (limit_s is not None and now - start >= limit_s):
                return
            self._stop.wait(self._look_s)

    def _look(self, source: Source, links: list[Link]) -> None:
        """Note what is new in the store."""
        try:
            if not (source.changed() or self._look_again):
                self._unseen = ""
                return
            self._look_again = True
            last = source.last_seq()
            full = [_look_through(source, link, last) for link in links if last is not None]
            self._look_again = any(full)
            self._unseen = ""
        except StoreError as error:
            if str(error) != self._unseen:  # told once, not at each look
                _log.warning("the store cannot be looked at, and it is tried again: %s", error)
            self._unseen = str(error)

    def _save(self, outbox: OutboxFile, links: list[Link]) -> None:
        for link in links:
            change = link.waiting.change()
            if change is None:
                continue
            try:
                outbox.save(link.name, change)
            except StoreError as error:
                link.waiting.restore(change)
                if not self._save_fails:
                    _log.warning("what is on its way is kept in memory only, for now: %s", error)
                self._save_fails = True
                return
            self._save_fails = False

    def _links(self, outbox: OutboxFile) -> list[Link]:
        config, links = self._config, []
        if config.mqtt.host:
            waiting = Waiting(outbox.load("mqtt"))
            courier = MqttCourier(config.mqtt, waiting, config)
            links.append(Link("mqtt", waiting, _states(config.mqtt.shape, config.mqtt.states), courier))
        for hook in config.webhooks:
            waiting = Waiting(outbox.load(f"webhook-{hook.name}"))
            post = HookCourier(hook, waiting, config)
            links.append(Link(f"webhook-{hook.name}", waiting, _states(hook.shape, hook.states), post))
        return links

    @contextmanager
    def _couriers(self, links: list[Link]) -> Iterator[None]:
        stop = threading.Event()
        threads = [threading.Thread(target=self._work, args=(link, stop), name=link.name) for link in links]
        for thread in threads:
            thread.daemon = True  # a server that hangs does not keep the process
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(_JOIN_S)

    def _work(self, link: Link, stop: threading.Event) -> None:
        try:
            link.courier.run(stop)
        except BaseException as error:  # the process ends and is started again: a thread less would go unnoticed
            self._fault = error
            self._stop.set()


def _look_through(source: Source, link: Link, last: int) -> bool:
    """Note what is new for one target, a batch at most; whether there may be more."""
    waiting = link.waiting
    if last < waiting.seen:
        _log.warning("the store counts from 1 again; %d events for %s are gone", len(waiting), link.name)
        waiting.begin_anew()
        return True
    if waiting.room < _BATCH:
        return True
    rows = source.after(waiting.seen, _BATCH)
    if rows:
        waiting.note(rows[-1][0], [seq for seq, event in rows if event is not None and event.state in link.states])
    return len(rows) == _BATCH


def _tell_beat(beats: Beats, links: list[Link]) -> None:
    beat = beats.due({link.name: link.waiting for link in links})
    if beat is None:
        return
    for link in links:
        link.courier.beat(beat)


def _states(shape: str, states: States) -> frozenset[str]:
    return DIALECTS[shape].states & set(states)  # type: ignore[index]


def _still(link: Link) -> str:
    return f"{len(link.waiting)} for {link.name} ({link.waiting.trouble or 'no time left'})"
