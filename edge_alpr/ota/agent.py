"""The agent: asks the servers, fetches, installs, proves, goes back. Every method may be cut anywhere, and called anew.

One unit that fails stops no other: what stood against it is in the report, and in the status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from edge_alpr.errors import (
    UpdateError,
    UpdateRefusedError,
    UpdateSpaceError,
    UpdateUnreachableError,
    UpdateWaitsError,
)
from edge_alpr.ota import state as states
from edge_alpr.ota.disk import Disk
from edge_alpr.ota.images import Images
from edge_alpr.ota.ledger import Ledger, told_as_ours
from edge_alpr.ota.lists import HotList, list_name
from edge_alpr.ota.manifest import sha256_of
from edge_alpr.ota.sets import ModelSets
from edge_alpr.ota.state import MOST_TRIES, Pending, Stage, State
from edge_alpr.ota.steps import Plan, plan, planned
from edge_alpr.ota.types import IMAGE, LIST, MODELS, Car, Progress, Target
from edge_alpr.ota.versions import SPARE_BYTES
from edge_alpr.ota.world import Report, Status, World
from edge_alpr.position.estimate import EARLIEST_NS

_log = logging.getLogger(__name__)
DOWNLOADS, LISTS, MODEL_SETS = "downloads", "lists", "models"


def unheard(done: int, total: int) -> None:
    """Nobody watches."""


class Agent:
    """See the methods. One process at a time may have one, see `update.lock`."""

    def __init__(self, world: World) -> None:
        self.world = world
        update = world.places.update
        self.ledger = Ledger(world.disk, update, world.clock_s)
        self.images = Images(self.ledger, world.slots, world.proof, world.boot)
        models = world.places.data / MODEL_SETS
        self.models = ModelSets(self.ledger, models, world.proof, world.boot, world.shadow)
        self.models.watch = world.watch

    def check(self) -> Plan:
        """Ask the servers what to run, and remember what is to be had. Raises `UpdateError`."""
        now_s = self.ledger.now_s
        if now_s < EARLIEST_NS / 1e9:
            moment = datetime.fromtimestamp(max(0.0, now_s), timezone.utc)
            raise UpdateRefusedError(f"the clock says {moment:%Y-%m-%d}; nothing is taken before it is set")
        self.ledger.hold()
        car = self.car()
        steps = plan(self.ledger.state, self.world.repository.wanted(car), car)
        self.ledger.save(planned(self.ledger.state, steps, now_s))
        self._tidy()
        return steps

    def download(self, progress: Progress = unheard) -> Report:
        """Fetch what is to be had, going on where an earlier try ended."""
        stages: tuple[Stage, ...] = ("available",)
        return self._each(stages, lambda pending: self._download(pending, progress))

    def install(self, progress: Progress = unheard, units: Collection[str] | None = None) -> Report:
        """Install what was fetched: lists and models at once, an image on the other side, for the next boot.

        `units`: only these.
        """

        def do(pending: Pending) -> None:
            if units is None or pending.target.unit in units:
                self._install(pending, progress)

        report = self._each(("downloaded", "writing"), do)
        self._tidy()
        return report

    def settle(self) -> Report:
        """Bring what is on trial to its verdict, as far as can be told now; watching models takes a minute."""
        self.ledger.hold()
        troubles = self._all_lists(HotList.settle)
        with self._noted(MODELS, troubles):
            self.models.settle()
        self._tidy()
        return Report(self.wants_reboot(), troubles)

    def after_boot(self) -> Report:
        """After each boot, when the reader runs: prove the side, mend what a fault has torn, go back from a bad one.

        `reboot`: it goes back, by a reboot now. Raises `UpdateError` where the boot loader cannot be asked.
        """
        self.images.mark()
        self.ledger.hold()
        proven = self.images.is_proven()
        reboot = proven and self.images.after_boot()
        troubles = self._all_lists(HotList.after_boot)
        with self._noted(MODELS, troubles):
            self.models.after_boot()
        reboot = reboot or (not proven and self.images.after_boot())
        self._tidy()
        return Report(reboot, troubles)

    def mark(self) -> bool:
        """Early in each boot: see `Images.mark`. Raises `UpdateError`. Nothing else is touched, no lock is needed."""
        return self.images.mark()

    def proof_failed(self, why: str) -> bool:
        """What called `after_boot` broke down. True: the side was on trial, and goes back by a reboot now."""
        self.ledger.hold()
        return self.images.failed(why)

    def may_go_back(self) -> bool:
        """Whether an image may be on trial, as far as can be told. Never raises, and changes nothing."""
        if not states.image_is_late(self.ledger.state):
            return False
        try:
            return not self.images.is_proven()
        except UpdateError:
            return True

    def rollback(self, unit: str) -> Report:
        """Back to what ran before; that version is not tried again. Raises `UpdateError` where there is none."""
        with told_as_ours():
            self.ledger.hold()
            if unit == IMAGE:
                return Report(self.images.rollback())
            if unit == MODELS:
                self.models.rollback()
            elif list_name(unit):
                self._list(unit).rollback()
            else:
                raise UpdateError(f"'{unit}' is no unit of update; there are {IMAGE}, {MODELS} and {LIST}NAME")
        return Report()

    def status(self) -> Status:
        """How things are. Raises `UpdateError` where the boot loader cannot be asked."""
        look = self.world.slots.look()
        return Status(self.car(), look.booted, look.primary, self.ledger.state)

    def car(self) -> Car:
        """This car, with the versions that run now."""
        with told_as_ours():
            return self._car()

    def _car(self) -> Car:
        running = {IMAGE: self.images.running(), MODELS: self.models.running()}
        running |= {unit: self._list(unit).running() for unit in self._units_of_lists()}
        return Car(self.world.car.device_id, self.world.car.board, running)

    def wants_reboot(self) -> bool:
        """An image is written and waits for the next boot."""
        pending = self.ledger.state.pending.get(IMAGE)
        return pending is not None and pending.stage == "written"

    def _download(self, pending: Pending, progress: Progress) -> None:
        target, path = pending.target, self._archive(pending.target)
        self.world.disk.folder(path.parent)
        free, wanted = self.world.disk.files.free(path.parent), target.length + SPARE_BYTES
        if free < wanted:
            raise UpdateSpaceError(
                f"{target.path}: {wanted >> 20} MB are needed and {free >> 20} MB free on the data partition; "
                "delete what is no longer needed there, or lower store.quota_mb"
            )
        self.world.repository.download(target, path, progress)
        self.ledger.save(states.moved(self.ledger.state, target.unit, "downloaded", self.ledger.now_s))

    def _install(self, pending: Pending, progress: Progress) -> None:
        target, archive = pending.target, self._archive(pending.target)
        if self._blocked(target.unit):
            return
        files = self.world.disk.files
        if files.kind(archive) != "file" or sha256_of(files, archive) != target.sha256:
            self.world.disk.drop(archive)
            self.ledger.save(states.moved(self.ledger.state, target.unit, "available", self.ledger.now_s))
            raise UpdateError(f"{target.path}: what was fetched is not whole on the disk; it is fetched again")
        if target.unit == IMAGE:
            self.images.install(archive, progress)
        elif target.unit == MODELS:
            self.models.install(archive)
        else:
            self._list(target.unit).install(archive)

    def _blocked(self, unit: str) -> bool:
        """One thing on trial at a time: else nobody could tell which of two was bad. A list is never on trial."""
        other = self.ledger.state.pending.get({IMAGE: MODELS, MODELS: IMAGE}.get(unit, ""))
        return other is not None and other.stage not in ("available", "downloaded")

    def _each(self, stages: Collection[Stage], do: Callable[[Pending], None]) -> Report:
        self.ledger.hold()
        troubles: dict[str, str] = {}
        order = sorted(self.ledger.state.pending, key=lambda unit: (unit == IMAGE, unit == MODELS, unit))
        for unit in order:
            pending = self.ledger.state.pending.get(unit)
            if pending and pending.stage in stages:
                with self._noted(unit, troubles):
                    do(pending)
        return Report(self.wants_reboot(), troubles)

    @contextmanager
    def _noted(self, unit: str, troubles: dict[str, str]) -> Iterator[None]:
        """A unit's trouble is its own."""
        try:
            with told_as_ours():
                yield
        except UpdateError as error:
            troubles[unit] = str(error)
            if pending := self.ledger.state.pending.get(unit):
                self.ledger.save(_after(self.ledger.state, pending, error, self.ledger.now_s))

    def _all_lists(self, do: Callable[[HotList], None]) -> dict[str, str]:
        troubles: dict[str, str] = {}
        for unit in self._units_of_lists():
            with self._noted(unit, troubles):
                do(self._list(unit))
        return troubles

    def _units_of_lists(self) -> list[str]:
        disk, folder = self.world.disk, self.world.places.update / LISTS
        with told_as_ours():
            return self._named_lists(disk, folder)

    def _named_lists(self, disk: Disk, folder: Path) -> list[str]:
        names = disk.files.names(folder) if disk.files.kind(folder) == "folder" else []
        return [LIST + name for name in names if list_name(LIST + name)]

    def _list(self, unit: str) -> HotList:
        places = self.world.places
        return HotList(self.ledger, unit, places.update / LISTS, places.lists, self.world.signed)

    def _archive(self, target: Target) -> Path:
        return self.world.places.update / DOWNLOADS / (target.sha256 + Path(target.path).suffix)

    def _tidy(self) -> None:
        """Delete what was fetched and is of no use any more; where that cannot be done, it is next time."""
        try:
            with told_as_ours():
                self._delete_fetched()
        except UpdateError as error:
            _log.warning("%s", error)

    def _delete_fetched(self) -> None:
        disk, folder = self.world.disk, self.world.places.update / DOWNLOADS
        stages = ("available", "downloaded", "writing")
        wanted = [self._archive(one.target).name for one in self.ledger.state.pending.values() if one.stage in stages]
        for name in disk.files.names(folder) if disk.files.kind(folder) == "folder" else ():
            if not name.startswith(tuple(wanted)):
                disk.remove(folder / name)


def _after(state: State, pending: Pending, error: UpdateError, now_s: float) -> State:
    """What becomes of an update that met an error: it is tried again, unless the file is to blame, or too often."""
    if isinstance(error, (UpdateUnreachableError, UpdateWaitsError)):
        return state  # nothing is wrong with it
    target, why = pending.target, str(error)
    if pending.stage in ("downloaded", "writing", "switching") and not isinstance(error, UpdateSpaceError):
        if isinstance(error, UpdateRefusedError) or pending.tries + 1 >= MOST_TRIES:
            return states.ended(state, target.unit, "refused", why, now_s)
        state = states.stumbled(state, target.unit)
    return states.refused(state, target, why, now_s)
