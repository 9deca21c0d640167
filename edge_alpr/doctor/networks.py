"""Probes of the networks: they are believed only once they have run here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import metadata
from statistics import median

import cv2
import numpy as np

from edge_alpr.config import Config
from edge_alpr.doctor.finding import Finding, from_error
from edge_alpr.errors import ModelError
from edge_alpr.evidence import canonical
from edge_alpr.geometry import box_quad
from edge_alpr.infer import adapt
from edge_alpr.infer.card import KINDS, Card
from edge_alpr.infer.package import ModelPackage
from edge_alpr.infer.sets import configured, current_set
from edge_alpr.ports import Session
from edge_alpr.stages.detect import Detector
from edge_alpr.stages.read import Reader
from edge_alpr.types import Detection, Luma

GOLDEN_TEXT = "B123XYZ"
GOLDEN_BOX = (560, 440, 720, 476)
"""Where the plate of the golden frame lies: xmin, ymin, xmax, ymax."""
_RUNS, _WARM_UP = 5, 2
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
"""Names under which ONNX Runtime is installed."""


def golden_frame() -> Luma:
    """A drawn car with a drawn plate that says `GOLDEN_TEXT`, (720, 1280) uint8: nothing in it can be misread."""
    frame = np.full((720, 1280), 96, np.uint8)
    frame[:360] = 150
    cv2.rectangle(frame, (440, 250), (840, 560), 45, -1)
    cv2.rectangle(frame, (500, 270), (780, 360), 90, -1)
    x0, y0, x1, y1 = GOLDEN_BOX
    cv2.rectangle(frame, (x0, y0), (x1 - 1, y1 - 1), 225, -1)
    cv2.putText(frame, GOLDEN_TEXT, (x0 + 9, y1 - 8), cv2.FONT_HERSHEY_DUPLEX, 0.97, 20, 2, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(frame, (3, 3), 0), np.uint8)


def model_set(config: Config) -> Iterator[Finding]:
    """Which set of the shelf reads; nothing is said where there is no shelf."""
    if not config.models.shelf:
        return
    try:
        yield Finding("model set", "ok", f"{current_set(config.models).title} of {config.models.shelf}")
    except ModelError as error:
        found = from_error("model set", error, "limited")
        yield Finding("model set", "limited", f"the shipped models read: {found.what}", found.remedy)


def detector(config: Config) -> Iterator[Finding]:
    """The detector's package, run on the golden frame and timed."""
    package = configured(config.models, "detector")
    find, frame = _detector(config, package), golden_frame()
    yield Finding("detector", "ok", f"{_name(package.card)}: {median_ms(lambda: find(frame)):.1f} ms a frame")


def reader(config: Config) -> Iterator[Finding]:
    """The reader's package, run on the golden plate and timed."""
    package = configured(config.models, "reader")
    read = _reader(config, package)
    crop = adapt.cutter(package.card)(golden_frame(), Detection(box_quad(*GOLDEN_BOX), 1.0))
    yield Finding("reader", "ok", f"{_name(package.card)}: {median_ms(lambda: read([crop])):.1f} ms a plate")


def whole_way(config: Config) -> Iterator[Finding]:
    """Both together: the plate of the golden frame is found and read."""
    try:
        found, package = (configured(config.models, kind) for kind in KINDS)
        find, read, cut = _detector(config, found), _reader(config, package), adapt.cutter(package.card)
    except ModelError:
        yield Finding("whole way", "missing", "not tried: see the detector and the reader")
        return
    frame = golden_frame()
    texts = [said.plate for said in read([cut(frame, plate) for plate in find(frame)])]
    if canonical(GOLDEN_TEXT) in map(canonical, texts):
        yield Finding("whole way", "ok", f"a drawn plate reads {GOLDEN_TEXT}")
        return
    own = config.models.detector or config.models.reader
    said = ", ".join(text for text in texts if text) or "nothing"
    what = f"a drawn plate {GOLDEN_TEXT} reads {said}"
    if own:
        yield Finding("whole way", "limited", f"{what}: are your own models made for such plates?", "edge-alpr eval")
    else:
        yield Finding("whole way", "missing", f"{what}: the networks do not work here", "install edge-alpr again")


def runtimes(config: Config) -> Iterator[Finding]:
    """The run-times that really run the reader here."""
    from edge_alpr.infer.rungs import RUNGS, open_session  # noqa: PLC0415

    package = configured(config.models, "reader")
    for rung in RUNGS:
        try:
            open_session(package, config.models.threads, rung)
        except ModelError as error:
            yield from_error("run-time", error)
        else:
            yield Finding("run-time", "ok", f"ONNX Runtime {_runtime_version()}: {rung} runs")


def _session(config: Config, package: ModelPackage) -> Session:
    from edge_alpr.infer.rungs import open_session  # noqa: PLC0415 - one that does not load is a finding

    return open_session(package, config.models.threads)


def _detector(config: Config, package: ModelPackage) -> Detector:
    return Detector(_session(config, package), config.detect, adapt.detector_spec(package.card))


def _reader(config: Config, package: ModelPackage) -> Reader:
    return Reader(_session(config, package), adapt.reader_spec(package.card))


def _name(card: Card) -> str:
    return f"{card.title} {card.version} ({card.sha256[:12]})"


def median_ms(run: Callable[[], object]) -> float:
    """Milliseconds of a call: the median of a few, after a few to warm up."""
    for _ in range(_WARM_UP):
        run()
    times: list[float] = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return median(times)


def _runtime_version() -> str:
    for name in _RUNTIMES:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "of an unknown version"
