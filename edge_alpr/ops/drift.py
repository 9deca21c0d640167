"""Whether the models still fit the road: the latest weeks beside the first ones. Pure; counts and shapes, no texts.

Five measures are watched, each for getting worse only. A week's share is taken to scatter about the road's by three
causes: chance (binomial, CLUSTER times as wide because tracks of one vehicle go together), and weather, light and
routes, which move whole weeks by `wobble` or by what the reference weeks themselves show, whichever is more. Told is
what lies more than Z standard deviations off, in the last whole week or in the last two together.
tests/test_drift.py holds what this gives: false alarms in less than 1 % of years, a change told within two weeks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

import msgspec

REFERENCE_WEEKS = 4
REFERENCE_TRACKS = 400
"""The reference is the first weeks with tracks, until there are so many weeks and tracks."""
MIN_TRACKS = 60
"""Weeks, or pairs of weeks, with fewer say nothing."""
Z = 3.7
CLUSTER = 1.5
COMMON_SHARE = 0.01
"""A shape is common if at least so large a share of the reference's texts has it, and more than one text."""
MOST_SHAPES = 64
"""Shapes counted in a week; all further ones together."""
MOST_WEEKS = 60
"""Weeks remembered besides the reference."""
OTHER = "other"
_DAY_MS = 86_400_000
_MONDAY = 3
"""Days from a Monday to 1970-01-01, a Thursday."""
_LONGEST_SHAPE = 12


class Week(msgspec.Struct, kw_only=True):
    """Counts of one week (`week_of`), from its tracks as they end."""

    tracks: int = 0
    """Tracks large and long enough that they should have been read."""
    unread: int = 0
    """Those of them without a probable text."""
    heard: int = 0
    """Tracks of which something was told."""
    withdrawn: int = 0
    agreeing: int = 0
    """Tracks with reads enough to speak of agreement."""
    agreement: float = 0.0
    agreement2: float = 0.0
    """Sums of the agreement and of its square over these."""
    confirmed: int = 0
    score: float = 0.0
    score2: float = 0.0
    shapes: dict[str, int] = {}
    """How many confirmed texts had each shape, e.g. LLDDLLL."""


