"""What people see on the terminal around a run: the progress bar, the closing summary, the list of models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge_alpr.drive import Screen, Summary
from edge_alpr.errors import EdgeAlprError
from edge_alpr.infer.package import Listed, list_packages
from edge_alpr.infer.rungs import open_session
from edge_alpr.types import SourceCounters, SourceInfo


@contextmanager
def watching(console: Console, shown: bool) -> Iterator[Screen]:
    """A screen for a drive: rows as they come, a bar below them (not on a pipe); nothing if not `shown`."""
    if not shown:
        yield Screen()
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("frames"),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("[yellow]{task.fields[status]}"),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=5) as bar:
        task = bar.add_task("opening", total=None, rate="", status="")

        def opened(info: SourceInfo) -> None:
            bar.update(task, description=info.uri, total=info.total_frames)

        def progress(frames: int) -> None:
            if frames % 5 == 0:
                speed = bar.tasks[0].speed
                bar.update(task, completed=frames, rate=f"{speed:.0f} fps" if speed else "")

        said = ""

        def status(text: str) -> None:
            nonlocal said
            if text != said:
                said = text
                bar.update(task, status=text)

        yield Screen(console, opened, progress, status)


def show_summary(console: Console, summary: Summary) -> None:
    """The closing lines of a drive; nothing for one that never began."""
    if summary.stages is None:
        return
    total = summary.stages["total"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("frames", f"{summary.frames}{_losses(summary, summary.pictures_lost, summary.examples_lost)}")
    for name, counters in summary.cameras.items():
        lost = f"; lost: {counters.lost}" if counters.lost else ""
        table.add_row(f"  {name}", f"{counters.frames}{_losses(counters)}{lost}")
    table.add_row("plates seen", f"{summary.plates}, {summary.reads} with a text")
    first = "" if summary.first_plate_s is None else f", the first {summary.first_plate_s:.1f} s after the start"
    withheld = f", {summary.withheld} not told as they fit no format" if summary.withheld else ""
    table.add_row("vehicles", f"{summary.confirmed} confirmed, {summary.withdrawn} withdrawn{withheld}{first}")
    table.add_row("speed", f"{summary.fps:.1f} fps over {summary.seconds:.1f} s, decoding included")
    table.add_row("latency", f"p50 {total[0]:.1f} ms, p99 {total[1]:.1f} ms from decoded frame to event")
    stages = [f"{name} {p50:.1f}/{p99:.1f}" for name, (p50, p99) in summary.stages.items() if name != "total"]
    table.add_row("stages", f"{', '.join(stages)} ms (p50/p99)")
    if summary.level_changes:
        left_out = f"{summary.coasted} frames not searched, {summary.unread} plates left unread in a frame"
        changes = f"{summary.level_changes} changes, the last to '{summary.level}': {summary.last_change}"
        table.add_row("governor", f"{changes}; {left_out}")
    if summary.gpu_faults or summary.gpu_lost:
        given_up = f"; given up: {summary.gpu_lost}" if summary.gpu_lost else ""
        table.add_row("GPU", f"{summary.gpu_faults} calls failed, the processor took over{given_up}")
    if summary.examples_kept:
        table.add_row("to label", f"{summary.examples_kept} hard examples kept, encrypted; see `edge-alpr label`")
    console.print()
    console.print(table)


def _losses(counted: Summary | SourceCounters, pictures: int = 0, examples: int = 0) -> str:
    parts = {
        "dropped": counted.dropped,
        "unreadable": counted.unreadable,
        "caps changes": counted.caps_changes,
        "pictures not kept": pictures,
        "hard examples not kept": examples,
        "restarts": counted.restarts,
    }
    said = [f"{count} {name}" for name, count in parts.items() if count]
    if counted.last_restart:
        said[-1] += f" (last: {counted.last_restart})"
    return f" ({', '.join(said)})" if said else ", none dropped"


def show_models(folder: Path | None, console: Console) -> bool:
    """A table of packages, each opened once; True if all fit their cards. Raises `ModelError`."""
    packages = list_packages(folder or Path(str(resources.files("edge_alpr.models"))))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "kind", "version", "sha256", "size", "licence", "state"):
        table.add_column(heading, overflow="fold")
    problems = [(listed, _problem(listed)) for listed in packages]
    for listed, problem in problems:
        table.add_row(*_model_row(listed), "[red]refused[/]" if problem else "[green]ok[/]")
    console.print(table)
    for _, problem in problems:
        if problem:
            console.print(f"[red]refused[/] {problem}", soft_wrap=True)
    return bool(packages) and not any(problem for _, problem in problems)


def _problem(listed: Listed) -> str:
    if listed.package is None:
        return listed.problem
    try:
        open_session(listed.package, 1)
    except EdgeAlprError as error:
        return str(error)
    return ""


def _model_row(listed: Listed) -> tuple[str, ...]:
    if listed.package is None:
        return listed.path.stem, "", "", "", "", ""
    card = listed.package.card
    size = f"{len(listed.package.model) / 1e6:.2f} MB"
    return card.title, card.kind, card.version, card.sha256[:12], size, card.licence
