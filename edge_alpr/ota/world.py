"""What an agent works on, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_alpr.ota.disk import Disk
from edge_alpr.ota.lists import Signed
from edge_alpr.ota.shadow import ShadowLimits
from edge_alpr.ota.state import State
from edge_alpr.ota.types import BootSlots, Car, Proof, Repository


@dataclass(frozen=True, slots=True)
class Places:
    """Where things lie: `data` is the data partition's folder, `lists` the reader's folder of hot lists."""

    data: Path
    lists: Path

    @property
    def update(self) -> Path:
        """What only the agent reads and writes."""
        return self.data / "update"


@dataclass(frozen=True, slots=True)
class World:
    """All that an agent works on. `boot` is the id of this boot: another one after each reboot."""

    car: Car
    places: Places
    repository: Repository
    slots: BootSlots
    disk: Disk
    proof: Proof
    signed: Signed
    boot: str
    clock_s: Callable[[], float]
    shadow: ShadowLimits = field(default_factory=ShadowLimits)
    watch: int = 1
    """How often new models in use must be found at work (`Proof` of `models` without a folder) before they are kept."""


@dataclass(frozen=True, slots=True)
class Report:
    """`reboot`: only that brings what is wanted; `troubles`: by unit, what stood against it."""

    reboot: bool = False
    troubles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """How things are: versions that run and that one could go back to, by unit, and what is remembered."""

    car: Car
    booted: str
    primary: str
    state: State

    @property
    def waits_for_reboot(self) -> bool:
        """Whether the next boot brings another side than the one that runs."""
        return self.booted != self.primary
