"""The `eval` verb: runs the models over a labelled set, and the whole pipeline over its rides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress

from edge_alpr.app import Models, make_pipeline, open_models
from edge_alpr.camera import wall_ms
from edge_alpr.camera.folder import Folder
from edge_alpr.camera.pictures import load_luma
from edge_alpr.config import Config
from edge_alpr.errors import EdgeAlprError
from edge_alpr.evaluate import (
    Confirmed,
    LabelledImage,
    PlateFound,
    RideReport,
    evaluate_stills,
    load_dataset,
    render_report,
    render_rides,
    report_json,
    rides_json,
    score_events,
)
from edge_alpr.geometry import box_quad
from edge_alpr.pipeline import Told
from edge_alpr.types import Detection


def assess(dataset: Path, split: str | None, config: Config, json_file: Path | None, console: Console) -> int:
    """Measure, print the figures, and write them as JSON where asked; the number of pictures that do not open.

    Raises the typed errors of its parts.
    """
    images = load_dataset(dataset, split)
    models = open_models(config)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("pictures", total=len(images))

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        report = evaluate_stills(images, _Stills(models).picture, progress, _Stills(models).crop)
        rides = replay(images, load_dataset(dataset), config, models) if any(i.ride for i in images) else None
    render_report(report, console)
    if rides is not None:
        render_rides(rides, console)
    if json_file is not None:
        document = {
            "dataset": str(dataset),
            "split": split,
            "models": models.identities,
            "stills": report_json(report),
            "rides": None if rides is None else rides_json(rides),
        }
        try:
            json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
        except OSError as error:
            raise EdgeAlprError(f"{json_file}: cannot be written: {error.strerror}; name another file") from error
    return len(report.unreadable)


class _Stills:
    """Single pictures as the scorer wants them read."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def picture(self, path: Path) -> list[PlateFound]:
        observations, _ = self._models.observe(load_luma(path))
        return [
            PlateFound(o.detection.quad, o.detection.score, self._models.formats.withheld(o.read)) for o in observations
        ]

    def crop(self, path: Path) -> list[PlateFound]:
        """A picture that is one plate, cut at its edges: only the reader runs."""
        luma = load_luma(path)
        height, width = luma.shape
        whole = Detection(box_quad(0, 0, width - 1, height - 1), 1.0)
        read = self._models.formats.withheld(self._models.read([self._models.cut(luma, whole)])[0])
        return [PlateFound(whole.quad, 1.0, read)]


def replay(
    images: Sequence[LabelledImage], known: Sequence[LabelledImage], config: Config, models: Models
) -> RideReport:
    """Play the frames of each ride through a fresh pipeline and score its confirmed events.

    `known` are all labelled frames of the rides: a confirmed text is wrong where none of them has it.
    """
    frames = sorted((i for i in images if i.ride), key=lambda i: (i.ride, i.second))
    events: list[Confirmed] = []
    for ride, group in groupby(frames, key=lambda i: i.ride):
        events += _play(ride, list(group), config, models)
    return score_events(events, images, config.event.cooldown_s, known)


def _play(ride: str, frames: Sequence[LabelledImage], config: Config, models: Models) -> list[Confirmed]:
    """The confirmed events of one ride that were not taken back."""
    pipeline = make_pipeline(config, models)
    seconds = {image.path.name: image.second for image in frames}
    confirmed: dict[str, Confirmed] = {}

    def hear(told: Sequence[Told], second: float) -> None:
        for event in (t.event for t in told):
            if event.state == "confirmed":
                confirmed[event.uuid] = Confirmed(event.plate, ride, second)
            elif event.state == "withdrawn":
                confirmed.pop(event.uuid, None)

    second = frames[0].second
    folder = frames[0].path.parent
    with Folder(folder, list(seconds), f"dir://{folder}", config.source.camera_id, wall_ms) as source:
        for frame in source:
            second = seconds[Path(frame.origin).name]
            hear(pipeline.process(frame), second)
        hear(pipeline.finish(), second)
    return list(confirmed.values())
