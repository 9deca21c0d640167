"""Does a long drive grow? The sample drive over again, store, pictures, JSON lines and hard examples included.

    python docs/soak.py [MINUTES] [--pace fast|live] [--every 10] [--row 300]     (30 minutes by default)

Each `--every` seconds it notes resident memory and data segment (VmRSS, VmData), Python objects, open files and
threads. It prints a row each `--row` seconds, and at the end the slopes by least squares over the last two thirds.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from edge_alpr.bench.paced import paced
from edge_alpr.bench.request import Pace
from edge_alpr.camera import open_source
from edge_alpr.config import Config, EventConfig, LearningConfig, ModelsConfig, OutputConfig, SourceConfig, StoreConfig
from edge_alpr.drive import Drive, Probe, Screen
from edge_alpr.ports import FrameSource

COOLDOWN_S = 5.0
"""Less than a lap, so that each vehicle is told, stored and pictured again in every lap."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the kernel and the interpreter say of this process at one moment; KB are those of the kernel, 1024 bytes."""

    minutes: float
    frames: int
    told: int
    rss_kb: int
    data_kb: int
    objects: int
    files: int
    threads: int


def take(minutes: float, frames: int, told: int) -> Sample:
    """A sample now."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    rss_kb, data_kb = (int(status[key].split()[0]) for key in ("VmRSS", "VmData"))
    files = len(list(Path("/proc/self/fd").iterdir())) - 1
    return Sample(minutes, frames, told, rss_kb, data_kb, len(gc.get_objects()), files, int(status["Threads"]))


def steady(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Those of the last two thirds of the time."""
    return [sample for sample in samples if sample.minutes >= samples[-1].minutes / 3]


def slope(samples: Sequence[Sample], name: str) -> tuple[float, float]:
    """How fast one of the numbers grows a minute, by least squares, and the standard error of that."""
    if len(samples) < 5:
        return float("nan"), float("nan")
    fit, spread = np.polyfit([s.minutes for s in samples], [float(getattr(s, name)) for s in samples], 1, cov=True)
    return float(fit[0]), float(np.sqrt(spread[0, 0]))


class Log:
    """Takes a sample every so often, as the drive's `progress`, and prints a row now and then."""

    def __init__(self, every_s: float, row_s: float) -> None:
        self._every_s, self._row_s = every_s, row_s
        self._begin_s = time.monotonic()
        self._next_s = self._next_row_s = 0.0
        self.samples: list[Sample] = []
        self.drive: Drive | None = None
        print("".join(f"{field.name:>10}" for field in fields(Sample)), flush=True)

    def frame(self, frames: int) -> None:
        """Called by the drive after each frame."""
        passed_s = time.monotonic() - self._begin_s
        if passed_s < self._next_s:
            return
        self._next_s = passed_s + self._every_s
        told = self.drive.summary.confirmed if self.drive else 0
        self.samples.append(take(passed_s / 60, frames, told))
        if passed_s >= self._next_row_s:
            self._next_row_s += self._row_s
            show(self.samples[-1])


def show(sample: Sample) -> None:
    """One row."""
    minutes, *numbers = astuple(sample)
    print(f"{minutes:10.2f}" + "".join(f"{number:10}" for number in numbers), flush=True)


def soaked(folder: Path) -> Config:
    """Everything a drive may write, within one folder; few hard examples, so that the limit is reached soon."""
    learning = LearningConfig(
        keep_hard_examples=True, folder=str(folder / "examples"), key_file=str(folder / "key"), max_examples=20
    )
    return Config(
        models=ModelsConfig(threads=1),
        event=EventConfig(cooldown_s=COOLDOWN_S),
        store=StoreConfig(path=str(folder / "store")),
        output=OutputConfig(events=str(folder / "events.jsonl")),
        learning=learning,
    )


def main() -> None:
    """Drive, then say what grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float, nargs="?", default=30.0)
    parser.add_argument("--pace", choices=("fast", "live"), default="fast")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between samples")
    parser.add_argument("--row", type=float, default=300.0, help="seconds between rows")
    asked = parser.parse_args()
    pace: Pace = asked.pace

    def source(config: SourceConfig) -> FrameSource:
        return paced(lambda: open_source(config), pace, repeat=True)

    log = Log(asked.every, asked.row)
    with tempfile.TemporaryDirectory(prefix="edge-alpr-soak-") as folder:
        log.drive = Drive(soaked(Path(folder)), Screen(progress=log.frame), Probe(source))
        summary = log.drive.run(limit_s=asked.minutes * 60)
        pictures = sum(1 for path in Path(folder, "store").rglob("*.jpg"))
        lines = len(Path(folder, "events.jsonl").read_text(encoding="utf-8").splitlines())
    show(log.samples[-1])
    print(
        f"{summary.frames} frames, {summary.fps:.1f} a second, {summary.dropped} dropped; {summary.confirmed} vehicles "
        f"told, {summary.withdrawn} taken back; {pictures} pictures, {lines} lines, {summary.examples_kept} examples"
    )
    late = steady(log.samples)
    print(f"growth a minute, from minute {late[0].minutes:.1f} on:")
    for name, unit in (("rss_kb", "KB"), ("data_kb", "KB"), ("objects", "objects"), ("files", "files")):
        growth, error = slope(late, name)
        print(f"  {name} {growth:+.1f} {unit}, standard error {error:.1f}")


if __name__ == "__main__":
    main()
