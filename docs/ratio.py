"""The whole way beside its stages, each alone: how much does what connects them cost?

    python docs/ratio.py [RECORDING] [--rounds 3] [--threads 0]        (all its frames are held in memory)

- whole way: the drive of `edge-alpr run` without a terminal, events stored with their pictures. Frames over the seconds
  from the first one asked for to the last event told. The decoder works ahead on threads of its own; finding (motion's
  small copy, detect, rectify) is a frame ahead of reading (read, motion, track, store) where there are two cores.
- a stage alone: the same frames through this stage and nothing else, with what the stage before made of them. decode is
  the recording read to its end, each frame mapped and given back; rectify has the copies for pictures in it, track the
  deciding. The store is not measured alone: it runs for few frames.
- The slowest stage bounds a pipeline whose stages work side by side, each on a core of its own; the sum of all stages
  over the cores bounds it where there are fewer. Both ratios are printed; what is missing to 1 in the second is the
  cost of what connects the stages, and the store.

Medians of rounds; each measures the whole way and then the stages.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from edge_alpr.app import Models, device_id, open_models
from edge_alpr.camera import open_source
from edge_alpr.config import Config, ModelsConfig, SourceConfig, StoreConfig
from edge_alpr.device.host import usable_cores
from edge_alpr.drive import Drive, Screen, sharing
from edge_alpr.stages.event import EventMaker
from edge_alpr.stages.keep import patch, small_scene
from edge_alpr.stages.track import CameraMotion, Tracker
from edge_alpr.types import Crop, Detection, Floats, Frame, Observation, Read


def held(config: SourceConfig) -> list[Frame]:
    """All frames of a recording, with pixels of their own."""
    kept = []
    with open_source(config) as source:
        for frame in source:
            with frame:
                chroma = tuple(plane.copy() for plane in frame.chroma)
                kept.append(replace(frame, luma=frame.luma.copy(), chroma=chroma, release=lambda: None))
    return kept


class Alone:
    """The stages over held frames, in the order of `stages`; what one makes is what the next one is given."""

    def __init__(self, config: Config, models: Models, frames: Sequence[Frame]) -> None:
        self._config, self._models, self._frames = config, models, frames
        self._motions: list[Floats | None] = []
        self._found: list[list[Detection]] = []
        self._crops: list[list[Crop]] = []
        self._reads: list[list[Read]] = []
        self.stages: dict[str, Callable[[], None]] = {
            "motion": self._motion,
            "detect": self._detect,
            "rectify": self._rectify,
            "read": self._read,
            "track": self._track,
        }

    @property
    def plates(self) -> int:
        """Found in all frames together."""
        return sum(map(len, self._found))

    def _motion(self) -> None:
        motion = CameraMotion()
        self._motions = []
        for frame in self._frames:
            motion.follow(motion.look(frame.luma))
            self._motions.append(motion.shift())

    def _detect(self) -> None:
        self._found = [self._models.detect(frame.luma) for frame in self._frames]

    def _rectify(self) -> None:
        self._crops = []
        for frame, found in zip(self._frames, self._found, strict=True):
            self._crops.append([self._models.cut(frame.luma, d) for d in found])
            _ = [patch(frame.luma, d) for d in found], small_scene(frame) if found else None

    def _read(self) -> None:
        self._reads = [self._models.read(crops) for crops in self._crops]

    def _track(self) -> None:
        """Without pictures, at which neither the tracker nor the decision looks."""
        tracker = Tracker(self._config.track, self._models.formats.interpret)
        decide = EventMaker(self._config.event, device_id(self._config), self._models.formats)
        for frame, motion, crops, reads in zip(self._frames, self._motions, self._crops, self._reads, strict=True):
            seen = [Observation(c.detection, c, r) for c, r in zip(crops, reads, strict=True)]
            decide.update(tracker.update(seen, frame.stamp_ns, frame.epoch_ms, frame.camera_id, motion))


def whole_way(config: Config) -> float:
    """Seconds, without opening models and source."""
    with tempfile.TemporaryDirectory(prefix="edge-alpr-ratio-") as folder:
        stored = msgspec.structs.replace(config, store=StoreConfig(path=folder))
        return Drive(stored, Screen()).run().seconds


def decode_alone(config: SourceConfig) -> float:
    """Seconds, without opening."""
    with open_source(config) as source:
        begin = time.perf_counter()
        for frame in source:
            frame.release()
        return time.perf_counter() - begin


def measure(config: Config, alone: Alone) -> dict[str, float]:
    """One round: seconds of the whole way, and of each stage."""
    spent = {"whole way": whole_way(config), "decode": decode_alone(config.source)}
    for name, stage in alone.stages.items():
        begin = time.perf_counter()
        stage()
        spent[name] = time.perf_counter() - begin
    return spent


def show(rounds: Sequence[dict[str, float]], frames: int, plates: int) -> None:
    """The table, and both ratios."""
    spent = {name: float(np.median([each[name] for each in rounds])) for name in rounds[0]}
    print(f"{frames} frames, {plates / frames:.2f} plates a frame, medians of {len(rounds)} rounds")
    for name, seconds in spent.items():
        print(f"{name:10} {1e3 * seconds / frames:7.2f} ms a frame {frames / seconds:9.1f} fps")
    whole = spent.pop("whole way")
    slowest = max(spent, key=lambda name: spent[name])
    cores = usable_cores()
    shared = sum(spent.values()) / cores
    print(f"whole way over the slowest stage alone ({slowest}): {spent[slowest] / whole:.2f}")
    print(f"whole way over all stages shared by {cores} cores ({frames / shared:.1f} fps): {shared / whole:.2f}")


def main() -> None:
    """Hold the frames, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", nargs="?", default="sample://drive")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="for a network; 0: as in a drive")
    asked = parser.parse_args()
    config = sharing(Config(source=SourceConfig(uri=asked.recording), models=ModelsConfig(threads=asked.threads)))
    frames = held(config.source)
    alone = Alone(config, open_models(config), frames)
    rounds = [measure(config, alone) for _ in range(asked.rounds)]
    show(rounds, len(frames), alone.plates)


if __name__ == "__main__":
    main()
