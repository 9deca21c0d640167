"""The `eval` verb: runs the models over a labelled set, and the whole pipeline over its rides."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from rich.console import Console

from edge_alpr.assess.crossing import Side, compare_with
from edge_alpr.assess.measure import Measured, Task, measure
from edge_alpr.assess.rides import replay
from edge_alpr.config import Config, load_config
from edge_alpr.errors import DatasetError, EdgeAlprError
from edge_alpr.evaluate import (
    comparison_json,
    headlines,
    kind_of,
    load_dataset,
    load_report,
    render_comparison,
    render_report,
    render_rides,
    report_json,
    rides_json,
    write_labels,
)
from edge_alpr.evaluate.document import Earlier
from edge_alpr.evaluate.sample import SCHEME, write_sample

__all__ = ["Request", "assess", "replay"]


@dataclass(frozen=True, slots=True)
class Request:
    """What `eval` was asked for. `dataset` is a folder or `sample://drive`; None: that file is not asked for.

    `compare` is another configuration (.toml), run on the same data, or an earlier report (.json).
    """

    dataset: str
    split: str | None = None
    json_file: Path | None = None
    compare: Path | None = None
    sheet: Path | None = None
    reliability: Path | None = None
    labels_file: Path | None = None


def assess(request: Request, config: Config, console: Console) -> int:
    """Measure, print the figures, and write the files asked for; the number of pictures that do not open.

    Raises the typed errors of its parts.
    """
    _check_drawing(request)
    other = None if request.compare is None else _other(request.compare)
    with ExitStack() as stack:
        task = _task(request, stack)
        if request.labels_file is not None:
            _write_labels(request.dataset, task, request.labels_file)
        measured = measure(task, config)
        render_report(measured.stills, console)
        if measured.rides is not None:
            render_rides(measured.rides, console)
        document = _document(request, measured)
        if other is not None:
            document["compare"] = {"other": str(request.compare), **_compare(other, task, measured, document, console)}
        if request.json_file is not None:
            _write_json(request.json_file, document)
        _draw(request, task, measured)
    return len(measured.stills.unreadable)


def _task(request: Request, stack: ExitStack) -> Task:
    folder = Path(request.dataset)
    if request.dataset.startswith(SCHEME):
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="edge-alpr-")))
        write_sample(request.dataset, folder)
    return Task(load_dataset(folder, request.split), load_dataset(folder), kind_of(folder))


def _write_labels(dataset: str, task: Task, file: Path) -> None:
    if dataset.startswith(SCHEME):
        raise DatasetError(f"{dataset}: its frames are not kept, so labels of them would name nothing; name a folder")
    write_labels(task.known, file)


def _document(request: Request, measured: Measured) -> dict[str, Any]:
    return {
        "dataset": request.dataset,
        "split": request.split,
        "models": measured.models.identities,
        "stills": report_json(measured.stills),
        "rides": None if measured.rides is None else rides_json(measured.rides),
    }


def _other(file: Path) -> Config | Earlier:
    """What to compare with, read before the work begins."""
    if file.suffix not in (".toml", ".json"):
        raise DatasetError(f"{file}: to compare with, give a configuration (.toml) or an earlier report (.json)")
    return load_config(file) if file.suffix == ".toml" else load_report(file)


def _compare(
    other: Config | Earlier, task: Task, this: Measured, document: dict[str, Any], console: Console
) -> dict[str, Any]:
    """Set the other pair's figures beside ours, print both, and give them as JSON values."""
    if isinstance(other, Earlier):
        other_document, identities = other.document, other.models
        side = Side(other.outcomes, None)
    else:
        measured = measure(task, other)
        other_document, identities = _document(Request(""), measured), measured.models.identities
        side = Side(measured.stills.outcomes, measured.models)
    comparison = compare_with(side, Side(this.stills.outcomes, this.models), task)
    beside = headlines(other_document, document)
    render_comparison(comparison, [headline.shown() for headline in beside], console)
    figures = {h.path: {"other": h.other, "this": h.this, "difference": h.this - h.other} for h in beside}
    return {"models": identities, "headlines": figures, **comparison_json(comparison)}


def _check_drawing(request: Request) -> None:
    """Say at once, not after the work, that matplotlib is missing."""
    if request.sheet or request.reliability:
        import edge_alpr.evaluate.drawing  # noqa: F401, PLC0415


def _draw(request: Request, task: Task, measured: Measured) -> None:
    if request.sheet is None and request.reliability is None:
        return
    from edge_alpr.evaluate.drawing import draw_reliability  # noqa: PLC0415
    from edge_alpr.evaluate.sheet import draw_sheet  # noqa: PLC0415

    if request.sheet is not None:
        paths = {image.name: image.path for image in task.images}
        draw_sheet(measured.stills.worst, paths, request.sheet, measured.models.cut)
    if request.reliability is not None:
        panels = {
            "whole plates": measured.stills.plate_calibration,
            "characters": measured.stills.char_calibration,
        }
        if measured.rides is not None:
            panels |= {"fused texts": measured.rides.track_calibration, "events": measured.rides.event_calibration}
        draw_reliability(panels, request.reliability)


def _write_json(file: Path, document: dict[str, Any]) -> None:
    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    except OSError as error:
        raise EdgeAlprError(f"{file}: cannot be written: {error.strerror}; name another file") from error
