"""The thread that looks at what the other processes write, and hands the news to the hub."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_alpr.config import Config
from edge_alpr.device.host import name_this_thread
from edge_alpr.display.facts import driving_since, free_gb, has_network, hot_lists, live_facts, newest_beat
from edge_alpr.display.hub import RING, Hub
from edge_alpr.display.shown import shown
from edge_alpr.display.status import Facts, Status, status
from edge_alpr.errors import StoreError
from edge_alpr.ops.liveview import WATCHING
from edge_alpr.sinks.marks import FILE as MARKS
from edge_alpr.sinks.marks import Marks
from edge_alpr.sinks.store import FILE as STORE
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Event

EVERY_S = 0.025
"""How often the store is looked at."""
_SLOWER_S, _STATUS_S, _ALIVE_S = 0.1, 0.5, 3.0
"""How often marks and the live picture are looked at, the state of the drive, and how often it is told unchanged."""
_FORGET_S = 10.0
"""How often it is seen to that nothing is shown which the store no longer has."""
_BATCH = 256
_log = logging.getLogger(__name__)


class Watcher:
    """Use it as a context manager, within the event loop that the hub lives on."""

    def __init__(self, config: Config, runtime: Path, hub: Hub, alive: Callable[[], None]) -> None:
        """`alive` is called on the event loop's thread, again and again while all goes on."""
        self._alive = alive
        self._config, self._runtime, self._hub = config, runtime, hub
        self._folder = Path(config.store.path).expanduser()
        self._marks = Marks(self._folder)
        self.camera = ""
        """Whose live picture is wanted; empty: the first one's. May be set from any thread."""
        self._view: StoreView | None = None
        self._cursor, self._inode = 0, -1
        self._held: set[int] = set()
        """Of the newest events, when it was last seen to that none is gone."""
        self._marked: object = None
        self._live_number: int | None = None
        self._live_age_s: float | None = None
        self._live_fps: float | None = None
        self._trouble = ""
        self._failures = 0
        """In a row."""
        self._told: Status | None = None
        self._told_s = 0.0
        self._closing = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()

    def _run(self) -> None:
        name_this_thread("watching")
        slower_s = status_s = forget_s = 0.0
        while not self._closing.wait(EVERY_S):
            now_s = time.monotonic()
            slower = now_s - slower_s >= _SLOWER_S
            try:
                self._look_at_events()
                if slower:
                    slower_s = now_s
                    self._look_at_live()
                    self._look_at_marks()
                    self._failures, self._trouble = 0, ""
            except (StoreError, OSError) as error:
                self._failed(error)
            if now_s - forget_s >= _FORGET_S:
                forget_s = now_s
                with suppress(StoreError):  # told by the next look at it
                    self._forget()
            if now_s - status_s >= _STATUS_S:
                status_s = now_s
                self._look_around()
                self._tell_status(now_s)
                self._tell(self._alive)
        self._drop_view()

    def _failed(self, error: Exception) -> None:
        """Open the store anew after a while. What fails twice is told: a drive that begins makes its file just now."""
        self._failures += 1
        if self._failures > 1:
            if self._trouble != str(error):
                _log.warning("%s", error)
            self._trouble = str(error)
        self._drop_view()
        self._closing.wait(_STATUS_S)

    def _drop_view(self) -> None:
        if self._view is not None:
            self._view.close()
            self._view = None

    def _look_at_events(self) -> None:
        if self._view is None:
            if not (self._folder / STORE).exists():
                return
            self._open()
        assert self._view is not None
        if not self._view.changed():
            return
        while events := self._view.after(self._cursor, _BATCH):
            for event in events:
                self._tell(self._hub.event, shown(event))
            self._cursor = events[-1].seq
            if len(events) < _BATCH:
                break

    def _open(self) -> None:
        self._inode = (self._folder / STORE).stat().st_ino
        self._view = StoreView(self._folder, self._config.store)
        events = self._view.newest(RING)[::-1]
        self._cursor = events[-1].seq if events else 0
        self._tell(self._hub.restart, f"{self._inode:x}", [shown(event, self._is_fresh(event)) for event in events])

    def _forget(self) -> None:
        """What the store has forgotten leaves the screens too."""
        if self._view is None:
            return
        kept = self._view.newest(RING)[::-1]
        seqs = {event.seq for event in kept}
        gone = {seq for seq in self._held - seqs if len(kept) < RING or seq > kept[0].seq}
        self._held = seqs
        if gone:
            self._tell(self._hub.restart, f"{self._inode:x}", [shown(event, self._is_fresh(event)) for event in kept])

    def _is_fresh(self, event: Event) -> bool:
        return abs(time.time() - event.epoch_end / 1000) < 60 * self._config.display.card_minutes

    def _look_at_marks(self) -> None:
        stamps = [_stamp(self._folder / name) for name in (MARKS, f"{MARKS}-wal")]
        if stamps == self._marked:
            return
        marks: dict[str, tuple[str, ...]] = {}
        for mark in self._marks.since(0):
            marks[mark.uuid] = (*marks.get(mark.uuid, ()), mark.name)
        self._marked = stamps
        self._tell(self._hub.marks, marks)

    def _look_at_live(self) -> None:
        facts = live_facts(self._runtime)
        self._live_age_s = None if facts is None else (time.monotonic_ns() - facts.stamp_ns) / 1e9
        self._live_fps = None if facts is None else facts.fps
        number = None if facts is None else facts.number
        if number != self._live_number:
            self._live_number = number
            self._tell(self._hub.live, None if facts is None else {"number": number, "cameras": facts.cameras,
                                                                 "camera": facts.camera_id})  # fmt: skip

    def _look_around(self) -> None:
        """Say that somebody looks; see whether the store is another one."""
        if self._hub.listeners and self._config.display.live_fps:
            with suppress(OSError):
                (self._runtime / WATCHING).write_text(self.camera, encoding="utf-8")
        if self._view is not None:
            with suppress(OSError):
                if (self._folder / STORE).stat().st_ino == self._inode:
                    return
            self._drop_view()

    def _tell_status(self, now_s: float) -> None:
        now = status(self._facts())
        if now != self._told or now_s - self._told_s >= _ALIVE_S:
            self._told, self._told_s = now, now_s
            self._tell(self._hub.status, now)

    def _facts(self) -> Facts:
        since = driving_since(self._folder)
        beat, written = newest_beat(self._folder)
        looked = bool(self._hub.listeners and self._config.display.live_fps)
        return Facts(
            driving=since is not None,
            trouble=self._trouble,
            beat=beat if since is None or written >= since else None,
            beat_age_s=max(0.0, time.time() - written),
            beat_every_s=self._config.output.heartbeat_s,
            looked=looked,
            live_age_s=self._live_age_s if looked and since is not None else None,
            live_fps=self._live_fps if since is not None else None,
            free_gb=free_gb(self._folder),
            network=has_network(),
            lists=hot_lists(self._folder),
        )

    def _tell(self, what: Callable[..., None], *values: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(what, *values)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
