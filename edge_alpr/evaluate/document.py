"""The report for programs: plain JSON values (docs/evaluation.md), and an earlier one read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge_alpr.errors import DatasetError
from edge_alpr.evaluate.calibration import Calibration
from edge_alpr.evaluate.compare import Comparison
from edge_alpr.evaluate.figures import Conditions, Figures, Outcome
from edge_alpr.evaluate.labels import BoxPx, Legibility
from edge_alpr.evaluate.rides import SURE, RideReport
from edge_alpr.evaluate.stills import Report

SHARES = (
    "recall",
    "accuracy",
    "accuracy_found",
    "accuracy_strict",
    "accuracy_found_strict",
    "top",
    "cer",
    "cer_found",
)
"""Shares stated of every group, by their names in `Figures`."""


def report_json(report: Report) -> dict[str, Any]:
    """The whole report as plain JSON values, every plate with its line; what is no number is null."""
    document = {
        "images": report.images,
        "precision": {
            "rate": report.precision,
            "found": report.found_in_complete,
            "false": len(report.strays),
        },
        "groups": {group.key: _figures(found) for group, found in report.groups},
        "calibration": {
            "plates": _calibration(report.plate_calibration),
            "characters": _calibration(report.char_calibration),
        },
        "failures": [asdict(failure) for failure in report.failures],
        "strays": [asdict(stray) for stray in report.strays],
        "unreadable": [asdict(lost) for lost in report.unreadable],
        "plates": [{**asdict(outcome), "right": outcome.right} for outcome in report.outcomes],
    }
    return {key: _plain(value) for key, value in document.items()}


def rides_json(report: RideReport) -> dict[str, Any]:
    """What was told in rides, and what single frames and fused texts said, as plain JSON values."""
    document = {
        "vehicles": len(report.vehicles),
        "found": len(report.found),
        "notifications": report.notifications,
        "found_passages": len(report.found_passages),
        "notifications_per_passage": report.per_passage,
        "missed": [{"ride": ride, "plate": plate} for ride, plate in report.missed],
        "wrong": [
            {**asdict(wrong.event), "nearest": wrong.nearest, "chars_differ": wrong.chars_differ}
            for wrong in report.wrong
        ],
        "passages": [{**asdict(told.passage), "events": told.events} for told in report.told],
        "calibration": {
            "events": _calibration(report.event_calibration),
            "tracks": _calibration(report.track_calibration),
            "sure_events": {
                "from": SURE,
                "events": len(report.sure_events),
                "right": sum(event.right for event in report.sure_events),
            },
        },
        "over_time": {
            "totals": asdict(report.totals),
            "vehicles": [{**asdict(vehicle), "single": vehicle.single} for vehicle in report.over_time],
        },
    }
    return {key: _plain(value) for key, value in document.items()}


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Two model pairs side by side as plain JSON values: each figure of the other pair, of this one, the difference."""
    document = {
        "groups": {
            group.key: _side_by_side(_figures(other), _figures(this)) for group, other, this in comparison.groups
        },
        "counts": comparison.counts,
        "changes": [{**asdict(change), "kind": change.kind} for change in comparison.changes],
        "only_other": comparison.only_other,
        "only_this": comparison.only_this,
    }
    return {key: _plain(value) for key, value in document.items()}


HEADLINES = (
    ("precision %", 100.0, ("stills", "precision", "rate")),
    ("calibration error of plates %", 100.0, ("stills", "calibration", "plates", "ece")),
    ("calibration error of characters %", 100.0, ("stills", "calibration", "characters", "ece")),
    ("vehicles told", 1.0, ("rides", "found")),
    ("wrong texts told", 1.0, ("rides", "wrong")),
    ("notifications per passage", 1.0, ("rides", "notifications_per_passage")),
    ("best single frame right", 1.0, ("rides", "over_time", "totals", "best_right")),
    ("fused text right", 1.0, ("rides", "over_time", "totals", "fused_right")),
    ("median s to the first right text", 1.0, ("rides", "over_time", "totals", "median_first_right_s")),
    ("median s to the event", 1.0, ("rides", "over_time", "totals", "median_told_s")),
    ("calibration error of events %", 100.0, ("rides", "calibration", "events", "ece")),
)
"""Figures of a whole document that are set side by side: title, factor, where it stands; of a list, its length."""


