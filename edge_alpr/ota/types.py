"""What an update is and what it touches: the types and ports that the parts of `ota` share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

IMAGE, MODELS, LIST = "image", "models", "list/"
"""Units of update: the root file system, the model set, and (`list/NAME`) each hot list."""

Progress = Callable[[int, int], None]
"""Hears of bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class Car:
    """What a car says of itself: `running` maps a unit to the version it runs now."""

    device_id: str
    board: str
    """`orin-nano`, `orin-nx`, `agx-orin`, `thor` or `pc`."""
    running: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """One file that a car may be told to run. The file itself is `path` in the image repository."""

    path: str
    unit: str
    version: str
    """Ordered as `packaging.version.Version` orders."""
    length: int
    sha256: str
    boards: tuple[str, ...] = ()
    """Empty: any."""
    needs: str = ""
    """The oldest image that it works with; empty: any."""
    rollout: str = ""
    """The director's name of the roll-out that sends it."""
    back: bool = False
    """The director wants it although it is older than what runs."""


def share_of(rollout: str, device_id: str) -> float:
    """Where a car stands in a roll-out, 0 to 1: it takes part once the roll-out's share is above that.

    A car stands elsewhere in each roll-out, so that not the same cars are always the first.
    """
    return int.from_bytes(hashlib.sha256(f"{rollout}:{device_id}".encode()).digest()[:4], "big") / 2**32


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the two root file systems."""

    name: str
    """`A` or `B`."""
    version: str
    """Of the image in it; empty where it is not known."""
    good: bool
    """The boot loader may start it."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Both sides: `booted` runs now, `primary` is what the boot loader tries next."""

    booted: str
    primary: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a proof: `why` says in one line what did not hold, `facts` are its figures."""

    good: bool
    why: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)


class Repository(Protocol):
    """The servers' side, seen from the car. All errors are `UpdateError`s."""

    def wanted(self, car: Car) -> Sequence[Target]:
        """What this car is to run now, at most one target a unit: told by the director, known to the other."""

    def download(self, target: Target, path: Path, progress: Progress) -> None:
        """Fetch its file to `path`, going on where an earlier try ended; afterwards it is there, whole and verified."""


class BootSlots(Protocol):
    """The root file systems and the boot loader. All errors are `SlotError`s."""

    def look(self) -> Slots:
        """How things are now."""

    def install(self, bundle: Path, progress: Progress) -> None:
        """Write the side that does not run, then make it primary. Cut anywhere, the running side stays whole."""

    def mark_good(self) -> None:
        """The side that runs is to stay."""

    def mark_bad(self, name: str) -> None:
        """The boot loader shall not start that side again."""

    def activate(self, name: str) -> None:
        """The next boot starts that side."""


class Proof(Protocol):
    """Whether what runs now, or what lies in a folder, does its work on this device."""

    def __call__(self, unit: str, folder: Path | None) -> Verdict:
        """`folder` holds a model set to be tried; None: the installation that runs."""
