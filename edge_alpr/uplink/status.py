"""What waits, and what was refused, as people read it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edge_alpr.sinks.outbox import peek


def show_status(folder: Path) -> None:
    """Print it. Raises `StoreError`."""
    console = Console(highlight=False)
    states, letters = peek(folder)
    table = Table("target", "waiting", "sent", "refused", "gone before sent")
    for name, saved in states.items():
        ended = [str(saved.outcomes.get(outcome, 0)) for outcome in ("sent", "refused", "gone")]
        table.add_row(name, str(len(saved.waiting)), *ended)
    console.print(table if states else "nothing was ever on its way")
    for letter in letters:
        when = f"{datetime.fromtimestamp(letter.epoch_ms / 1000, timezone.utc):%Y-%m-%d %H:%M:%S}"
        console.print(f"{when} {letter.target} refused event {letter.seq}: {letter.reason}", markup=False)
