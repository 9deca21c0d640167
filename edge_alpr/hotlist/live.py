"""The lists of a drive: loaded at its start, watched, and exchanged in one step when they change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_alpr.config import Config
from edge_alpr.errors import HotListError
from edge_alpr.hotlist.folder import (
    Loaded,
    State,
    compile_apart,
    list_paths,
    lists_folder,
    open_folder,
    state_of,
    tidy,
)
from edge_alpr.hotlist.match import Matcher
from edge_alpr.hotlist.status import write_status
from edge_alpr.types import Match, Read

_log = logging.getLogger(__name__)
_PATIENCE_S = 5.0


def now_ms() -> int:
    """Wall clock, UTC."""
    return time.time_ns() // 1_000_000


class HotLists:
    """Asked by the drive for each plate it tells, on the drive's thread; reads and compiles on threads of its own.

    A list that is broken, or whose signature is wrong, stays as it was before; both are logged and stand in
    `hotlists.json` in the store's folder, as do the lists in use.
    """

    def __init__(self, config: Config, clock_ms: Callable[[], int] = now_ms) -> None:
        """Loads the lists. Raises `HotListError` where the folder cannot be read; a broken list is only logged."""
        self._config = config.hotlists
        self._folder = lists_folder(config)
        self._status = Path(config.store.path).expanduser()
        self._clock_ms = clock_ms
        self._failed = ""
        """Why the folder cannot be looked at now; empty while it can."""
        self._states: dict[Path, State] = self._look()
        self._seen = self._states
        self.loaded = Loaded()
        self._matcher = Matcher(self._config, ())
        self.version = 0
        """Grows with each change."""
        self._take(open_folder(self._folder, self._config))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hot lists", daemon=True)

    def __call__(self, read: Read, at_ms: int) -> tuple[Match, ...]:
        """The hits of a read at that time (UTC), the most urgent first."""
        return self._matcher(read, at_ms)

    @property
    def status(self) -> str:
        """What is not as usual, in a few words; empty where all is. May be asked from any thread."""
        if self._failed:
            return "hot lists not renewed: their folder cannot be read"
        count = len(self.loaded.troubles)
        return f"{count} hot list{'s' if count > 1 else ''} not as on disk, see the log" if count else ""

    def look(self) -> bool:
        """Load what has changed and has come to rest since; whether something had. What fails is logged."""
        try:
            states = self._look()
            self._failed = ""
            resting, self._seen = states == self._seen, states
            if states == self._states or not resting:
                return False
            self._states = states
            self._take(open_folder(self._folder, self._config, self.loaded, compile_apart))
        except HotListError as error:
            self._fail(str(error))
            return False
        return True

    def _fail(self, reason: str) -> None:
        """Told once, not at each look; the lists stay as they are."""
        if reason != self._failed:
            _log.warning("hot lists: %s", reason)
        self._failed = reason

    def _look(self) -> dict[Path, State]:
        """A folder that was named and is not there is an error: a disk that is away would look like no lists."""
        if self._config.folder and not self._folder.is_dir():
            raise HotListError(
                f"{self._folder}: there is no such folder; make it, bring its disk back, or set hotlists.folder"
            )
        return {path: state_of(path) for path in list_paths(self._folder)}

    def _take(self, loaded: Loaded) -> None:
        for reason in loaded.troubles.values():
            _log.warning("hot list not taken, %s", reason)
        for one in loaded.lists:
            if one.fault_count and one not in self.loaded.lists:
                line, reason = one.faults[0].line, one.faults[0].reason
                _log.warning("%s: lines passed over: %d, the first is %d: %s", one.path, one.fault_count, line, reason)
        self.loaded = loaded
        self._matcher = Matcher(self._config, loaded.lists)
        self.version += 1
        if self._matcher.too_long:
            many = self._matcher.expected_false_alerts
            _log.warning("hot lists: so long that up to %.1f false alerts may come in 8 hours; shorten them", many)
        tidy(self._folder, loaded)
        write_status(self._status, self._matcher, loaded, self._clock_ms())

    def _watch(self) -> None:
        while not self._ended.wait(self._config.reload_s):
            try:
                self.look()
            except Exception:  # the drive goes on with the lists it has
                _log.exception("hot lists: they could not be loaded again")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_PATIENCE_S)  # a list that is being compiled keeps no drive from ending
