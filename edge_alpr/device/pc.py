"""A PC: thermal zones, the processor's own thermometer, and its energy counters (RAPL)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.device import sysfs
from edge_alpr.device.board import BoardReading

_THERMOMETERS = ("coretemp", "k10temp", "zenpower")
_PACKAGE = re.compile(r"intel-rapl:\d+")


@dataclass(frozen=True, slots=True)
class _Energy:
    """Counters of all packages in uJ, at a moment of the monotonic clock in ns."""

    microjoules: tuple[int, ...]
    at_ns: int


class Pc:
    """A `Board`. Its watts are those of the processor alone, the mean since the `read` before."""

    def __init__(self, root: Path, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._root = root
        self._clock_ns = clock_ns
        folders = sorted(root.glob("sys/class/powercap/intel-rapl:*"))
        self._packages = [folder for folder in folders if _PACKAGE.fullmatch(folder.name)]
        self._before = self._energy()

    @property
    def name(self) -> str:
        """As the firmware tells."""
        parts = [sysfs.text(self._root / f"sys/class/dmi/id/{part}") for part in ("sys_vendor", "product_name")]
        return " ".join(part for part in parts if part) or "PC"

    @property
    def rail(self) -> str:
        """The processor, where its counters may be read (often by root alone)."""
        return "processor (RAPL)" if self._before else ""

    @property
    def throttles_c(self) -> float | None:
        """The kernel's trip point, where there is one; many processors look after themselves."""
        return sysfs.throttles(self._root)

    def read(self) -> BoardReading:
        """Read the sensors."""
        mode = sysfs.text(self._root / "sys/firmware/acpi/platform_profile")
        return BoardReading(self._watts(), sysfs.hottest(self._thermometers()), mode)

    def _thermometers(self) -> Iterator[Path]:
        yield from sysfs.zones(self._root)
        for folder in self._root.glob("sys/class/hwmon/hwmon*"):
            if sysfs.text(folder / "name") in _THERMOMETERS:
                yield from folder.glob("temp*_input")

    def _watts(self) -> float | None:
        before, now = self._before, self._energy()
        self._before = now
        if before is None or now is None or now.at_ns <= before.at_ns:
            return None
        counts = zip(self._packages, before.microjoules, now.microjoules, strict=True)
        spent = [self._spent(*count) for count in counts]
        known = [one for one in spent if one is not None]
        return sum(known) * 1e3 / (now.at_ns - before.at_ns) if len(known) == len(spent) else None

    def _spent(self, package: Path, before: int, now: int) -> int | None:
        """uJ between two counts; the counter begins anew after its range."""
        if now >= before:
            return now - before
        span = sysfs.number(package / "max_energy_range_uj")
        return None if span is None else now + span - before

    def _energy(self) -> _Energy | None:
        counts = [sysfs.number(package / "energy_uj") for package in self._packages]
        known = tuple(count for count in counts if count is not None)
        return _Energy(known, self._clock_ns()) if known and len(known) == len(counts) else None
