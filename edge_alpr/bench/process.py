"""What the kernel tells of this process: CPU time of each thread, memory, age."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

_SELF = Path("/proc/self")
_USER, _SYSTEM, _STARTED = 11, 12, 19
"""Places after the name in a `stat` line, see proc(5)."""


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Name and CPU seconds of each thread by its id, at a moment of `time.perf_counter_ns`.

    `whole_s` are those of the process, threads that ended included.
    """

    threads: Mapping[int, tuple[str, float]]
    at_ns: int
    whole_s: float


class ThreadLoad(msgspec.Struct, frozen=True):
    """Threads of one name: how many, and the share of one core that they took together, in percent."""

    name: str
    count: int
    percent: float


def cpu_times() -> CpuTimes:
    """Of all threads that live now."""
    threads = {}
    for folder in (_SELF / "task").iterdir():
        try:
            name, fields = split_stat((folder / "stat").read_text(encoding="utf-8", errors="replace"))
        except OSError:  # it ended meanwhile
            continue
        name += " (main)" if int(folder.name) == os.getpid() else ""
        threads[int(folder.name)] = name, (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
    return CpuTimes(threads, time.perf_counter_ns(), time.process_time())


def split_stat(line: str) -> tuple[str, list[str]]:
    """Name and the fields after it; a name may hold blanks and brackets."""
    name, _, rest = line.partition("(")[2].rpartition(")")
    return name, rest.split()


def loads(before: CpuTimes, after: CpuTimes) -> list[ThreadLoad]:
    """What the threads took between two moments, by name, the busiest first; those that ended have no row."""
    seconds = (after.at_ns - before.at_ns) / 1e9
    spent: dict[str, list[float]] = defaultdict(list)
    for number, (name, cpu_s) in after.threads.items():
        spent[name].append(cpu_s - before.threads.get(number, (name, 0.0))[1])
    found = [ThreadLoad(name, len(each), round(100 * sum(each) / seconds, 1)) for name, each in spent.items()]
    return sorted(found, key=lambda load: -load.percent)


def whole_load(before: CpuTimes, after: CpuTimes) -> float:
    """What the process took between two moments, in percent of one core."""
    return round(100 * (after.whole_s - before.whole_s) / ((after.at_ns - before.at_ns) / 1e9), 1)


def peak_rss_mb() -> float | None:
    """The most memory that was resident at once (VmHWM), in MB."""
    for line in (_SELF / "status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return None


def started_ns() -> int:
    """When this process started, by `time.perf_counter_ns`, to a hundredth of a second."""
    _, fields = split_stat((_SELF / "stat").read_text(encoding="utf-8", errors="replace"))
    age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(fields[_STARTED]) * 10**9 // os.sysconf("SC_CLK_TCK")
    return time.perf_counter_ns() - age_ns