@dataclass(frozen=True, slots=True)
class Headline:
    """One figure of two documents."""

    title: str
    path: str
    other: float
    this: float

    def shown(self) -> tuple[str, str, str, str]:
        """Title, both figures and the difference, for people."""
        return self.title, f"{self.other:.4g}", f"{self.this:.4g}", f"{self.this - self.other:+.3g}"


def headlines(other: Mapping[str, Any], this: Mapping[str, Any]) -> list[Headline]:
    """The `HEADLINES` that both documents have."""
    found = ((t, factor, path, _look_up(other, path), _look_up(this, path)) for t, factor, path in HEADLINES)
    return [Headline(t, ".".join(p), f * a, f * b) for t, f, p, a, b in found if a is not None and b is not None]


def _look_up(document: Any, path: tuple[str, ...]) -> float | None:
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    if isinstance(document, list):
        return float(len(document))
    return float(document) if isinstance(document, (int, float)) else None


class _Plate(msgspec.Struct):
    """A line of `stills.plates`; files of earlier versions lack what has a default."""

    image: str
    truth: str
    legibility: Legibility
    width_px: float
    lines: int
    found: bool
    read: str = ""
    score: float | None = None
    candidates: tuple[str, ...] = ()
    box: BoxPx = (0.0, 0.0, 0.0, 0.0)
    quad: tuple[tuple[float, float], ...] = ()
    conditions: Conditions | None = None


class _Stills(msgspec.Struct):
    plates: list[_Plate]


class _Document(msgspec.Struct):
    stills: _Stills
    models: dict[str, str] = {}


@dataclass(frozen=True)
class Earlier:
    """A report of `--json`, read back. `document` is all of it."""

    models: dict[str, str]
    outcomes: tuple[Outcome, ...]
    document: dict[str, Any]


def load_report(path: Path) -> Earlier:
    """Read what `--json` wrote. Raises `DatasetError` where it is no such file."""
    try:
        data = path.read_bytes()
        found = msgspec.json.decode(data, type=_Document)
        document = msgspec.json.decode(data)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        reason = str(error).replace("`", "'")
        raise DatasetError(f"{path}: {reason}; give a file that edge-alpr eval --json wrote, or a .toml") from error
    return Earlier(found.models, tuple(_outcome(plate) for plate in found.stills.plates), document)


def _outcome(plate: _Plate) -> Outcome:
    score = math.nan if plate.score is None else plate.score
    return Outcome(
        image=plate.image,
        truth=plate.truth,
        legibility=plate.legibility,
        width_px=plate.width_px,
        lines=plate.lines,
        found=plate.found,
        read=plate.read,
        score=score,
        candidates=plate.candidates,
        box=plate.box,
        quad=plate.quad,
        conditions=plate.conditions,
    )


def _figures(found: Figures) -> dict[str, float | int | None]:
    return asdict(found) | {name: getattr(found, name) for name in SHARES}


def _calibration(calibration: Calibration) -> dict[str, Any]:
    bins = [asdict(one) for one in calibration.bins]
    errors = {name: getattr(calibration, name) for name in ("ece", "ece_by_chance")}
    return {**errors, "count": calibration.count, "bins": bins}


def _side_by_side(
    other: dict[str, float | int | None], this: dict[str, float | int | None]
) -> dict[str, dict[str, float | int | None]]:
    return {
        name: {"other": other[name], "this": value, "difference": _less(value, other[name])}
        for name, value in this.items()
    }


def _less(after: float | None, before: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
