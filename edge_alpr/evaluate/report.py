"""Reports of an evaluation for people: tables and lines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_alpr.evaluate.calibration import Calibration
from edge_alpr.evaluate.compare import Comparison
from edge_alpr.evaluate.document import SHARES
from edge_alpr.evaluate.overtime import OverTime
from edge_alpr.evaluate.rides import SURE, RideReport
from edge_alpr.evaluate.stills import Report

SHOWN = 20
"""Failures, vehicles and changes shown to people; the JSON has all."""

_TITLES = ("recall", "whole\nplate", "of\nfound", "strict", "of\nfound", "top\n10", "char\nerrors", "of\nfound")


def render_report(report: Report, console: Console) -> None:
    """Print the figures of single pictures, the failures, and the pictures that could not be opened."""
    table = _table("Single pictures, in %", ("plates",), ("number", *_TITLES))
    for group, found in report.groups:
        if found.plates:
            shares = (_shown(getattr(found, name)) for name in SHARES)
            table.add_row(group.title, str(found.plates), *shares)
    console.print(table)
    console.print("Strict tells O from 0 and I from 1. Groups from `40 px up` on hold legible plates.", style="dim")
    console.print(_precision(report))
    _say(console, _calibration_line("whole plates", report.plate_calibration))
    _say(console, _calibration_line("characters", report.char_calibration))
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
        _say(console, f"  {line}")
    sure = report.sure_events
    right = sum(event.right for event in sure)
    _say(console, f"events stated at {SURE} or more: {right} of {len(sure)} right")
    _say(console, _calibration_line("events", report.event_calibration))
    _say(console, _calibration_line("fused texts of tracks", report.track_calibration))
    _render_over_time(report, console)


def _render_over_time(report: RideReport, console: Console) -> None:
    """Single frames against fused texts: the sum, and the vehicles for which one of them is not simply right."""
    if not report.over_time:
        return
    sums = report.totals
    count = sums.vehicles
    _say(console, f"over time: best single frame {sums.best_right} of {count}, fused {sums.fused_right} of {count}")
    _say(
        console,
        f"  right at each of {sums.frames} marked frames: the frame alone {sums.right_frames}, its track by then "
        f"{sums.fused_frames}; median {_seconds(sums.median_first_right_s)} to the first right text, "
        f"{_seconds(sums.median_told_s)} to the event",
    )
    ordered = sorted(report.over_time, key=lambda v: (v.fused_right, v.best_right, v.told_s is not None, v.single or 0))
    table = _table("Vehicles over time, those with trouble first", ("ride", "plate"), (), ())
    for title in ("frames", "right\nalone", "best\nframe", "", "fused", "", "first\nright", "told"):
        table.add_column(title, justify="left" if title in ("best\nframe", "fused") else "right", no_wrap=True)
    for vehicle in ordered[:SHOWN]:
        table.add_row(*_vehicle_cells(vehicle))
    console.print(table)
    _more(console, len(ordered))


def _vehicle_cells(v: OverTime) -> tuple[str | Text, ...]:
    return (
        Text(v.ride),
        v.plate,
        str(v.frames),
        str(v.right_frames),
        _judged(v.best_read, v.best_right),
        f"{v.best_score:.2f}" if v.best_read else "",
        _judged(v.fused, v.fused_right),
        f"{v.fused_score:.2f}" if v.fused else "",
        _seconds(v.first_right_s),
        _seconds(v.told_s),
    )


def _judged(text: str, right: bool) -> Text:
    return Text("right", style="dim") if right else Text(text or "nothing", style="red")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def render_comparison(comparison: Comparison, headlines: Sequence[tuple[str, str, str, str]], console: Console) -> None:
    """Print two model pairs side by side, and the plates that changed. `headlines`: title, other, this, difference."""
    table = _table("Other pair, this pair, and the difference, in %", ("plates",), ("number",))
    for title in ("recall", "whole\nplate", "char\nerrors"):
        for heading in (f"{title}\nother", "this", "diff"):
            table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
    for group, other, this in comparison.groups:
        if this.plates:
            sides = ((getattr(other, name), getattr(this, name)) for name in ("recall", "accuracy", "cer"))
            cells = [cell for a, b in sides for cell in (_shown(a), _shown(b), _difference(a, b))]
            table.add_row(group.title, str(this.plates), *cells)
    console.print(table)
    whole = _table("", ("whole set",), ("other", "this", "diff"), ())
    for row in headlines:
        whole.add_row(*row)
    if headlines:
        console.print(whole)
    if comparison.only_this or comparison.only_other:
        left = f"{comparison.only_other} plates only the other run has, {comparison.only_this} only this one"
        _say(console, f"left out: {left}")
    _render_changes(comparison, console)


def _render_changes(comparison: Comparison, console: Console) -> None:
    if not comparison.changes:
        _say(console, "No plate changed.")
        return
    _say(console, f"changed: {', '.join(f'{number} {kind}' for kind, number in comparison.counts.items())}")
    table = _table("Plates that changed", ("picture", "truth", "other read", "this read", "change", "by"), ("px",))
    for c in comparison.changes[:SHOWN]:
        table.add_row(Text(c.image), c.truth, c.read_before, c.read_after, c.kind, c.fault, f"{c.width_px:.0f}")
    console.print(table)
    _more(console, len(comparison.changes))


def _calibration_line(what: str, calibration: Calibration) -> str:
    if calibration.ece is None:
        return f"calibration of {what}: nothing was stated"
    counts = ", ".join(str(one.count) for one in calibration.bins)
    chance = 100 * (calibration.ece_by_chance or 0.0)
    return (
        f"calibration of {what}: error {100 * calibration.ece:.1f} % over {calibration.count}, "
        f"true scores would show {chance:.1f} % (bins of {counts})"
    )


def _table(title: str, left: Sequence[str], right: Sequence[str], fold: Sequence[str] = ("picture",)) -> Table:
    """A plain table. Columns in `fold` may break their cells."""
    table = Table(title=title, box=None, padding=(0, 1, 0, 0), title_justify="left")
    for heading in (*left, *right):
        justify = "right" if heading in right else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=heading not in fold)  # type: ignore[arg-type]
    return table


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False)


def _more(console: Console, number: int) -> None:
    if number > SHOWN:
        _say(console, f"and {number - SHOWN} more; all of them with --json")


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
    table = _table(title, ("picture", "truth", "read", "kind"), ("score", "px"))
    for failure in report.failures[:SHOWN]:
        score = f"{failure.score:.2f}" if failure.kind == "misread" else ""
        width = f"{failure.width_px:.0f}"
        table.add_row(Text(failure.image), failure.truth, failure.read, failure.kind, score, width)
    console.print(table)
    _more(console, len(report.failures))


def _shown(share: float | None) -> str:
    """A share in per cent."""
    return "-" if share is None else f"{100 * share:.1f}"


def _difference(before: float | None, after: float | None) -> str:
    """In points of a hundred, with its sign."""
    return "-" if before is None or after is None else f"{100 * (after - before):+.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
