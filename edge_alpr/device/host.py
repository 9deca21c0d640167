"""The processor: its name, who sets its clock, and whether it may overclock itself."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.device import sysfs

_CPU = "sys/devices/system/cpu"


@dataclass(frozen=True, slots=True)
class Processor:
    """None where the kernel does not tell."""

    model: str
    cores: int
    """That this process may use."""
    governor: str | None
    turbo: bool | None


def processor(root: Path = Path("/")) -> Processor:
    """The processor of the tree under `root`."""
    model = _model(sysfs.text(root / "proc/cpuinfo") or "") or platform.machine()
    return Processor(model, len(os.sched_getaffinity(0)), _governor(root), _turbo(root))


def _model(cpuinfo: str) -> str | None:
    fields = dict(line.split(":", 1) for line in reversed(cpuinfo.splitlines()) if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    return named.get("model name")


def _governor(root: Path) -> str | None:
    """The governors of all cores, one name where they agree."""
    files = (root / _CPU).glob("cpu[0-9]*/cpufreq/scaling_governor")
    return ", ".join(sorted({name for file in files if (name := sysfs.text(file))})) or None


def _turbo(root: Path) -> bool | None:
    held = sysfs.number(root / _CPU / "intel_pstate/no_turbo")
    if held is not None:
        return held == 0
    boost = sysfs.number(root / _CPU / "cpufreq/boost")
    return None if boost is None else boost == 1
