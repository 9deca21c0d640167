"""What stands where a part is absent: servers, or a second root file system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.errors import SlotError, UpdateError
from edge_alpr.ota.types import Car, Progress, Slot, Slots, Target


class NoServers:
    """A `Repository` of nothing, for where `update.url` is empty."""

    def wanted(self, car: Car) -> Sequence[Target]:
        """See `Repository`."""
        raise UpdateError("updates are off: set update.url; see docs/updates.md")

    def download(self, target: Target, path: Path, progress: Progress) -> None:
        """See `Repository`."""
        self.wanted(Car("", ""))


@dataclass(frozen=True, slots=True)
class OneSide:
    """`BootSlots` of an installation with one side, such as a PC: models and lists are updated, images are not.

    `version` stands for the image's.
    """

    version: str

    def look(self) -> Slots:
        """See `BootSlots`."""
        return Slots("A", "A", (Slot("A", self.version, True), Slot("B", "", False)))

    def install(self, bundle: Path, progress: Progress) -> None:
        """See `BootSlots`."""
        raise SlotError("there is no second side to write an image to: RAUC is not set up here (/etc/rauc/system.conf)")

    def mark_good(self) -> None:
        """See `BootSlots`."""

    def mark_bad(self, name: str) -> None:
        """See `BootSlots`."""

    def activate(self, name: str) -> None:
        """See `BootSlots`."""
