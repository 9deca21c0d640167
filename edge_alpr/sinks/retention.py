"""Which passages are deleted, and why: decisions only. `housekeeping` acts on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_alpr.config import PrivacyConfig, StoreConfig

Reason: TypeAlias = Literal["forgotten", "expired", "quota", "purged"]
FIRST_SURE_MS = 1_735_689_600_000
"""2025-01-01: what was stored "before" was stored under a clock that nobody had set; its age is not known."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What counts of a passage: the `seq` of its newest state, and when that was stored (wall clock, UTC)."""

    uuid: str
    seq: int
    stored_ms: int
    hit: bool
    bytes: int
    """On the disk, pictures included."""
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of the configuration; 0: none."""

    forget_ms: float
    retention_ms: float
    quota_bytes: float


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by two clocks: the wall clock may jump, so of this run's passages the monotonic one tells the age.

    `start_seq` is the last `seq` when this run began; all up to `aged_seq` were there longer than `Rules.forget_ms` ago
    by the monotonic clock.
    """

    now_ms: int
    start_seq: int
    aged_seq: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """A passage that goes."""

    passage: Passage
    reason: Reason


def rules_of(store: StoreConfig, privacy: PrivacyConfig) -> Rules:
    """The limits in the units that are decided in."""
    return Rules(privacy.forget_after_min * 60e3, store.retention_days * 86_400e3, store.quota_mb * 1e6)


def choose_deletions(passages: Sequence[Passage], total_bytes: int, rules: Rules, moment: Moment) -> list[Deletion]:
    """What goes of `passages` (some or all of the store's, which takes `total_bytes`), the oldest first.

    Locked passages stay whatever the limits say.
    """
    chosen: list[Deletion] = []
    left = total_bytes
    for passage in sorted((p for p in passages if not p.locked), key=lambda p: p.seq):
        reason = _reason(passage, rules, moment)
        if reason is None and rules.quota_bytes and left > rules.quota_bytes:
            reason = "quota"
        if reason is not None:
            chosen.append(Deletion(passage, reason))
            left -= passage.bytes
    return chosen


def _reason(passage: Passage, rules: Rules, moment: Moment) -> Reason | None:
    age_ms = moment.now_ms - passage.stored_ms
    if rules.forget_ms and not passage.hit:
        old = passage.seq <= moment.start_seq and age_ms >= rules.forget_ms
        if old or passage.seq <= moment.aged_seq:
            return "forgotten"
    if rules.retention_ms and passage.stored_ms >= FIRST_SURE_MS and age_ms >= rules.retention_ms:
        return "expired"
    return None
