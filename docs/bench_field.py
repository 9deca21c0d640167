"""Our speed beside others' that are installed here: one core, one plate in view, decoded frame to read.

    python docs/bench_field.py [ROUNDS]       (nothing else should run)

Each reader is opened once; then they take turns, a round of frames each, so that a slow moment of the machine hits
all of them. It times them; it does not say which of them reads better.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

CORE = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {CORE})  # before any library starts its threads
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import cv2  # noqa: E402

from edge_alpr.app import open_models  # noqa: E402
from edge_alpr.bench.rendered import TEXTS, draw  # noqa: E402
from edge_alpr.config import Config, ModelsConfig, Tier  # noqa: E402
from edge_alpr.types import Luma  # noqa: E402

SIZE = (1280, 720)
PICTURES, WARM_UP = 8, 5
Reads = Callable[[Luma, Any], list[str]]
"""Texts of a frame, from its luma (H, W) or from the same picture as BGR (H, W, 3): each takes what it is made for."""


def ours(tier: Tier) -> Reads:
    """The shipped models, one thread."""
    models = open_models(Config(models=ModelsConfig(tier=tier, threads=1)))
    return lambda luma, _bgr: [seen.read.plate for seen in models.observe(luma)[0]]


def open_alpr() -> Reads:
    """The `openalpr` binding, for European plates. Raises `ImportError` where it is not installed."""
    alpr = import_module("openalpr").Alpr("eu", "", "")
    if not alpr.is_loaded():
        raise ImportError("its library or its data is missing")
    return lambda _luma, bgr: [found["plate"] for found in alpr.recognize_ndarray(bgr)["results"]]


def fast_alpr() -> Reads:
    """The package `fast_alpr` with the models it opens by itself. Raises `ImportError` where it is not installed."""
    alpr = import_module("fast_alpr").ALPR()
    return lambda _luma, bgr: [str(found.ocr.text) for found in alpr.predict(bgr) if found.ocr]


READERS: dict[str, Callable[[], Reads]] = {
    "edge-alpr large": lambda: ours("large"),
    "edge-alpr small": lambda: ours("small"),
    "openalpr": open_alpr,
    "fast_alpr": fast_alpr,
}


def installed() -> dict[str, Reads]:
    """Those that open here; the others are said to be absent, with the reason."""
    found = {}
    for name, opener in READERS.items():
        try:
            found[name] = opener()
        except ImportError as error:
            print(f"{name}: absent ({error})")
        except Exception as error:  # another project's errors are unknown here: it is said, and the others go on
            print(f"{name}: does not open ({type(error).__name__}: {error})")
    return found


def main() -> None:
    """Take turns, then print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    cv2.setNumThreads(1)
    pictures = [(luma, cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR)) for luma in (draw(1, SIZE, s) for s in range(PICTURES))]
    readers = installed()
    for read in readers.values():
        for picture in pictures[:WARM_UP]:
            read(*picture)
    spent: dict[str, list[float]] = {name: [] for name in readers}
    right = dict.fromkeys(readers, 0)
    for _ in range(rounds):
        for name, read in readers.items():
            for picture in pictures:
                begin = time.perf_counter_ns()
                texts = read(*picture)
                spent[name].append((time.perf_counter_ns() - begin) / 1e6)
                right[name] += TEXTS[0] in texts
    print(f"core {CORE}, {SIZE[0]}x{SIZE[1]}, one plate, {rounds} rounds of {PICTURES} frames, ms a frame")
    for name, times in spent.items():
        shown = f"p50 {np.median(times):.1f}  p99 {np.percentile(times, 99):.1f}"
        print(f"{name:16} {shown}  read as drawn {right[name]} of {len(times)}")


if __name__ == "__main__":
    main()
