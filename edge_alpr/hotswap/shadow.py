"""A model set on trial: it reads some of the live frames beside the drive, and what it says is only counted."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

import msgspec
from typing_extensions import Self

from edge_alpr.app import Models, open_pair
from edge_alpr.config import Config
from edge_alpr.device.host import lower_this_thread, name_this_thread
from edge_alpr.errors import EdgeAlprError
from edge_alpr.formats import Formats
from edge_alpr.hotswap import outcome
from edge_alpr.hotswap.place import Resting, place_of
from edge_alpr.hotswap.renewal import NICE, warm
from edge_alpr.infer.sets import TRIAL, ModelSet, set_in, shelf_of
from edge_alpr.ota.shadow import Outcome
from edge_alpr.types import Luma, Observation

_log = logging.getLogger(__name__)
SHARE = 0.05
"""Of one core: after a frame it rests for so long that it takes no more."""
LEAST_PAUSE_S = 0.5
WRITE_S = 10.0
TURN_S = 1.0
_PATIENCE_S = 5.0


@dataclass(slots=True)
class _Trial:
    """A set that is open, and beside it the one that reads once more, alike, so that their times compare."""

    old: Models
    new: Models
    tally: outcome.Tally
    began_s: float
    wrote_s: float
    turn: bool = False
    """Who goes first changes: the second finds the frame in the cache."""

    def add(self, sample: Luma, said: Sequence[Observation]) -> None:
        """Compare what was said of a frame with what the set on trial says of it. Raises `ModelError`."""
        self.turn = not self.turn
        if self.turn:
            seen, new_ms = _timed(self.new, sample)
            _, old_ms = _timed(self.old, sample)
        else:
            _, old_ms = _timed(self.old, sample)
            seen, new_ms = _timed(self.new, sample)
        self.tally.add(said, seen, old_ms, new_ms)


class Shadow:
    """Watches `trial` of the shelf, and runs the set that it names, on a thread of its own; see `Outcome`.

    `wanted` and `offer` are the drive's side and never wait: a frame is wanted when the one before is done and the
    pause after it over, and never while the governor is above its first level.
    """

    def __init__(self, config: Config, formats: Formats, among: ModelSet, level: Callable[[], int]) -> None:
        """`among` is the set that reads, `level` the governor's, 0 for none."""
        models = msgspec.structs.replace(config.models, threads=1)
        self._config = msgspec.structs.replace(config, models=models)
        self._formats, self._among, self._level = formats, among, level
        self._shelf = shelf_of(config.models)
        self._idle = False
        self._samples: queue.SimpleQueue[tuple[Luma, Sequence[Observation]] | None] = queue.SimpleQueue()
        self._resting = Resting()
        self._looked_s = float("-inf")
        self._trial: _Trial | None = None
        self._cannot_write = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trial", daemon=True)

    def wanted(self) -> bool:
        """Whether the frame at hand is to be copied; true once for each. On the thread that finds."""
        if not self._idle or self._level() > 0:
            return False
        self._idle = False
        return True

    def offer(self, sample: Luma, said: Sequence[Observation]) -> None:
        """Such a frame, and what was said of it."""
        self._samples.put((sample, said))

    def exchange(self, among: ModelSet) -> None:
        """Another set reads from now on: what is on trial is compared with it."""
        self._among = among
        self._resting = Resting()

    def _run(self) -> None:
        name_this_thread("trial")
        lower_this_thread(NICE)
        while not self._ended.is_set():
            try:
                self._turn()
            except Exception:  # the drive goes on without it
                _log.exception("models on trial: they run no more until there are others")
                self._trial = None
        self._idle = False
        self._write(last=True)

    def _turn(self) -> None:
        """Wait for a frame and look at it; now and then look at the shelf, and write."""
        if time.monotonic() - self._looked_s >= TURN_S:
            self._looked_s = time.monotonic()
            self._look()
        self._idle = self._trial is not None
        try:
            taken = self._samples.get(timeout=TURN_S)
        except queue.Empty:
            return
        if taken is None or self._trial is None or self._trial.old.among != self._among:
            return
        begun = time.thread_time()
        self._compare(self._trial, *taken)
        self._write()
        self._ended.wait(max(LEAST_PAUSE_S, (time.thread_time() - begun) / SHARE))

    def _look(self) -> None:
        place = place_of(self._shelf, TRIAL)
        if not self._resting.news(place):
            return
        self._write(last=True)
        self._trial = None
        if place.folder is None:
            return
        try:
            self._open(set_in(place.folder, self._config.models.tier))
        except EdgeAlprError as error:
            self._tell(Outcome(version=place.folder.name, error=str(error)))

    def _open(self, among: ModelSet) -> None:
        if among == self._among:
            return
        old, new = (open_pair(self._config, self._formats, one) for one in (self._among, among))
        for models in (old, new):
            warm(models)
        now = time.monotonic()
        self._trial = _Trial(old, new, outcome.Tally(outcome.load(self._shelf, among.version)), now, now)
        _log.info("%s on trial beside %s", among.title, self._among.title)

    def _compare(self, trial: _Trial, sample: Luma, said: Sequence[Observation]) -> None:
        try:
            trial.add(sample, said)
        except EdgeAlprError as error:
            self._tell(trial.tally.outcome(time.monotonic() - trial.began_s, str(error)))
            self._trial = None

    def _write(self, last: bool = False) -> None:
        trial, now = self._trial, time.monotonic()
        if trial is not None and (last or now - trial.wrote_s >= WRITE_S):
            trial.wrote_s = now
            self._tell(trial.tally.outcome(now - trial.began_s))

    def _tell(self, told: Outcome) -> None:
        if told.error:
            _log.warning("models %s on trial do not run: %s", told.version, told.error)
        try:
            outcome.save(self._shelf, told)
        except OSError as error:
            if not self._cannot_write:
                _log.warning("models on trial: %s cannot be written: %s", self._shelf / outcome.FILE, error.strerror)
            self._cannot_write = True
        else:
            self._cannot_write = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._samples.put(None)
        self._thread.join(_PATIENCE_S)


def _timed(models: Models, luma: Luma) -> tuple[list[Observation], float]:
    """What is seen in a frame, and the milliseconds of processor time that it took."""
    begun = time.thread_time_ns()
    detections = models.detect(luma)
    crops = [models.cut(luma, detection) for detection in detections]
    seen = [Observation(*parts) for parts in zip(detections, crops, models.read(crops), strict=True)]
    return seen, (time.thread_time_ns() - begun) / 1e6
