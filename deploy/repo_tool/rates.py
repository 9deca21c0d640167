"""How many of the cars that took an update failed, and how surely that is too many. Pure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from deploy.repo_tool.rollouts import RUNNING, Rollout, Rollouts
from deploy.repo_tool.settings import Watching

Result = Literal["trial", "good", "back", "refused"]
TRIAL, FAILED = "trial", ("back", "refused")
MOST_CHANGES = 6
"""Of a car's verdict on a version; what it says after those is not noted, or one car could fill the disk."""
NO_VERDICT = "no verdict since it was installed"


class Verdict(Struct, frozen=True, omit_defaults=True):
    """What a car said of one update, and when."""

    device_id: str
    unit: str
    version: str
    result: Result
    at: datetime
    why: str = ""
    topic: str = ""
    """The device's part of the topic, where it came by one: several ids may share it, and then one vote."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one roll-out."""

    took: int
    """Cars with a verdict: those on trial are not among them until that takes too long."""
    failed: int
    least: float
    """The share of failures is above this, as surely as asked for."""
    reasons: tuple[tuple[str, int], ...] = ()
    """The most frequent first."""


def wilson_lower(failed: int, took: int, z: float) -> float:
    """Lower end of Wilson's interval of a share, 0 for none."""
    if not took:
        return 0.0
    share, square = failed / took, z * z
    middle = share + square / (2 * took)
    return max(0.0, (middle - z * math.sqrt((share * (1 - share) + square / (4 * took)) / took)) / (1 + square / took))


@dataclass(slots=True)
class Tally:
    """The last verdict of each car on each version."""

    verdicts: dict[tuple[str, str], dict[str, Verdict]] = field(default_factory=dict)
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """How often the car changed its mind."""

    def take(self, verdict: Verdict) -> bool:
        """Whether it says something new. Heartbeats repeat themselves, and come late and in any order."""
        cars = self.verdicts.setdefault((verdict.unit, verdict.version), {})
        car = verdict.topic or verdict.device_id
        known = cars.get(car)
        if known and (verdict.at <= known.at or verdict.result == known.result):
            return False
        if known:
            change = (verdict.unit, verdict.version, car)
            if self.changes[change] >= MOST_CHANGES:
                return False
            self.changes[change] += 1
        cars[car] = verdict
        return True

    def rate(self, rollout: Rollout, watching: Watching, now: datetime) -> Rate:
        """Of the cars within the roll-out's share; others have it from elsewhere."""
        cars = self.verdicts.get((rollout.unit, rollout.version), {}).values()
        long_ago = now - timedelta(days=watching.verdict_days)
        reasons: Counter[str] = Counter()
        took = 0
        for car in cars:
            if not rollout.has(car.device_id) or (car.result == TRIAL and car.at > long_ago):
                continue
            took += 1
            if car.result in FAILED or car.result == TRIAL:
                reasons[NO_VERDICT if car.result == TRIAL else car.why or car.result] += 1
        failed = sum(reasons.values())
        return Rate(took, failed, wilson_lower(failed, took, watching.z), tuple(reasons.most_common(3)))


def why_pause(rate: Rate, watching: Watching) -> str:
    """Empty: it may go on."""
    if rate.failed < watching.least_failed or rate.least <= watching.limit:
        return ""
    often = "; ".join(f"{count} x {reason}" for reason, count in rate.reasons)
    return (
        f"{rate.failed} of {rate.took} cars failed, surely more than {rate.least:.1%} of all "
        f"(limit {watching.limit:.1%}): {often}"
    )


def to_pause(rollouts: Rollouts, tally: Tally, watching: Watching, now: datetime) -> dict[str, str]:
    """The roll-outs to be paused, and why."""
    reasons = {
        name: why_pause(tally.rate(rollout, watching, now), watching)
        for name, rollout in rollouts.items()
        if rollout.state == RUNNING
    }
    return {name: why for name, why in reasons.items() if why}
