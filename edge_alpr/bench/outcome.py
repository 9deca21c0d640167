"""What becomes of a report: shown, written, compared, and held against a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

from rich.console import Console

from edge_alpr.bench.budget import Limit, figures, missed, parse_budget
from edge_alpr.bench.meter import Meter
from edge_alpr.bench.report import Report, read_json, write_json
from edge_alpr.bench.show import show, show_change
from edge_alpr.bench.trace import write_trace

_Plot: TypeAlias = Callable[[Mapping[str, Sequence[float]], Path], None]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files to be written."""

    json: Path | None = None
    plot: Path | None = None
    trace: Path | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that is wanted of a report, checked before anything is measured."""

    outputs: Outputs
    old: Report | None
    limits: Sequence[Limit]
    plot: _Plot | None


def prepare(outputs: Outputs, compare: Path | None, budget: str | None) -> Wanted:
    """Read what a report will be held against.

    Raises `ConfigError` for a budget or an old report that cannot be read, `EdgeAlprError` where a picture is
    wanted without matplotlib.
    """
    plot: _Plot | None = import_module("edge_alpr.bench.plot").plot if outputs.plot else None
    limits = parse_budget(budget) if budget is not None else []
    return Wanted(outputs, read_json(compare) if compare else None, limits, plot)


def publish(report: Report, meter: Meter, wanted: Wanted, console: Console) -> bool:
    """Show and write a report; False where it missed the budget. Raises where a file cannot be written."""
    show(report, console)
    if wanted.old is not None:
        show_change(wanted.old, report, console)
    if wanted.outputs.json:
        write_json(report, wanted.outputs.json)
    if wanted.outputs.trace:
        write_trace(meter.spans, wanted.outputs.trace)
    if wanted.outputs.plot and wanted.plot:
        wanted.plot(meter.values, wanted.outputs.plot)
    return _kept(report, wanted.limits, console)


def _kept(report: Report, limits: Sequence[Limit], console: Console) -> bool:
    lost = missed(limits, figures(report))
    for line in lost:
        console.print(f"[red]missed[/] {line}", soft_wrap=True)
    if limits and not lost:
        console.print("[green]kept[/] the budget")
    return not lost
