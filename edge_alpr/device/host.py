"""The processor: its name, who sets its clock, whether it may overclock itself; and this process on it."""

from __future__ import annotations

import os
import platform
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.device import sysfs

_CPU = "sys/devices/system/cpu"
_SELF = Path("/proc/self")


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
    return Processor(model, usable_cores(), _governor(root), _turbo(root))


def usable_cores() -> int:
    """Those that this process may use, at least one."""
    return len(os.sched_getaffinity(0))


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


def name_this_thread(name: str) -> None:
    """Let the kernel know it by that name; otherwise a thread bears that of the one that began it."""
    with suppress(OSError):
        (_SELF / "task" / str(threading.get_native_id()) / "comm").write_text(name, encoding="utf-8")


def lower_this_thread(nice: int) -> None:
    """Give the others of this process way, and the threads that it begins with it; there is no way back."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


def rss_mb() -> float | None:
    """The memory of this process that is resident now, in MB."""
    fields = (sysfs.text(_SELF / "statm") or "").split()
    return round(int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1) if len(fields) > 1 else None
