"""What people see of a build: a bar for each graph that is built, and the table at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from edge_alpr.build.run import Row
from edge_alpr.infer.buildlog import Step
from edge_alpr.infer.graphs import Graph

_COLOURS = {"kept": "green", "checked": "green", "built": "green", "failed": "red"}


@contextmanager
def bars(console: Console) -> Iterator[Callable[[Graph], Step]]:
    """Gives what follows a graph: its bar shows the outermost phase, its text the one within.

    A version that tells nothing (8.6) has a bar that only moves.
    """
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[phase]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bar:

        def begin(graph: Graph) -> Step:
            task = bar.add_task(graph.name, total=None, phase="")

            def step(phase: str, parent: str, done: int, steps: int) -> None:
                if parent:
                    bar.update(task, phase=f"{phase} {done}/{steps}")
                else:
                    bar.update(task, completed=done, total=steps or None, phase=phase)

            return step

        yield begin


def show_rows(rows: Sequence[Row], console: Console) -> None:
    """What was done, a row for each graph."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("graph", "precision", "plan", "MB", "built in", "golden check", "why"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        size = f"{len(row.plan.data) / 1e6:.2f}" if row.plan else ""
        took = f"{row.seconds:.0f} s" if row.seconds else ""
        did = Text(row.did, _COLOURS[row.did])
        told = (Text(cell) for cell in (size, took, _golden(row), row.why))
        table.add_row(Text(row.graph.name), Text(row.graph.precision), did, *told)
    console.print(table)


def _golden(row: Row) -> str:
    golden = row.plan.sidecar.golden if row.plan else None
    if golden is None:
        return ""
    if row.graph.kind == "detector":
        return f"{golden.plates} plates, corners {golden.corners_px:.2f} px, scores {golden.score:.3f}"
    return f"{golden.texts_same} of {golden.texts} texts, scores {golden.score:.3f}"
