"""The servers seen from the car: two TUF repositories, read through python-tuf's client."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.updater import Updater

from edge_alpr.errors import UpdateError
from edge_alpr.ota.director import Entry, choose
from edge_alpr.ota.fetch import Http, MetadataFetcher
from edge_alpr.ota.fetch_pace import Link
from edge_alpr.ota.fetch_target import TargetFetcher, again
from edge_alpr.ota.repository_clock import built, check_clock, floor
from edge_alpr.ota.repository_errors import translated
from edge_alpr.ota.types import Car, Progress, Target
from edge_alpr.sinks.pictures import sync_folder

DIRECTOR, IMAGES = "director", "image"
"""The repositories, as they are named in addresses and folders."""
_LIMITS = UpdaterConfig(
    max_root_rotations=64, root_max_length=256_000, snapshot_max_length=100_000, targets_max_length=2_000_000
)

logger = logging.getLogger(__name__)


class TufRepositories:
    """A `Repository`. `roots` and `folder` hold `director/` and `image/`.

    In `roots` lie the `root.json` that the device came with: all trust begins there. `folder` is on the data partition:
    what was found good last, so that nothing older is taken. For one thread of one process; set `stop` to end it.
    """

    def __init__(
        self,
        link: Link,
        roots: Path,
        folder: Path,
        stop: threading.Event | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._http = Http(link, stop)
        self._files = TargetFetcher(self._http)
        self._roots = roots
        self._folder = folder
        self._now_s = now_s
        self.passed_over: tuple[str, ...] = ()
        """Of the last `wanted`: a line for each target that is not for this car, or not now."""

    def wanted(self, car: Car) -> Sequence[Target]:
        """What this car is to run now, the version that runs already among it."""
        self._check_clock()
        director, image = self._verified(DIRECTOR), self._verified(IMAGES)
        paths = self._names()
        with translated(DIRECTOR, lambda: "targets.json"):
            told = [entry for path in paths if (entry := _entry(director, path))]
        with translated(IMAGES, lambda: "targets.json"):
            known = [entry for path in paths if (entry := _entry(image, path))]
        choice = choose(told, known, car)
        self.passed_over = choice.passed_over
        for line in choice.passed_over:
            logger.debug("%s", line)
        return choice.targets

    def download(self, target: Target, path: Path, progress: Progress) -> None:
        """Fetch its file to `path`; meanwhile it is `path` with `.part` behind."""
        self._files.fetch(target, path, progress)

    def _verified(self, side: str) -> Updater:
        """A repository's newest metadata, verified and kept."""
        for attempt in again(self._http):
            with attempt:
                updater = self._refreshed(side)
        return updater

    def _refreshed(self, side: str) -> Updater:
        folder, fetcher = self._folder / side, MetadataFetcher(self._http)
        root = self._root(side)
        with translated(side, lambda: fetcher.last):
            before = _prepare(folder)
            url = f"{self._http.link.url.rstrip('/')}/{side}/metadata/"
            updater = Updater(str(folder), url, fetcher=fetcher, config=_LIMITS, bootstrap=root)
            try:
                updater.refresh()
            finally:
                fetcher.hang_up()
                _make_durable(folder, before)
            os.utime(folder / "timestamp.json", (self._now_s(), self._now_s()))
        return updater

    def _root(self, side: str) -> bytes:
        file = self._roots / side / "root.json"
        try:
            return file.read_bytes()
        except OSError as error:
            raise UpdateError(f"{file}: {error.strerror}; the device has no key to trust: flash it anew") from error

    def _names(self) -> list[str]:
        """The paths that the director tells of. ngclient lists none: we read what it stored, and ask it for each."""
        file = self._folder / DIRECTOR / "targets.json"
        with translated(DIRECTOR, lambda: file.name):
            index: Metadata[Any] = Metadata.from_bytes(file.read_bytes())
            return sorted(index.signed.targets)

    def _check_clock(self) -> None:
        found = [(self._folder / side / "timestamp.json",) * 2 for side in (DIRECTOR, IMAGES)]
        package = (built(), self._roots / DIRECTOR / "root.json", "this version was built")
        check_clock(self._now_s(), floor([package, *((*pair, "the servers were seen") for pair in found)]))


def _entry(updater: Updater, path: str) -> Entry | None:
    """A target as the verified metadata have it."""
    found = updater.get_targetinfo(path)
    return None if found is None else Entry(path, found.length, found.hashes.get("sha256", ""), found.custom)


def _prepare(folder: Path) -> dict[Path, int]:
    """Make the folder, without what a power cut left in it. Returns the files that are there (their inodes)."""
    (folder / "root_history").mkdir(parents=True, exist_ok=True)
    for left in folder.glob("tmp*"):
        left.unlink()
    return _files(folder)


def _make_durable(folder: Path, before: Mapping[Path, int]) -> None:
    """ngclient renames without syncing: after a power cut a file could be empty, and what it knew of versions gone."""
    for file, inode in _files(folder).items():
        if before.get(file) != inode:
            with file.open("rb") as content:
                os.fsync(content.fileno())
            sync_folder(file.parent)


def _files(folder: Path) -> dict[Path, int]:
    files = (*folder.glob("*.json"), *folder.glob("root_history/*.json"))
    return {file: file.stat().st_ino for file in files if not file.is_symlink()}
