"""One command for a machine with a GPU: python -m export.gpu_checks --json gpu-checks.json"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from export.gpu_checks.isolate import checked_apart
from export.gpu_checks.line import Line
from export.gpu_checks.machine import driver, facts
from export.gpu_checks.memory import memory
from export.gpu_checks.parity import parity, rungs
from export.gpu_checks.plans import build
from export.gpu_checks.site import Site
from export.gpu_checks.timing import latency, throughput
from export.gpu_checks.video import video

Check: TypeAlias = Callable[[Site], Iterator[Line]]
CHECKS: Mapping[str, tuple[Check, float]] = {
    "facts": (facts, 30),
    "driver": (driver, 30),
    "build": (build, 300),
    "parity": (parity, 120),
    "throughput": (throughput, 90),
    "latency": (latency, 90),
    "memory": (memory, 90),
    "rungs": (rungs, 150),
    "video": (video, 40),
}
"""In the order in which they run, each with its limit in seconds, which grows with the time for all."""
USUAL_S = 570.0
_COLOURS = {"ok": "green", "failed": "red", "absent": "yellow"}


def main(
    engines: Annotated[Path, typer.Option(help="The graphs for the GPU; plans are put beside them.")] = Path(
        "engines/build"
    ),
    data: Annotated[Path, typer.Option(help="Labelled pictures, where there are some.")] = Path("../shared/data"),
    json: Annotated[Path | None, typer.Option(help="Also write the lines here, after each check.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Run this check alone; may be given again.")] = None,
    frames: Annotated[int, typer.Option(help="Frames for the memory.")] = 10_000,
    seconds: Annotated[float, typer.Option(help="For all checks together.")] = USUAL_S,
    make: Annotated[str, typer.Option(help="First make the graphs for such frames: 1280x720.")] = "",
    into: Annotated[Path | None, typer.Option(hidden=True, help="Run here, and add the lines to this file.")] = None,
) -> None:
    """Run the checks, each in a process of its own. Exit 1 where one failed; what is absent here is told."""
    chosen = only or list(CHECKS)
    if unknown := sorted(set(chosen) - CHECKS.keys()):
        raise typer.BadParameter(f"there is no check {', '.join(unknown)}; known: {', '.join(CHECKS)}")
    if into is not None:
        site = Site(engines, data if data.is_dir() else None)
        run_here(chosen, replace(site, effort=replace(site.effort, frames=frames)), into)
        return
    if make:
        _make(engines, make)
    arguments = ["--engines", str(engines), "--data", str(data), "--frames", str(frames)]
    lines = run_apart(chosen, arguments, seconds, json)
    raise typer.Exit(int(any(line.result == "failed" for line in lines)))


def run_here(checks: Sequence[str], site: Site, into: Path) -> None:
    """Run checks in this process; each line is in the file as soon as it is known."""
    for name in checks:
        for line in CHECKS[name][0](site):
            with into.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")


def run_apart(checks: Sequence[str], arguments: Sequence[str], seconds: float, report: Path | None) -> list[Line]:
    """Run checks, each in a process of its own; show each line, and keep them in the report."""
    end, console = time.monotonic() + seconds, Console() if sys.stdout.isatty() else Console(width=160)
    lines: list[Line] = []
    for name in checks:
        limit_s = min(CHECKS[name][1] * max(1.0, seconds / USUAL_S), end - time.monotonic())
        found = list(checked_apart(name, arguments, limit_s))
        lines += found
        show(found, console)
        if report is not None:
            report.write_bytes(msgspec.json.format(msgspec.json.encode(lines), indent=2) + b"\n")
    counts = {result: sum(line.result == result for line in lines) for result in _COLOURS}
    console.print(", ".join(f"{count} {result}" for result, count in counts.items()))
    return lines


def show(lines: Sequence[Line], console: Console) -> None:
    """A table of one check's lines."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for line in lines:
        figures = ", ".join(f"{name} {value}" for name, value in line.figures.items())
        told = "; ".join(filter(None, [line.why, figures]))
        result = Text(line.result, _COLOURS[line.result])
        table.add_row(Text(line.check), Text(line.what), result, Text(f"{line.seconds:.1f} s"), Text(told))
    console.print(table)


def _make(folder: Path, frame: str) -> None:
    from export.compose import Plane  # noqa: PLC0415 - needs onnx, which a board does not have
    from export.gpu_checks.make import make_graphs  # noqa: PLC0415

    width, height = (int(side) for side in frame.split("x"))
    make_graphs(folder, Plane(width, height, -(-width // 256) * 256))


if __name__ == "__main__":
    typer.run(main)
