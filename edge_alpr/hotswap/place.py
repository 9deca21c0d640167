"""What lies behind a link of the shelf, cheap enough to be looked at each second."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from edge_alpr.errors import ModelError
from edge_alpr.infer.sets import linked


class Place(NamedTuple):
    """A link at one moment: two that are equal name the same files."""

    folder: Path | None = None
    """None: there is no link."""
    files: tuple[tuple[str, int, int], ...] = ()
    """Name, size in bytes and time of change in ns of each."""
    trouble: str = ""
    """Why it cannot be looked at."""


def place_of(shelf: Path, link: str) -> Place:
    """Never raises: what cannot be looked at is a place of its own."""
    try:
        folder = linked(shelf, link)
    except ModelError as error:
        return Place(trouble=str(error))
    return Place(folder, _files(folder)) if folder else Place()


def _files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return ()  # a link to nothing, or a set that is being put there: told when it is opened
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found))


class Resting:
    """Hears of a place again and again; a place is news once it was the same twice, so that a flapping link is none."""

    def __init__(self) -> None:
        self._seen: Place | None = None
        self._taken: Place | None = None

    def news(self, place: Place) -> bool:
        """Whether to act on it now; after that not again until it is another."""
        resting, self._seen = place == self._seen, place
        if not resting or place == self._taken:
            return False
        self._taken = place
        return True

    def forget(self) -> None:
        """It did not stay while it was acted on: whatever it comes to rest at is news."""
        self._taken = None
