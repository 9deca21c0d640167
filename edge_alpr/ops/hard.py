"""Which plates were hard to read, why, and which of the kept ones give way. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_alpr.types import State

Reason: TypeAlias = Literal["corrected", "withdrawn", "disagreeing", "unsure", "unread"]

RANKS: dict[Reason, int] = {"corrected": 9, "withdrawn": 4, "disagreeing": 3, "unsure": 2, "unread": 1}
"""How much a person's look at it is worth: the driver said so; we took it back; reads contradict each other; the score
ended between possible and confirmed; a large plate in view for long was never told."""
MIN_READS = 3
"""Fewer reads say nothing about agreement."""
MIN_WIDTH_PX = 60.0
MIN_SECONDS = 0.5
"""A plate so wide for so long should have been read."""
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Ending:
    """A track at its end: what was told of it last (None: nothing), and what it came to."""

    state: State | None
    plate: str
    score: float
    reads: int
    agreement: float
    width_px: float
    seconds: float
    clipped: bool

    @property
    def should_be_read(self) -> bool:
        """Large enough for long enough."""
        return self.width_px >= MIN_WIDTH_PX and self.seconds >= MIN_SECONDS and not self.clipped


@dataclass(frozen=True, slots=True)
class Thresholds:
    """`possible` and `confirm` are the scores of the events, `agreement` the least that is not hard."""

    possible: float
    confirm: float
    agreement: float


def why_hard(ending: Ending, limits: Thresholds) -> tuple[Reason, ...]:
    """Why this track is worth a person's look, the weightiest reason first; () where it is not."""
    reasons: list[Reason] = []
    if ending.state == "withdrawn":
        reasons.append("withdrawn")
    if ending.reads >= MIN_READS and ending.agreement < limits.agreement and ending.width_px >= MIN_WIDTH_PX / 2:
        reasons.append("disagreeing")
    if ending.state != "confirmed" and limits.possible <= ending.score < limits.confirm:
        reasons.append("unsure")
    if ending.state is None and ending.should_be_read and ending.score < limits.confirm:
        reasons.append("unread")
    return tuple(reasons)


def hardness(reasons: Sequence[Reason], score: float, agreement: float) -> int:
    """0 to 9999, the hardest highest: first by the weightiest reason, then by how unsure the read was."""
    doubt = 1 - min(max(score, 0.0), 1.0) * min(max(agreement, 0.0), 1.0)
    return max((RANKS[reason] for reason in reasons), default=0) * 1000 + round(999 * doubt)


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept example as its file's name tells it."""

    uuid: str
    hardness: int
    epoch_ms: int
    size: int
    """Bytes on disk."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What may be kept."""

    count: int
    size: int
    """Bytes."""
    days: float


def choose_deletions(kept: Sequence[Entry], quota: Quota, now_ms: int) -> list[Entry]:
    """What must go: all that is too old; then, while there is too much, the easiest, of equals the oldest."""
    oldest_ms = now_ms - quota.days * _DAY_MS
    gone = [entry for entry in kept if entry.epoch_ms < oldest_ms]
    left = [entry for entry in kept if entry.epoch_ms >= oldest_ms]
    size = sum(entry.size for entry in left)
    for given, entry in enumerate(sorted(left, key=lambda e: (e.hardness, e.epoch_ms, e.uuid))):
        if len(left) - given <= quota.count and size <= quota.size:
            break
        gone.append(entry)
        size -= entry.size
    return gone
