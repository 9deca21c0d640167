"""The governor on this machine: a drive as `run` has it, the sample as a live camera, a core taken away in its middle.

    python docs/governor_drive.py [--p99 50] [--without 20 80] [--burners 2] [--ungoverned]

While it is away, other programs want the one that is left: as many as `--burners`, all the time. Frames come by their
media time, 30 a second, and one whose successor is due is dropped. A line a second: cores, level, frames a second, p99
of frame to told (of the searched frames), dropped; each change of level with its reason. It ends when the level was
full for 20 s after the core came back, or at `--most` seconds, with a table of the phases.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from edge_alpr.bench.paced import paced
from edge_alpr.camera import open_source
from edge_alpr.config import (
    Config,
    GovernorConfig,
    LearningConfig,
    ModelsConfig,
    OutputConfig,
    SourceConfig,
    StoreConfig,
)
from edge_alpr.drive import Drive, Probe, Screen
from edge_alpr.ops.governor import Governor
from edge_alpr.ops.heartbeat import Heartbeat
from edge_alpr.ports import FrameSource

PHASES = ("all cores", "one core", "all again")
CALM_S = 20.0


@dataclass
class Tally:
    """Frames of a second, or of a phase."""

    seconds: float = 0.0
    frames: int = 0
    dropped: int = 0
    spent_ms: list[float] = field(default_factory=list)
    """Of searched frames."""

    def add(self, other: Tally) -> None:
        """Count those as well."""
        self.seconds += other.seconds
        self.frames += other.frames
        self.dropped += other.dropped
        self.spent_ms += other.spent_ms

    @property
    def searched_fps(self) -> float:
        """Frames searched for plates a second."""
        return len(self.spent_ms) / self.seconds if self.seconds else 0.0

    @property
    def fps(self) -> float:
        """Frames taken a second."""
        return self.frames / self.seconds if self.seconds else 0.0

    def share(self, percent: float) -> float:
        """A percentile in ms, 0 of nothing."""
        return float(np.percentile(self.spent_ms, percent)) if self.spent_ms else 0.0


class Squeezed:
    """Listens to a drive, takes the core, gives it back, and prints."""

    def __init__(self, governor: Governor, asked: argparse.Namespace, stack: ExitStack) -> None:
        self._governor, self._asked, self._stack = governor, asked, stack
        self._cores = os.sched_getaffinity(0)
        self._begun_s = self._second_s = self._reduced_s = time.monotonic()
        self._searched, self._changes, self._dropped = False, 0, 0
        self._second, self.phases = Tally(), {name: Tally() for name in PHASES}
        self.source: FrameSource | None = None
        self.drive: Drive | None = None

    def open(self, config: SourceConfig) -> FrameSource:
        """The sample drive, over and over, at the pace of a camera."""
        self.source = paced(lambda: open_source(config), "live", repeat=True)
        return self.source

    def hear(self, name: str, begin: int, end: int) -> None:
        """A stage of the drive ran."""
        self._searched |= name == "detect"
        if name != "total":
            return
        self._second.frames += 1
        if self._searched:
            self._second.spent_ms.append((end - begin) / 1e6)
        self._searched = False
        now_s = time.monotonic()
        self._tell_change(now_s - self._begun_s)
        if now_s - self._second_s >= 1:
            self._close_second(now_s)

    def _tell_change(self, at_s: float) -> None:
        if self._governor.changes > self._changes and self._governor.last:
            self._changes = self._governor.changes
            print(f"{at_s:5.0f}  -> level {self._governor.place}, {self._governor.level.name}: "
                  f"{self._governor.last.reason}", flush=True)  # fmt: skip

    def _close_second(self, now_s: float) -> None:
        assert self.source is not None and self.drive is not None
        second, at_s = self._second, now_s - self._begun_s
        second.seconds = now_s - self._second_s
        dropped = self.source.counters.dropped
        second.dropped, self._dropped = dropped - self._dropped, dropped
        begin_s, end_s = self._asked.without
        name = PHASES[(at_s >= begin_s) + (at_s >= end_s)]
        cores = len(os.sched_getaffinity(0))
        print(f"{at_s:5.0f}  {cores} cores  level {self._governor.place}  {second.fps:5.1f} fps  "
              f"p99 {second.share(99):6.1f} ms  {second.dropped:3} dropped", flush=True)  # fmt: skip
        self.phases[name].add(second)
        self._second, self._second_s = Tally(), now_s
        self._squeeze(name == "one core")
        if self._governor.place or name != "all again":
            self._reduced_s = now_s
        if now_s - self._reduced_s >= CALM_S or at_s >= self._asked.most:
            self.drive.stop()

    def _squeeze(self, wanted: bool) -> None:
        if wanted == (os.sched_getaffinity(0) != self._cores):
            return
        self._stack.close()
        if wanted:
            self._stack.enter_context(burners(self._asked.burners))
        use_cores({min(self._cores)} if wanted else self._cores)


def use_cores(cores: set[int]) -> None:
    """Bind all threads of this process, those of decoder and networks as well."""
    for task in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), cores)
        except ProcessLookupError:
            continue  # it ended meanwhile


@contextmanager
def burners(count: int) -> Iterator[None]:
    """So many other programs that want the one core that is left, all the time."""
    core = min(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile os.getppid() == {os.getpid()}: sum(range(10000))"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def main() -> None:
    """Play, take a core, give it back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--p99", type=float, default=50.0, help="limit in ms, 0: none, so that lost frames alone count")
    parser.add_argument("--enough", type=float, default=6.0, help="enough_fps, which lost frames are counted against")
    parser.add_argument("--without", type=float, nargs=2, default=(20.0, 80.0), help="seconds with one core only")
    parser.add_argument("--most", type=float, default=450.0, help="seconds after which it ends in any case")
    parser.add_argument("--burners", type=int, default=2, help="other programs on the one core that is left")
    parser.add_argument("--ungoverned", action="store_true", help="the same at the full level")
    asked = parser.parse_args()
    none = GovernorConfig(queue_ms=0, celsius=0, lost_percent=0)
    governor = Governor(none if asked.ungoverned else GovernorConfig(p99_ms=asked.p99, enough_fps=asked.enough))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        squeezed = Squeezed(governor, asked, stack)
        beats = Path(folder, "beats.jsonl")
        config = msgspec.structs.replace(
            Config(),
            models=ModelsConfig(tier="large"),
            store=StoreConfig(path=folder),
            output=OutputConfig(heartbeat=str(beats)),
            learning=LearningConfig(watch_drift=False),
        )
        squeezed.drive = Drive(config, Screen(), Probe(squeezed.open, squeezed.hear), governor)
        summary = squeezed.drive.run()
        told = [msgspec.json.decode(line, type=Heartbeat) for line in beats.read_bytes().splitlines()]
    print("\n| phase | seconds | fps | searched fps | dropped | p50, ms | p99, ms |\n|---|---|---|---|---|---|---|")
    for name, tally in squeezed.phases.items():
        print(f"| {name} | {tally.seconds:.0f} | {tally.fps:.1f} | {tally.searched_fps:.1f} | {tally.dropped} "
              f"| {tally.share(50):.1f} | {tally.share(99):.1f} |")  # fmt: skip
    print(
        f"\n{summary.frames} frames, {summary.dropped} dropped, {summary.coasted} not searched, "
        f"{summary.unread} plates left unread; {summary.confirmed} confirmed; "
        f"{summary.level_changes} changes of level, the last to '{summary.level}'; "
        f"{len(told)} heartbeats, {sum(beat.keeping_up for beat in told)} of them keeping up"
    )


if __name__ == "__main__":
    main()
