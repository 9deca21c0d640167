"""Whether a score means what it says: of all that is stated at 0.9, nine in ten should be right. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

from edge_alpr.evaluate.figures import Outcome
from edge_alpr.evidence import canonical

BINS = 10
MOST_EXACT = 500
LEAST = 8
"""Statements a bin should have: few statements get fewer bins."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Something stated with a score, 0 to 1, and whether it was right."""

    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """Statements of neighbouring scores: their lowest and highest score, the mean, and the share that is right.

    `by_chance` is how far `score` and `right` would lie apart on average if every score were true.
    """

    count: int
    low: float
    high: float
    score: float
    right: float
    by_chance: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Bins of about as many statements each (adaptive, equal mass), by rising score."""

    bins: tuple[Bin, ...]

    @property
    def count(self) -> int:
        """Statements in all."""
        return sum(one.count for one in self.bins)

    @property
    def ece(self) -> float | None:
        """Expected calibration error: how far the mean score of a bin lies from the share that is right, on average
        over the statements; None of none."""
        apart = sum(one.count * abs(one.score - one.right) for one in self.bins)
        return apart / self.count if self.count else None

    @property
    def ece_by_chance(self) -> float | None:
        """The mean error that true scores would show on so few statements; None of none."""
        return sum(one.count * one.by_chance for one in self.bins) / self.count if self.count else None


def calibrate(statements: Iterable[Statement], bins: int = BINS) -> Calibration:
    """Sort statements into at most `bins` bins. Equal scores stay together, so their order is of no matter.

    A score that is no number is left out.
    """
    ordered = sorted((s for s in statements if math.isfinite(s.score)), key=lambda s: s.score)
    wanted = min(bins, max(1, len(ordered) // LEAST))
    made: list[Bin] = []
    start = 0
    for number in range(1, wanted + 1):
        end = max(start, round(number * len(ordered) / wanted))
        while 0 < end < len(ordered) and ordered[end].score == ordered[end - 1].score:
            end += 1
        if end > start:
            made.append(_bin(ordered[start:end]))
        start = end
    return Calibration(tuple(made))


def _bin(statements: Sequence[Statement]) -> Bin:
    count = len(statements)
    low, high = statements[0].score, statements[-1].score
    mean = math.fsum(s.score for s in statements) / count
    right = sum(s.right for s in statements) / count
    return Bin(count, low, high, min(max(mean, low), high), right, _by_chance([s.score for s in statements]))


def _by_chance(scores: Sequence[float]) -> float:
    """Mean absolute difference between the mean of `scores` and the share right, were each right with its score."""
    chances = np.clip(np.array(scores), 0.0, 1.0)
    count, mean = len(chances), float(chances.sum())
    if count > MOST_EXACT:  # the sum is normal
        return math.sqrt(2 / math.pi * float((chances * (1 - chances)).sum())) / count
    right = np.ones(1)  # chance of 0, 1, 2, ... right
    for chance in chances:
        right = np.convolve(right, (1 - chance, chance))
    return float((right * np.abs(np.arange(count + 1) - mean)).sum()) / count


def plate_statements(outcomes: Iterable[Outcome]) -> list[Statement]:
    """The whole texts read on legible plates, O=0 and I=1; a plate without a text read states nothing."""
    return [Statement(o.score, o.right) for o in outcomes if o.legibility == "ok" and o.read]


def char_statements(outcomes: Iterable[Outcome]) -> list[Statement]:
    """The characters read on legible plates; right are those that stay when read and truth are aligned."""
    return [
        Statement(score, right)
        for o in outcomes
        if o.legibility == "ok" and len(o.char_scores) == len(o.read)
        for score, right in zip(o.char_scores, _right_chars(o.read, o.truth), strict=True)
    ]


def _right_chars(read: str, truth: str) -> list[bool]:
    right = [False] * len(read)
    for block in Levenshtein.opcodes(canonical(read), canonical(truth)):
        if block.tag == "equal":
            right[block.src_start : block.src_end] = [True] * (block.src_end - block.src_start)
    return right
