"""What the store keeps and why, and what it let go: for the owner, and for who asks on behalf of those seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from edge_alpr.config import Config
from edge_alpr.records.select import Wanted, chosen
from edge_alpr.sinks.marks import Marks
from edge_alpr.sinks.retention import Passage
from edge_alpr.sinks.tally import Gone, tally
from edge_alpr.sinks.view import StoreView

_WHY = {
    "forgotten": "hit no list and had their time",
    "expired": "older than store.retention_days",
    "quota": "the oldest, when store.quota_mb was reached",
    "purged": "by command",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """Passages that are kept for one reason."""

    why: str
    passages: int
    bytes: int
    oldest_ms: int
    """When the newest state of the oldest was stored, UTC; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Report:
    """The whole account."""

    kept: tuple[Kept, ...]
    lists: dict[str, int]
    """Hits by list."""
    deleted: tuple[Gone, ...]
    share: str
    forget_after_min: float
    retention_days: float
    quota_mb: float
    encrypted: bool


def make_report(view: StoreView, config: Config) -> Report:
    """Count what is kept. Raises `StoreError`."""
    counted = tally(view.folder)
    locked = {mark.uuid for mark in Marks(view.folder).named("locked")}
    kept = _kept(counted.passages, locked, config)
    lists = Counter(event.match.list for event in chosen(view, Wanted(hits=True)) if event.match)
    privacy, store = config.privacy, config.store
    limits = (privacy.share, privacy.forget_after_min, store.retention_days, store.quota_mb)
    return Report(kept, dict(lists), counted.gone, *limits, counted.encrypted)


def as_dict(report: Report) -> dict[str, Any]:
    """The report for programs."""
    return asdict(report)


def show_report(report: Report, console: Console) -> None:
    """The report for people."""
    table = Table("kept because", "passages", "MB", box=None, padding=(0, 2, 0, 0))
    for kept in report.kept:
        table.add_row(kept.why, str(kept.passages), f"{kept.bytes / 1e6:.1f}")
    for name, count in sorted(report.lists.items()):
        table.add_row(f"  on the list {name}", str(count), "")
    console.print(table)
    gone = Table("deleted because", "passages", "pictures", box=None, padding=(0, 2, 0, 0))
    for reason, why in _WHY.items():
        of_reason = [g for g in report.deleted if g.reason == reason]
        passages, pictures = sum(g.passages for g in of_reason), sum(g.pictures for g in of_reason)
        gone.add_row(f"{reason}: {why}", str(passages), str(pictures))
    console.print(gone)
    console.print(f"may leave the car: {report.share}; on the disk: {'encrypted' if report.encrypted else 'plain'}")


def _kept(passages: tuple[Passage, ...], locked: set[str], config: Config) -> tuple[Kept, ...]:
    minutes = config.privacy.forget_after_min
    waiting = f"seen within {minutes:g} min (no hit)" if minutes else "no hit, and privacy.forget_after_min is 0"
    groups: dict[str, list[Passage]] = {"locked": [], "hit of a list": [], waiting: []}
    for passage in passages:
        why = "locked" if passage.uuid in locked else "hit of a list" if passage.hit else waiting
        groups[why].append(passage)
    return tuple(
        Kept(why, len(group), sum(p.bytes for p in group), min((p.stored_ms for p in group), default=0))
        for why, group in groups.items()
    )
