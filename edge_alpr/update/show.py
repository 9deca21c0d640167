"""What people and programs see of updates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from edge_alpr.ota.steps import Plan, Step
from edge_alpr.ota.types import IMAGE
from edge_alpr.ota.types import Progress as Hear
from edge_alpr.ota.world import Report, Status

STAGES = {
    "available": "to be fetched",
    "downloaded": "fetched",
    "writing": "being written",
    "written": "in use, being watched",
    "trial": "on trial",
    "switching": "being switched to",
    "returning": "going back",
}


@contextmanager
def progress_bar(what: str) -> Iterator[Hear]:
    """A bar on stderr, one for each file, where a person watches."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task, last = bar.add_task(what), 0

        def hear(done: int, total: int) -> None:
            nonlocal task, last
            if done < last:
                task = bar.add_task(what)
            last = done
            bar.update(task, completed=done, total=total)

        yield hear


def show_plan(steps: Plan, as_json: bool) -> None:
    """What becomes of what the servers want."""
    if as_json:
        print(msgspec.json.encode([_step(step) for step in steps]).decode())
        return
    console = Console(highlight=False)
    if not steps:
        console.print("the servers want nothing of this car")
    for step in steps:
        console.print(Text(f"{step.target.unit} {step.target.version}: {_said(step)}"), soft_wrap=True)


def show_report(report: Report, fine: str) -> bool:
    """What came of it; whether something stood against it."""
    console = Console(highlight=False)
    for unit, why in report.troubles.items():
        console.print(Text(f"{unit}: {why}"), soft_wrap=True)
    if not report.troubles:
        console.print(Text(fine), soft_wrap=True)
    if report.reboot:
        console.print("the next boot starts the other side: reboot when the car stands")
    return bool(report.troubles)


def show_status(status: Status, as_json: bool) -> None:
    """How things are."""
    told = status_object(status)
    if as_json:
        print(msgspec.json.encode(told).decode())
        return
    console = Console(highlight=False)
    table = Table("unit", "runs", "before", "under way", "last update", box=None, header_style="bold")
    for one in told["units"]:
        way = f"{one['pending']['version']} {_stage(one)}" if one["pending"] else ""
        last = one["last"]
        said = f"{last['version']} {last['result']} {last['at'][:16]} {last['why']}".rstrip() if last else ""
        table.add_row(*map(Text, (one["unit"], one["running"] or "shipped", one["previous"], way, said)))
    console.print(table)
    side = f"{told['board']}, side {told['booted']} runs"
    console.print(side if told["booted"] == told["primary"] else f"{side}, the next boot starts {told['primary']}")


def status_object(status: Status) -> dict[str, Any]:
    """The same as one JSON object: docs/updates.md."""
    state = status.state
    units = sorted({*status.car.running, *state.pending, *state.results})
    return {
        "version": 1,
        "device_id": status.car.device_id,
        "board": status.car.board,
        "booted": status.booted,
        "primary": status.primary,
        "units": [_unit(status, unit) for unit in units],
    }


def _unit(status: Status, unit: str) -> dict[str, Any]:
    state = status.state
    pending, last = state.pending.get(unit), state.results.get(unit)
    return {
        "unit": unit,
        "running": status.car.running.get(unit, ""),
        "previous": state.previous.get(unit, ""),
        "pending": {"version": pending.target.version, "stage": pending.stage} if pending else None,
        "last": last and {"version": last.version, "result": last.result, "why": last.why, "at": _iso(last.at_s)},
    }


def _stage(one: dict[str, Any]) -> str:
    """A written image waits; written models work already."""
    stage = one["pending"]["stage"]
    return "waits for the next boot" if (one["unit"], stage) == (IMAGE, "written") else STAGES[stage]


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, timezone.utc).isoformat(timespec="seconds")


def _step(step: Step) -> dict[str, Any]:
    target = step.target
    return {"unit": target.unit, "version": target.version, "bytes": target.length, "taken": step.taken,
            "runs": step.runs, "waits": step.waits, "refused": step.refused}  # fmt: skip


def _said(step: Step) -> str:
    if step.refused:
        return f"refused: {step.refused}"
    if step.waits:
        return f"waits: {step.waits}"
    return "runs already" if step.runs else f"to be fetched and installed, {step.target.length / 1e6:.1f} MB"
