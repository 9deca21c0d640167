"""Keeps the state on the disk: whatever was saved is there after a power cut."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_alpr.errors import UpdateError, UpdateSpaceError
from edge_alpr.ota.disk import PART, Disk
from edge_alpr.ota.state import State, decode, encode, image_is_late

FILE = "state.json"
ON_TRIAL = "image-on-trial"
"""Lies beside it while an image is written, waits for its boot, is on trial or goes back: units read no JSON. It is
there before the state says so, and goes after."""
_log = logging.getLogger(__name__)


class Ledger:
    """The state as it was saved last. One process at a time may write it: see `update.lock`."""

    def __init__(self, disk: Disk, folder: Path, clock_s: Callable[[], float] = time.time) -> None:
        """Only reads. A damaged state counts as none: the boot loader and the links know what runs, and a side that
        nobody remembers as proven is proven again."""
        self.disk, self.folder, self.clock_s = disk, folder, clock_s
        self.state = State()
        self._held = False
        path = folder / FILE
        if disk.files.kind(path) != "none":
            try:
                with told_as_ours():
                    self.state = decode(disk.files.read(path))
            except UpdateError as error:
                _log.warning("%s: %s; it begins anew", path, error)

    def hold(self) -> None:
        """Before the first change: what was read shall last, also where a process was killed before it was synced.

        Raises `UpdateError`.
        """
        if self._held:
            return
        with told_as_ours():
            self.disk.folder(self.folder)
            for part in (self.folder / (PART + name) for name in (FILE, ON_TRIAL)):
                if self.disk.files.kind(part) != "none":
                    self.disk.drop(part)
            self.disk.renew(self.folder)
            if self.disk.files.kind(self.folder / ON_TRIAL) != "none" and not image_is_late(self.state):
                self.disk.drop(self.folder / ON_TRIAL)
        self._held = True

    def save(self, state: State) -> None:
        """Remember it for good. Raises `UpdateError` where the disk does not take it."""
        self.hold()
        if state == self.state:
            return
        mark = self.folder / ON_TRIAL
        with told_as_ours():
            there = self.disk.files.kind(mark) != "none"
            if image_is_late(state) and not there:
                self.disk.put(mark, b"")
            self.disk.put(self.folder / FILE, encode(state))
            if there and not image_is_late(state):
                self.disk.drop(mark)
        self.state = state

    @property
    def now_s(self) -> float:
        """Wall clock, seconds since 1970."""
        return self.clock_s()


@contextmanager
def told_as_ours() -> Iterator[None]:
    """Errors of the file system become `UpdateError`s that say what to do."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UpdateSpaceError(f"{where}the data partition is full; delete what is not needed there") from error
        raise UpdateError(f"{where}{error.strerror or error}; look at the data partition: dmesg, fsck") from error
