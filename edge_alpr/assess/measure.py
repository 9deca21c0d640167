"""One pair of models over a labelled set: single pictures, then rides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from edge_alpr.app import Models, open_models
from edge_alpr.assess.rides import replay
from edge_alpr.camera.pictures import load_luma
from edge_alpr.config import Config
from edge_alpr.evaluate import Conditions, LabelledImage, PlateFound, Report, RideReport, conditions, evaluate_stills
from edge_alpr.evaluate.labels import BoxPx
from edge_alpr.geometry import box_quad
from edge_alpr.types import Detection, Luma


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure on: the pictures asked for, all that are known of the set, and the kind of its labels."""

    images: list[LabelledImage]
    known: list[LabelledImage]
    kind: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What a pair of models made of a set; `rides` is None where it has none."""

    models: Models
    stills: Report
    rides: RideReport | None


def measure(task: Task, config: Config) -> Measured:
    """Open the models that `config` names and run them over everything. Raises the typed errors of its parts."""
    models = open_models(config)
    eyes = _Eyes(models)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(f"pictures ({task.kind})", total=len(task.images))

        def progress(done: int, total: int) -> None:
            bar.update(row, completed=done, total=total)

        stills = evaluate_stills(task.images, eyes.picture, progress, eyes.crop, eyes.look)
        rides = replay(task.images, task.known, config, models) if any(i.ride for i in task.images) else None
    return Measured(models, stills, rides)


class _Eyes:
    """Single pictures as the scorer wants them read; keeps the latest one, which is asked for again."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._latest: tuple[Path, Luma] | None = None

    def picture(self, path: Path) -> list[PlateFound]:
        observations, _ = self._models.observe(self._luma(path))
        withheld = self._models.formats.withheld
        return [PlateFound(o.detection.quad, o.detection.score, withheld(o.read)) for o in observations]

    def crop(self, path: Path) -> list[PlateFound]:
        """A picture that is one plate, cut at its edges: only the reader runs."""
        luma = self._luma(path)
        height, width = luma.shape
        whole = Detection(box_quad(0, 0, width - 1, height - 1), 1.0)
        read = self._models.formats.withheld(self._models.read([self._models.cut(luma, whole)])[0])
        return [PlateFound(whole.quad, 1.0, read)]

    def look(self, path: Path, box: BoxPx) -> Conditions:
        return conditions(self._luma(path), box)

    def _luma(self, path: Path) -> Luma:
        if self._latest is None or self._latest[0] != path:
            self._latest = (path, load_luma(path))
        return self._latest[1]
