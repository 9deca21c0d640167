"""Trying a package: its card and hash, its graph, and a run on a drawn plate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_alpr.config import DetectConfig
from edge_alpr.doctor.networks import GOLDEN_BOX, GOLDEN_TEXT, golden_frame, median_ms
from edge_alpr.errors import ModelError
from edge_alpr.geometry import Rect, box_iou, box_quad, quad_box
from edge_alpr.infer import adapt
from edge_alpr.infer.package import ModelPackage, list_packages, load_package, shipped_folder
from edge_alpr.infer.rungs import open_session
from edge_alpr.ports import Session
from edge_alpr.stages.detect import Detector
from edge_alpr.stages.read import Reader
from edge_alpr.types import Detection, Luma

STEPS = ("hash and card", "graph", "trial run")
_SAME_PLACE = 0.3


@dataclass(frozen=True, slots=True)
class Trial:
    """How a package did: `failed` is the step that did not hold, empty if all did, and `problem` why.

    `said` is what came out for the drawn plate, `ms` the median of a run on one core.
    """

    path: Path
    package: ModelPackage | None = None
    failed: str = ""
    problem: str = ""
    said: str = ""
    ms: float = 0.0


def try_package(path: Path) -> Trial:
    """Try one package, as far as it gets; what it reads of the drawn plate is told, not judged."""
    try:
        package = load_package(path)
    except ModelError as error:
        return Trial(path, failed=STEPS[0], problem=str(error))
    try:
        session = open_session(package, 1)
    except ModelError as error:
        return Trial(path, package, STEPS[1], str(error))
    try:
        run = _detect if package.card.kind == "detector" else _read
        said, ms = run(package, session)
    except ModelError as error:
        return Trial(path, package, STEPS[2], f"{path}: {error}")
    return Trial(path, package, said=said, ms=ms)


def packages_of(targets: Sequence[Path]) -> list[Path]:
    """The ONNX files that folders and files name; the shipped ones for none. Raises `ModelError` for no model."""
    paths: list[Path] = []
    for target in targets or [shipped_folder()]:
        found = [listed.path for listed in list_packages(target)] if target.is_dir() else [target]
        if not found:
            raise ModelError(f"{target}: no .onnx file is in there; name the folder that holds them")
        paths += found
    return paths


def show_trials(trials: Sequence[Trial], console: Console) -> bool:
    """A row for each package, below it the reasons; True if all hold."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "kind", *STEPS, "drawn plate", "one core"):
        table.add_column(heading, overflow="fold")
    for trial in trials:
        card = trial.package.card if trial.package else None
        names = (card.title, card.kind) if card else (trial.path.stem, "")
        told = (trial.said, "" if trial.failed else f"{trial.ms:.2f} ms")
        table.add_row(*map(Text, names), *_marks(trial.failed), *map(Text, told))
    console.print(table)
    for trial in trials:
        if trial.failed:
            console.print(Text.assemble(("refused ", "red"), trial.problem), soft_wrap=True)
    return not any(trial.failed for trial in trials)


def _marks(failed: str) -> list[Text]:
    """A mark for each step: those before the failed one hold, those after it were not tried."""
    if not failed:
        return [Text("ok", "green")] * len(STEPS)
    place = STEPS.index(failed)
    return [Text("ok", "green")] * place + [Text("refused", "red")] + [Text("")] * (len(STEPS) - place - 1)


def _detect(package: ModelPackage, session: Session) -> tuple[str, float]:
    find = Detector(session, DetectConfig(), adapt.detector_spec(package.card))
    frame, box = golden_frame(), quad_box(box_quad(*GOLDEN_BOX))
    if package.card.detector and package.card.detector.tier == "near":
        frame, box = _window(frame, box)
    found = find(frame)
    hit = any(box_iou(quad_box(plate.quad), box) >= _SAME_PLACE for plate in found)
    others = f", {len(found) - hit} more" if len(found) > hit else ""
    return ("found" if hit else "not found") + others, median_ms(lambda: find(frame))


def _window(frame: Luma, box: Rect) -> tuple[Luma, Rect]:
    """What the second look is shown of the golden frame: the plate in the middle, two thirds of the width."""
    (x0, y0, x1, y1), scale = box, 2 / 3
    left, top = round((x0 + x1) / 2) - 120, round((y0 + y1) / 2) - 72
    window = cv2.resize(frame[top : top + 144, left : left + 240], (160, 96), interpolation=cv2.INTER_AREA)
    place = (x0 - left) * scale, (y0 - top) * scale, (x1 - left) * scale, (y1 - top) * scale
    return np.asarray(window, np.uint8), place


def _read(package: ModelPackage, session: Session) -> tuple[str, float]:
    read = Reader(session, adapt.reader_spec(package.card))
    crop = adapt.cutter(package.card)(golden_frame(), Detection(box_quad(*GOLDEN_BOX), 1.0))
    (said,) = read([crop])
    right = "" if said.plate == GOLDEN_TEXT else f", it says {GOLDEN_TEXT}"
    return f"{said.plate or 'no text'} {said.score:.0%}{right}", median_ms(lambda: read([crop]))
