"""What an exchange of the models costs a drive, and what a set on trial costs: the sample drive, with and without.

    python docs/hotswap.py            # longest gap between two frames, at full speed and as a camera shows it
    python docs/hotswap.py --trial    # frames a second at full speed, frames dropped at a camera's pace

The other set is the shipped networks under another version.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from edge_alpr.bench.paced import Paced
from edge_alpr.camera import open_source
from edge_alpr.config import Config, GovernorConfig, LearningConfig, ModelsConfig, SourceConfig, StoreConfig
from edge_alpr.drive import Drive, Probe, Screen, Summary
from edge_alpr.hotswap.outcome import load
from edge_alpr.infer.package import shipped_folder
from edge_alpr.ports import FrameSource
from edge_alpr.types import Frame, SourceCounters, SourceInfo

EXCHANGES = (150, 330)
"""Frames at which the link is switched: away from the shipped set, and back."""


@dataclass
class Driven:
    """One drive: its summary, and the ms between the ends of two frames."""

    summary: Summary
    gaps_ms: list[float]


class Hurried:
    """A recording that is taken for a camera's, at full speed."""

    def __init__(self, inner: FrameSource) -> None:
        self._inner = inner
        self.close = inner.close

    @property
    def info(self) -> SourceInfo:
        """Of a camera."""
        return replace(self._inner.info, live=True)

    @property
    def counters(self) -> SourceCounters:
        """Of the recording."""
        return self._inner.counters

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._inner)

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(self, *error: object) -> None:
        self._inner.__exit__(*error)


def hurried(source: SourceConfig) -> FrameSource:
    """At full speed."""
    return Hurried(open_source(source))


def as_camera(source: SourceConfig) -> FrameSource:
    """30 frames a second, the newest wins."""
    return Paced(open_source(source), lambda: open_source(source), "live", repeat=False)


def switched(shelf: Path, link: str, version: str) -> None:
    """By one rename."""
    beside = shelf / ".new"
    beside.symlink_to(version)
    beside.replace(shelf / link)


def drive(shelf: Path, source: Callable[[SourceConfig], FrameSource], at: dict[int, str]) -> Driven:
    """The link `current` is switched at frames of `at`."""
    stamps: list[float] = []

    def progress(count: int) -> None:
        stamps.append(time.perf_counter())
        if count in at:
            switched(shelf, "current", at[count])

    with tempfile.TemporaryDirectory() as store:
        config = Config(
            models=ModelsConfig(shelf=str(shelf), run_on="cpu"),
            store=StoreConfig(path=store),
            learning=LearningConfig(watch_drift=False),
            governor=GovernorConfig(enabled=False),
        )
        summary = Drive(config, Screen(progress=progress), Probe(source)).run()
    gaps = [(b - a) * 1e3 for a, b in pairwise(stamps)]
    return Driven(summary, gaps[10:])


def told(name: str, runs: list[Driven]) -> None:
    """Print a line."""
    longest = sorted(max(run.gaps_ms) for run in runs)
    fps = median(run.summary.fps for run in runs)
    dropped, swaps = sum(run.summary.dropped for run in runs), sum(run.summary.models_swaps for run in runs)
    vehicles = sorted({run.summary.confirmed for run in runs})
    print(
        f"{name:36} {len(runs)} drives: longest gap median {median(longest):.1f}, worst {longest[-1]:.1f} ms; "
        f"{fps:.1f} fps; dropped {dropped}; exchanges {swaps}; vehicles {vehicles}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trial", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paces", nargs="+", choices=("hurried", "camera"), default=("hurried", "camera"))
    told_ = parser.parse_args()
    paces = {"hurried": hurried, "camera": as_camera}
    for pace in told_.paces:
        with tempfile.TemporaryDirectory() as place:
            shelf = Path(place)
            for version in ("1", "2"):
                shutil.copytree(shipped_folder(), shelf / version, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
            compare(shelf, pace, paces[pace], told_.trial, told_.rounds)


def compare(
    shelf: Path, pace: str, source: Callable[[SourceConfig], FrameSource], trial: bool, rounds: int
) -> None:
    """Turn and turn about, so that both meet the same machine."""
    runs: dict[str, list[Driven]] = {"without": [], "with": []}
    for _ in range(rounds):
        switched(shelf, "current", "1")
        runs["without"].append(drive(shelf, source, {}))
        if trial:
            switched(shelf, "trial", "2")
            runs["with"].append(drive(shelf, source, {}))
            (shelf / "trial").unlink()
        else:
            runs["with"].append(drive(shelf, source, dict(zip(EXCHANGES, ("2", "1"), strict=True))))
    for name, some in runs.items():
        told(f"{pace}, {name} {'a trial' if trial else 'exchanges'}", some)
    if trial:
        print(load(shelf, "2"))


if __name__ == "__main__":
    main()
