"""The governor on this machine: the sample drive as a live camera of 30 fps, and a core taken away in its middle.

    python docs/governor_drive.py [--p99 60] [--laps 6] [--without 40 80] [--ungoverned]

Prints a line a second: cores, level, frames a second, p99 of decoded frame to reads, frames dropped. Frames come by
their media time, and only the newest one waits; decoding runs beside, on the same cores.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from edge_alpr.app import make_pipeline, open_models, steer
from edge_alpr.camera import open_source
from edge_alpr.config import Config, GovernorConfig, ModelsConfig
from edge_alpr.ops.governor import Governor
from edge_alpr.pipeline import Pipeline
from edge_alpr.types import Frame


class Camera:
    """Plays the sample drive `laps` times at its own pace. Holds the newest frame; what it displaces is `dropped`."""

    def __init__(self, config: Config, laps: int) -> None:
        self._config, self._laps = config, laps
        self._newest: Frame | None = None
        self._changed = threading.Condition()
        self._over = False
        self.dropped = 0

    def frames(self) -> Iterator[Frame]:
        """Frames stamped with the monotonic time at which they came."""
        threading.Thread(target=self._play, daemon=True).start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._over)
                frame, self._newest = self._newest, None
            if frame is None:
                return
            yield frame

    def _play(self) -> None:
        begin_s = time.monotonic()
        for _ in range(self._laps):
            with open_source(self._config.source) as source:
                for frame in source:
                    due_s = begin_s + frame.stamp_ns / 1e9
                    with frame:
                        kept = replace(frame, luma=frame.luma.copy(), chroma=tuple(p.copy() for p in frame.chroma))
                    time.sleep(max(0.0, due_s - time.monotonic()))
                    self._show(replace(kept, stamp_ns=time.monotonic_ns(), release=lambda: None))
            begin_s = max(due_s + 1 / 30, time.monotonic())
        with self._changed:
            self._over = True
            self._changed.notify()

    def _show(self, frame: Frame) -> None:
        with self._changed:
            self.dropped += self._newest is not None
            self._newest = frame
            self._changed.notify()


def use_cores(cores: set[int]) -> None:
    """Bind all threads of this process, those of decoder and networks as well."""
    for task in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), cores)
        except ProcessLookupError:
            continue  # it ended meanwhile


class Seconds:
    """Prints what happened in each second."""

    def __init__(self, camera: Camera, pipeline: Pipeline, governor: Governor) -> None:
        self._camera, self._pipeline, self._governor = camera, pipeline, governor
        self._begin_s = self._shown_s = time.monotonic()
        self._spent: list[float] = []
        self._frames = self._dropped = 0
        print("   s  cores  level             fps   p99 ms  dropped  why")

    @property
    def so_far(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin_s

    def take(self, spent_ms: float) -> None:
        """Note one frame."""
        self._frames += 1
        if self._pipeline.searched:
            self._spent.append(spent_ms)
        passed_s = time.monotonic() - self._shown_s
        if passed_s >= 1:
            self._print(passed_s)

    def _print(self, passed_s: float) -> None:
        p99 = np.percentile(self._spent, 99) if self._spent else 0.0
        dropped, self._dropped = self._camera.dropped - self._dropped, self._camera.dropped
        cores = len(os.sched_getaffinity(0))
        level = f"{self._governor.place} {self._governor.level.name}"
        why = self._governor.last.reason if self._governor.last else ""
        fps = self._frames / passed_s
        print(f"{self.so_far:4.0f}  {cores:5}  {level:15} {fps:5.1f}  {p99:7.1f}  {dropped:7}  {why}", flush=True)
        self._shown_s, self._frames, self._spent = time.monotonic(), 0, []


def main() -> None:
    """Play, take a core, give it back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--p99", type=float, default=60.0, help="limit in ms")
    parser.add_argument("--laps", type=int, default=6, help="of 20 s each")
    parser.add_argument("--without", type=float, nargs=2, default=(40.0, 80.0), help="seconds with one core only")
    parser.add_argument("--ungoverned", action="store_true", help="the same at the full level")
    asked = parser.parse_args()
    limits = GovernorConfig(p99_ms=asked.p99) if not asked.ungoverned else GovernorConfig(queue_ms=0, celsius=0)
    config = msgspec.structs.replace(Config(), governor=limits, models=ModelsConfig(tier="large"))
    models = open_models(config)
    pipeline, governor, camera = make_pipeline(config, models), Governor(limits), Camera(config, asked.laps)
    steering = steer(config, models, pipeline, governor)
    all_cores = os.sched_getaffinity(0)
    few = {min(all_cores)}
    seconds = Seconds(camera, pipeline, governor)
    confirmed = 0
    for frame in camera.frames():
        begun = time.perf_counter_ns()
        confirmed += sum(told.event.state == "confirmed" for told in pipeline.process(frame))
        took = time.perf_counter_ns() - begun
        steering.frame(frame.stamp_ns, took, pipeline.searched, time.monotonic_ns())
        seconds.take(took / 1e6)
        wanted = few if asked.without[0] <= seconds.so_far < asked.without[1] else all_cores
        if os.sched_getaffinity(0) != wanted:
            use_cores(wanted)
    counts = pipeline.counts
    print(
        f"{counts.frames} frames, {camera.dropped} dropped, {counts.coasted} not searched, {counts.unread} plates left "
        f"unread; {confirmed} confirmed; {governor.changes} changes of level"
    )


if __name__ == "__main__":
    main()
