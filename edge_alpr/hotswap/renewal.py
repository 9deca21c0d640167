"""The model set of a drive that runs: opened beside it when the shelf's link changes, exchanged between two frames."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from types import TracebackType

from typing_extensions import Self

from edge_alpr.app import Models, Tiers, open_pair
from edge_alpr.config import Config, Tier
from edge_alpr.device.host import lower_this_thread, name_this_thread
from edge_alpr.doctor.networks import GOLDEN_BOX, golden_frame
from edge_alpr.errors import EdgeAlprError
from edge_alpr.geometry import box_quad
from edge_alpr.gpudrive import GpuDrive
from edge_alpr.hotswap.place import Place, Resting, place_of
from edge_alpr.infer.looking import Bench, Size, Tiered
from edge_alpr.infer.package import load_package
from edge_alpr.infer.sets import CURRENT, ModelSet, current_set, shelf_of
from edge_alpr.types import Detection

_log = logging.getLogger(__name__)
NICE = 5
"""How much a thread beside the drive gives way. Not more: while it holds Python's lock the drive waits for it."""
EVERY_S = 1.0
_PATIENCE_S = 5.0
_BATCHES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class _Ready:
    """What is open and has run: all that is exchanged as one."""

    key: tuple[str, ...]
    tiers: dict[Tier, Models]
    bench: Bench | None = None
    planes: dict[Size, Tiered] | None = None

    @property
    def models(self) -> Models:
        return next(iter(self.tiers.values()))


class Renewal:
    """Watches `current` of the shelf on a thread of its own; `exchange` is called between two frames.

    A set that is not whole, does not open or has no graphs for the GPU in use changes nothing; it is logged and stands
    in `status` until the link or the set is another. Without a shelf it does nothing.
    """

    def __init__(self, config: Config, tiers: Tiers, gpu: GpuDrive | None = None) -> None:
        self.swaps = 0
        """Sets that were exchanged for another."""
        self.status = ""
        """What is not as usual, in a few words; empty where all is."""
        self._config, self._tiers, self._gpu = config, tiers, gpu
        self._key = _key(tiers.models.among) if config.models.shelf else ()
        self._resting = Resting()
        self._ready: _Ready | None = None
        self._retired: list[object] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="models", daemon=True)

    def exchange(self) -> Models | None:
        """Read with the set that is ready, if one is, from the next frame on; gives its models. It does not wait."""
        if self._ready is None:
            return None
        with self._lock:
            ready, self._ready = self._ready, None
            if ready is None or ready.key == self._key:
                return None
            self._key = ready.key
        self._retired.append(self._tiers.models)  # what it holds is closed on the other thread
        self._tiers.exchange(ready.tiers)
        if self._gpu is not None and ready.bench is not None and ready.planes is not None:
            self._retired.append(self._gpu.look.exchange(ready.bench, ready.planes))
        self.swaps += 1
        _log.info("%s read from now on: %s", ready.models.among.title, ready.models.identities)
        return ready.models

    def look(self) -> None:
        """Open what the link names, if that has changed and come to rest since."""
        self._retired.clear()
        place = self._place()
        if not self._resting.news(place):
            return
        try:
            ready = self._opened()
        except EdgeAlprError as error:
            self._refuse(str(error))
            return
        if self._place() != place:
            self._resting.forget()
            return
        self.status = ""
        with self._lock:
            self._ready = ready
        if ready is None:
            _log.info("%s are as they were", self._tiers.models.among.title)
        else:
            _log.info("%s are open", ready.models.among.title)

    def _place(self) -> Place:
        return place_of(shelf_of(self._config.models), CURRENT)

    def _refuse(self, reason: str) -> None:
        self.status = "models on the shelf not taken, see the log"
        _log.warning("the models stay as they are: %s", reason)
        with self._lock:
            self._ready = None

    def _opened(self) -> _Ready | None:
        """The set of the link, open; None where it reads already. Raises an `EdgeAlprError`."""
        among = current_set(self._config.models)
        key = _key(among)
        if key == self._key:
            return None
        bench, planes = self._on_gpu(among)
        tiers = self._tiers.opened(open_pair(self._config, self._tiers.models.formats, among))
        for models in tiers.values():
            warm(models)
        return _Ready(key, tiers, bench, planes)

    def _on_gpu(self, among: ModelSet) -> tuple[Bench | None, dict[Size, Tiered] | None]:
        if self._gpu is None or self._gpu.look.health.lost:
            return None, None
        bench = self._gpu.bench_for(among)
        return bench, self._gpu.look.prepared(bench)

    def _watch(self) -> None:
        name_this_thread("models")
        if self._config.models.threads == 1:
            lower_this_thread(NICE)  # else the networks' own threads would be as low for as long as they live
        while not self._ended.wait(EVERY_S):
            try:
                self.look()
            except Exception:  # the drive goes on with the models it has
                _log.exception("models: the shelf could not be looked at")

    def __enter__(self) -> Self:
        if self._config.models.shelf:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)  # a set that is being opened keeps no drive from ending


def warm(models: Models) -> None:
    """Run all once, so that no frame waits for what a first run allocates. Raises `ModelError`."""
    frame = golden_frame()
    models.detect(frame)
    crop = models.cut(frame, Detection(box_quad(*GOLDEN_BOX), 1.0))
    for count in _BATCHES:
        models.read([crop] * count)


def _key(among: ModelSet) -> tuple[str, ...]:
    """The version of a set, and the hashes of its networks. Raises `ModelError`."""
    return among.version, *(load_package(path).card.sha256 for path in among.paths())
