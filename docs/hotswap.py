"""What an exchange of the models costs a drive, what a set on trial costs, and a golden drive: with and without.

    python docs/hotswap.py                  # longest gap between two frames, at full speed and as a camera shows it
    python docs/hotswap.py --what trial     # frames a second at full speed, frames dropped at a camera's pace
    python docs/hotswap.py --what golden    # the same with golden drives beside it, one after the other

The other set is the shipped networks under another version.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    parser.add_argument("--what", choices=("exchanges", "trial", "golden"), default="exchanges")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paces", nargs="+", choices=("hurried", "camera"), default=("hurried", "camera"))
    wanted = parser.parse_args()
    paces = {"hurried": hurried, "camera": as_camera}
    for pace in wanted.paces:
        with tempfile.TemporaryDirectory() as place:
            shelf = Path(place)
            for version in ("1", "2"):
                shutil.copytree(shipped_folder(), shelf / version, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
            compare(shelf, pace, paces[pace], wanted.what, wanted.rounds)


def compare(shelf: Path, pace: str, source: Callable[[SourceConfig], FrameSource], what: str, rounds: int) -> None:
    """Turn and turn about, so that both meet the same machine."""
    runs: dict[str, list[Driven]] = {"without": [], "with": []}
    for _ in range(rounds):
        switched(shelf, "current", "1")
        runs["without"].append(drive(shelf, source, {}))
        with WITH[what](shelf) as at:
            runs["with"].append(drive(shelf, source, at))
    for name, some in runs.items():
        told(f"{pace}, {name} {what}", some)
    if what == "trial":
        print(load(shelf, "2"))


@contextmanager
def exchanges(shelf: Path) -> Iterator[dict[int, str]]:
    """The link is switched twice."""
    yield dict(zip(EXCHANGES, ("2", "1"), strict=True))


@contextmanager
def trial(shelf: Path) -> Iterator[dict[int, str]]:
    """A set is on trial."""
    switched(shelf, "trial", "2")
    yield {}
    (shelf / "trial").unlink()


@contextmanager
def golden(shelf: Path) -> Iterator[dict[int, str]]:
    """Golden drives run all the time; the one at work at the end is ended."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            command = [sys.executable, "-m", "edge_alpr.update.golden", "--json", "--models", str(shelf / "2")]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as one:
                while one.poll() is None and not ended.wait(0.1):
                    pass
                one.terminate()
                print(one.communicate()[0], end="")

    thread = threading.Thread(target=work)
    thread.start()
    yield {}
    ended.set()
    thread.join()


WITH = {"exchanges": exchanges, "trial": trial, "golden": golden}


if __name__ == "__main__":
    main()