class Ledger(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All weeks under one pair of models, by `week_of`."""

    version: int = 1
    models: str = ""
    undated: int = 0
    """Tracks that ended before the clock was set: in no week."""
    weeks: dict[int, Week] = {}


Verdict: TypeAlias = Literal["ok", "attention", "not enough data yet"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the models fit the road. `reasons` names what got worse, one line each, the plainest first."""

    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A measure over some weeks: its mean, the variance of one track about it, and how many tracks."""

    mean: float
    variance: float
    count: int


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that is watched. `worse` is 1 where more of it is worse, else -1."""

    name: str
    worse: int
    wobble: float
    """Standard deviation from week to week that weather, light and routes are always allowed."""
    sample: Callable[[Week, frozenset[str]], Sample]


def week_of(epoch_ms: int) -> int:
    """Weeks since 1970, UTC, from Monday to Sunday."""
    return (epoch_ms // _DAY_MS + _MONDAY) // 7


def shape_of(text: str) -> str:
    """Letters as L, digits as D: all that is kept of a text."""
    return "".join("D" if char.isdigit() else "L" for char in text[:_LONGEST_SHAPE])


def count_shape(shapes: dict[str, int], shape: str) -> None:
    """Count one more; where there are very many shapes, new ones together."""
    key = shape if shape in shapes or len(shapes) < MOST_SHAPES else OTHER
    shapes[key] = shapes.get(key, 0) + 1


def _share(hits: int, count: int) -> Sample:
    # One hit and one miss are added: a share of none in few is not known to be none.
    mean, careful = hits / count if count else 0.0, (hits + 1) / (count + 2)
    return Sample(mean, careful * (1 - careful), count)


def _mean(total: float, squares: float, count: int) -> Sample:
    mean = total / count if count else 0.0
    return Sample(mean, max(squares / count - mean * mean, 1e-4) if count else 0.0, count)


MEASURES = (
    Measure("unreadable plates", 1, 0.03, lambda w, common: _share(w.unread, w.tracks)),
    Measure("unseen plate formats", 1, 0.01, lambda w, common: _share(_unseen(w, common), w.confirmed)),
    Measure("withdrawn events", 1, 0.02, lambda w, common: _share(w.withdrawn, w.heard)),
    Measure("agreement of the reads", -1, 0.02, lambda w, common: _mean(w.agreement, w.agreement2, w.agreeing)),
    Measure("score of the confirmed", -1, 0.01, lambda w, common: _mean(w.score, w.score2, w.confirmed)),
)


def judge(ledger: Ledger, now_ms: int) -> Judgement:
    """Compare the last whole weeks with the reference."""
    whole = sorted(number for number in ledger.weeks if number < week_of(now_ms) and ledger.weeks[number].tracks)
    first = reference(ledger, whole)
    if not first:
        tracks = sum(ledger.weeks[number].tracks for number in whole)
        return Judgement("not enough data yet", (f"{len(whole)} whole weeks with {tracks} tracks; the first "
                         f"{REFERENCE_WEEKS} weeks and {REFERENCE_TRACKS} tracks become the reference",))  # fmt: skip
    later = [number for number in whole if number > first[-1]]
    windows = [[ledger.weeks[n] for n in chosen] for chosen in (later[-1:], later[-2:])]
    windows = [weeks for weeks in windows if sum(week.tracks for week in weeks) >= MIN_TRACKS]
    if not windows:
        return Judgement("not enough data yet", (f"the reference stands; a later week with {MIN_TRACKS} tracks is "
                                                 "needed beside it",))  # fmt: skip
    before = [ledger.weeks[number] for number in first]
    found = [_worst(measure, before, windows) for measure in MEASURES]
    told = sorted((off, text) for off, text in found if off > Z)[::-1]
    if told:
        return Judgement("attention", tuple(text for _, text in told))
    count = sum(week.tracks for week in windows[-1])
    return Judgement("ok", (f"the last {len(windows[-1])} weeks ({count} tracks) read like the first {len(first)}",))


def reference(ledger: Ledger, whole: Sequence[int]) -> list[int]:
    """The weeks to compare with; [] while there are not enough."""
    tracks = 0
    for count, number in enumerate(whole, 1):
        tracks += ledger.weeks[number].tracks
        if count >= REFERENCE_WEEKS and tracks >= REFERENCE_TRACKS:
            return list(whole[:count])
    return []


def trimmed(ledger: Ledger) -> Ledger:
    """The ledger without weeks that are neither in the reference nor among the last MOST_WEEKS."""
    numbers = sorted(ledger.weeks)
    with_tracks = [number for number in numbers if ledger.weeks[number].tracks]
    kept = {*reference(ledger, with_tracks), *numbers[-MOST_WEEKS:]}
    return msgspec.structs.replace(ledger, weeks={number: ledger.weeks[number] for number in numbers if number in kept})


def common_shapes(weeks: Iterable[Week]) -> frozenset[str]:
    """The shapes that the reference knows."""
    pairs = sorted(pair for week in weeks for pair in week.shapes.items())
    counts = {shape: sum(n for _, n in group) for shape, group in groupby(pairs, key=lambda pair: pair[0])}
    least = max(2.0, COMMON_SHARE * sum(counts.values()))
    return frozenset(shape for shape, count in counts.items() if count >= least and shape != OTHER)


def merged(weeks: Sequence[Week]) -> Week:
    """The counts of several weeks together."""
    total = Week(shapes={})
    for week in weeks:
        for field in (f for f in week.__struct_fields__ if f != "shapes"):
            setattr(total, field, getattr(total, field) + getattr(week, field))
        for shape, count in week.shapes.items():
            total.shapes[shape] = total.shapes.get(shape, 0) + count
    return total


def _unseen(week: Week, common: frozenset[str]) -> int:
    return sum(count for shape, count in week.shapes.items() if shape not in common)


def _worst(measure: Measure, before: Sequence[Week], windows: Sequence[Sequence[Week]]) -> tuple[float, str]:
    """How many standard deviations worse the worse window is, and what to say of it."""
    common = common_shapes(before)
    known = measure.sample(merged(before), common)
    wobble = max(measure.wobble, _scatter([measure.sample(week, common) for week in before]))
    results = []
    for weeks in windows:
        now = measure.sample(merged(weeks), common)
        if not (now.count and known.count):
            continue
        chance = CLUSTER * (now.variance / now.count + known.variance / known.count)
        spread = math.sqrt(chance + wobble**2 * (1 / len(weeks) + 1 / len(before)))
        off = measure.worse * (now.mean - known.mean) / spread
        span = "the last week" if len(weeks) == 1 else f"the last {len(weeks)} weeks"
        results.append((off, f"{measure.name}: {now.mean:.0%} in {span}, {known.mean:.0%} before"))
    return max(results, default=(0.0, ""))


def _scatter(samples: Sequence[Sample]) -> float:
    """Standard deviation from week to week beyond chance; 0 where the weeks are as alike as chance has it."""
    samples = [sample for sample in samples if sample.count]
    if len(samples) < 2:
        return 0.0
    mean = sum(sample.mean for sample in samples) / len(samples)
    between = sum((sample.mean - mean) ** 2 for sample in samples) / (len(samples) - 1)
    chance = sum(CLUSTER * sample.variance / sample.count for sample in samples) / len(samples)
    return math.sqrt(max(0.0, between - chance))
