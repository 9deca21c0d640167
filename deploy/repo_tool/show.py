"""What the terminal shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from tuf.api.metadata import TargetFile

from deploy.repo_tool.metadata import State
from deploy.repo_tool.rates import Rate, Tally
from deploy.repo_tool.rollouts import Rollout
from deploy.repo_tool.settings import Watching


@contextmanager
def copying(path: Path, console: Console) -> Iterator[Callable[[int], None]]:
    """A bar on stderr that hears of bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(path.name), total=path.stat().st_size)
        yield lambda count: bar.advance(task, count)


def say(console: Console, *lines: str) -> None:
    """Plain lines."""
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)


def rollouts_table(
    rollouts: Iterable[Rollout], tally: Tally, watching: Watching, now: datetime, console: Console
) -> None:
    """One row each, with what cars said."""
    table = Table(box=None, pad_edge=False)
    for head in ("roll-out", "file", "state", "share", "boards", "took", "failed", "surely above", "why"):
        right = head in {"share", "took", "failed", "surely above"}
        table.add_column(head, justify="right" if right else "left", overflow="fold")
    for one in rollouts:
        rate: Rate = tally.rate(one, watching, now)
        last = one.history[-1].why if one.history else ""
        cells = (
            one.name, one.target, one.state + (", back" if one.back else ""), f"{one.share:.2%}",
            ", ".join(one.boards) or "any", str(rate.took), str(rate.failed), f"{rate.least:.1%}", last,
        )  # fmt: skip
        table.add_row(*map(escape, cells))
    console.print(table)


def files_table(files: Iterable[TargetFile], console: Console) -> None:
    """What exists."""
    table = Table(box=None, pad_edge=False)
    for head in ("file", "version", "boards", "needs", "MB"):
        table.add_column(head, justify="right" if head == "MB" else "left", overflow="fold")
    for file in files:
        custom = file.custom if isinstance(file.custom, dict) else {}
        boards = ", ".join(custom.get("boards", ())) or "any"
        cells = (file.path, str(custom.get("version")), boards, str(custom.get("needs") or "any image"))
        table.add_row(*map(escape, cells), f"{file.length / 1e6:.1f}")
    console.print(table)


def state_lines(repository: str, state: State) -> Iterator[str]:
    """Versions and dates of expiry of one repository."""
    for role in ("root", "targets", "snapshot", "timestamp"):
        signed = state.of(role)
        yield f"{repository} {role}: version {signed.version}, good until {signed.expires:%Y-%m-%d %H:%M} UTC"
