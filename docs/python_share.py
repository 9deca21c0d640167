"""How much of a frame is Python's own: its time less the time within ONNX Runtime and OpenCV.

    python docs/python_share.py [--frames 300] [--plates 1 4]         (one core; nothing else should run)

From outside: `InferenceSession.run` and every OpenCV function that the package calls get a timer. NumPy counts as ours,
and so do msgspec, SQLite and the timers themselves (about 0.3 us a call). The frames are held in memory, so that no
decoder shares the core: the sample drive, and so many drawn plates. A frame is what `edge-alpr bench` calls frame to
told, the drive's own loop included. Taking a frame from GStreamer is not in it: see decode and map there.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

CORE = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {CORE})  # before any library starts its threads
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
from ratio import held  # noqa: E402
from typing_extensions import Self  # noqa: E402

import edge_alpr  # noqa: E402
from edge_alpr.bench.rendered import Rendered  # noqa: E402
from edge_alpr.config import Config, ModelsConfig, SourceConfig, StoreConfig  # noqa: E402
from edge_alpr.drive import Drive, Probe, Screen  # noqa: E402
from edge_alpr.types import Frame, SourceCounters, SourceInfo  # noqa: E402

SIZE = (1280, 720)
ROWS = ("motion", "detect", "rectify", "read", "track", "store", "total")
WARM_UP = 30
"""Frames that are not counted."""


@dataclass
class Native:
    """Every native call so far: its begin and how long it took, ns."""

    begins: list[int] = field(default_factory=list)
    spent: list[int] = field(default_factory=list)

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, noted."""

        def wrapped(*args: Any, **named: Any) -> Any:
            begin = time.perf_counter_ns()
            result = call(*args, **named)
            self.spent.append(time.perf_counter_ns() - begin)
            self.begins.append(begin)
            return result

        return wrapped

    def watch(self) -> None:
        """Time what the package calls, from now on."""
        sources = (path.read_text(encoding="utf-8") for path in Path(edge_alpr.__file__).parent.rglob("*.py"))
        for name in {name for text in sources for name in re.findall(r"\bcv2\.(\w+)\(", text)}:
            setattr(cv2, name, self.timed(getattr(cv2, name)))
        ort.InferenceSession.run = self.timed(ort.InferenceSession.run)


class Played:
    """A `FrameSource` over frames in memory."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self.info, self.counters = SourceInfo("memory", live=False), SourceCounters()

    def __iter__(self) -> Iterator[Frame]:
        yield from self._frames

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def own(native: Native, spans: Sequence[tuple[int, int]]) -> tuple[list[float], list[float], list[int]]:
    """Of each span: ms, ms of Python's own, native calls."""
    begins, total = np.array(native.begins), np.concatenate([[0], np.cumsum(native.spent)])
    whole, ours, calls = [], [], []
    for begin, end in spans:
        first, last = np.searchsorted(begins, (begin, end))
        whole.append((end - begin) / 1e6)
        ours.append((end - begin - int(total[last] - total[first])) / 1e6)
        calls.append(int(last - first))
    return whole, ours, calls


def drive(what: str, frames: Sequence[Frame], native: Native) -> None:
    """One drive over held frames, and its rows."""
    spans: dict[str, list[tuple[int, int]]] = {name: [] for name in ROWS}

    def hear(name: str, begin: int, end: int) -> None:
        if name in spans:
            spans[name].append((begin, end))

    with tempfile.TemporaryDirectory(prefix="edge-alpr-share-") as folder:
        config = Config(models=ModelsConfig(threads=1), store=StoreConfig(path=folder))
        summary = Drive(config, Screen(), Probe(lambda _: Played(frames), hear)).run()
    print(f"\n{what}: {summary.frames} frames, {summary.plates / summary.frames:.2f} plates a frame; ms a frame")
    print("              frames   all p50   own p50   own p99   native calls p50")
    begun = spans["total"][WARM_UP][0]
    for name in ROWS:
        whole, ours, calls = own(native, [span for span in spans[name] if span[0] >= begun])
        if whole:
            p50, p99 = np.percentile(ours, (50, 99))
            print(f"{name:12} {len(whole):7} {np.median(whole):9.2f} {p50:9.2f} {p99:9.2f} {np.median(calls):18.0f}")


def main() -> None:
    """The sample drive, then drawn plates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300, help=f"of each drive, more than {WARM_UP}")
    parser.add_argument("--plates", type=int, nargs="*", default=[1], help="drawn in view, a drive for each")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    native = Native()
    native.watch()
    print(f"core {CORE}, {SIZE[0]}x{SIZE[1]}, one thread")
    drive("sample drive", held(SourceConfig())[: asked.frames], native)
    for plates in asked.plates:
        drive(f"{plates} drawn", list(islice(Rendered(plates, SIZE), asked.frames)), native)


if __name__ == "__main__":
    main()
