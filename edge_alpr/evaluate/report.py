"""Reports of an evaluation: tables for people, plain JSON for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_alpr.evaluate.figures import Figures
from edge_alpr.evaluate.rides import RideReport
from edge_alpr.evaluate.stills import Report

SHOWN = 20
"""Failures shown to people; the JSON has all."""

_COLUMNS = (
    ("recall", "recall"),
    ("whole\nplate", "accuracy"),
    ("of\nfound", "accuracy_found"),
    ("strict", "accuracy_strict"),
    ("of\nfound", "accuracy_found_strict"),
    ("top\n10", "top"),
    ("char\nerrors", "cer"),
    ("of\nfound", "cer_found"),
)


def render_report(report: Report, console: Console) -> None:
    """Print the figures of single pictures, the failures, and the pictures that could not be opened."""
    table = Table(title="Single pictures, in %", box=None, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("plates", no_wrap=True)
    for title in ("number", *(title for title, _ in _COLUMNS)):
        table.add_column(title, justify="right", no_wrap=True)
    for group, found in report.groups:
        if found.plates:
            shares = (_shown(getattr(found, name)) for _, name in _COLUMNS)
            table.add_row(group.title, str(found.plates), *shares)
    console.print(table)
    console.print("Strict tells O from 0 and I from 1. Widths are of legible plates.", style="dim")
    console.print(_precision(report))
    _render_failures(report, console)
    for lost in report.unreadable:
        console.print(f"not opened: {lost.image}: {lost.reason}", style="red", markup=False, highlight=False)


def render_rides(report: RideReport, console: Console) -> None:
    """Print what was told of the vehicles of the rides, and which were missed or wrong."""
    console.print(
        f"vehicles {len(report.found)} of {len(report.vehicles)} told, wrong texts {len(report.wrong)}, "
        f"notifications {report.notifications} for {len(report.found_passages)} passages"
        f" ({_ratio(report.per_passage)} each)",
        highlight=False,
    )
    lines = [f"missed: {plate} in {ride}" for ride, plate in report.missed]
    lines += [
        f"wrong: {w.event.plate} in {w.event.ride} at {w.event.second:.0f} s"
        + (f", {w.chars_differ} from {w.nearest}" if w.nearest else "")
        for w in report.wrong
    ]
    lines += [f"passed unheard: {p.plate} in {p.ride} at {p.first_s:.0f} s" for p in report.silent]
    lines += [
        f"told {t.events} times: {t.passage.plate} in {t.passage.ride} at {t.passage.first_s:.0f} s"
        for t in report.repeated
    ]
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False)


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
        "failures": [asdict(failure) for failure in report.failures],
        "strays": [asdict(stray) for stray in report.strays],
        "unreadable": [asdict(lost) for lost in report.unreadable],
        "plates": [{**asdict(outcome), "right": outcome.right} for outcome in report.outcomes],
    }
    return {key: _plain(value) for key, value in document.items()}


def rides_json(report: RideReport) -> dict[str, Any]:
    """What was told in rides as plain JSON values."""
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
    }
    return {key: _plain(value) for key, value in document.items()}


def _figures(found: Figures) -> dict[str, float | int | None]:
    return asdict(found) | {name: getattr(found, name) for _, name in _COLUMNS}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _precision(report: Report) -> Text:
    total = report.found_in_complete + len(report.strays)
    if report.precision is None:
        return Text("Precision: none, as nothing was found in pictures whose plates are all marked.")
    return Text(
        f"Precision {_shown(report.precision)} %: {len(report.strays)} of {total} found are no plates "
        "(unreadable ones left out; only pictures whose plates are all marked)."
    )


def _render_failures(report: Report, console: Console) -> None:
    if not report.failures:
        return
    title = f"Legible plates not read whole: {len(report.failures)}"
    table = Table(title=title, box=None, padding=(0, 1, 0, 0), title_justify="left")
    for heading in ("picture", "truth", "read", "score", "px", "kind"):
        right = heading in ("score", "px")
        table.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=heading != "picture")
    for failure in report.failures[:SHOWN]:
        score = f"{failure.score:.2f}" if failure.kind == "misread" else ""
        width = f"{failure.width_px:.0f}"
        table.add_row(Text(failure.image), failure.truth, failure.read, score, width, failure.kind)
    console.print(table)
    if len(report.failures) > SHOWN:
        console.print(f"and {len(report.failures) - SHOWN} more; all of them with --json")


def _shown(share: float | None) -> str:
    """A share in per cent."""
    return "-" if share is None else f"{100 * share:.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
