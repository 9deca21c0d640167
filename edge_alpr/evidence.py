"""What a reader's slots say: the n best texts with their probabilities.

A slots matrix is (L, A + 1) float32: one row a possible character position, columns in the order of
`ALPHABET`, the last one "no character here"; rows sum to 1 and are taken as independent. Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_alpr.types import Candidate, Floats, Read

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NONE = len(ALPHABET)
"""Column of "no character here"."""

_INDEX = {char: column for column, char in enumerate(ALPHABET)}
TWINS = ((_INDEX["0"], _INDEX["O"]), (_INDEX["1"], _INDEX["I"]))
"""Columns of characters that plates do not tell apart; the first one stands for both."""
_BEAM, _OPTIONS, _CRUMB = 20, 8, 1e-6
"""Beginnings kept in the search for the best texts; characters of a slot it tries, and how likely beside its best."""

_Doubles = NDArray[np.float64]
Interpret: TypeAlias = Callable[[Floats], Read]
"""What slots say: `read_from_slots`, or the same with more known, such as the formats of a country."""


def canonical(text: str) -> str:
    """Fold what no plate tells apart for sure: O becomes 0, I becomes 1 (Q stays)."""
    return text.replace("O", "0").replace("I", "1")


UNREAD = Read("", 0.0, (), (), np.zeros((0, NONE + 1), np.float32))
"""In place of the read of a crop that was not given to the reader: no evidence of anything. Compare with `is`."""


def fold(slots: Floats) -> Floats:
    """The same slots with the mass of O moved to 0 and of I to 1, a new array."""
    folded = slots.copy()
    for taken, given in TWINS:
        folded[:, taken] += folded[:, given]
        folded[:, given] = 0.0
    return folded


def n_best(slots: Floats, n: int = 10) -> tuple[Candidate, ...]:
    """The `n` most probable texts, best first, each with the sum over all the ways the slots can spell it.

    A beam search over the slots: the probabilities are exact, and so is the order of the texts it gives; a text
    can be missed only where more than `_BEAM` beginnings are about as likely, as on a plate nobody can read.
    """
    rows = np.asarray(slots, np.float64)
    rows = rows[rows[:, NONE] < 1.0]
    if not len(rows):
        return (Candidate("", 1.0),)
    texts = sorted(_beam(rows))
    scores = text_scores(rows, texts)
    order = np.argsort(-scores, kind="stable")[:n]
    return tuple(Candidate(texts[i], min(1.0, float(scores[i]))) for i in order if scores[i] > 0)


def _beam(rows: _Doubles) -> dict[str, float]:
    """The likeliest texts, and the mass of the ways they were spelled."""
    columns = np.argpartition(-rows, _OPTIONS, axis=1)[:, :_OPTIONS]
    chances = np.take_along_axis(rows, columns, axis=1)
    useful = chances > _CRUMB * chances.max(axis=1, keepdims=True)
    beam = {"": 1.0}
    for slot, shares, wanted in zip(columns.tolist(), chances.tolist(), useful.tolist(), strict=True):
        options = [("" if c == NONE else ALPHABET[c], p) for c, p, use in zip(slot, shares, wanted, strict=True) if use]
        grown: dict[str, float] = {}
        for text, mass in beam.items():
            for char, share in options:
                longer = text + char
                grown[longer] = grown.get(longer, 0.0) + mass * share
        beam = grown if len(grown) <= _BEAM else dict(nlargest(_BEAM, grown.items(), key=itemgetter(1)))
    return beam


def read_from_slots(slots: Floats) -> Read:
    """A `Read`: its best text, the probability of the whole text and of each character, the n best."""
    candidates = n_best(slots)
    best = candidates[0]
    return Read(best.plate, best.score, char_scores(slots, best.plate), candidates, slots)


def text_scores(slots: Floats | _Doubles, texts: Sequence[str]) -> _Doubles:
    """The probability of each text, (len(texts),) float64: the sum over all the ways to spell it."""
    longest = max(map(len, texts), default=0)
    spelled = np.full((len(texts), longest), NONE)
    for line, text in zip(spelled, texts, strict=True):
        line[: len(text)] = [_INDEX[char] for char in text]
    begun = np.zeros((len(texts), longest + 1))
    begun[:, 0] = 1.0
    for row in np.asarray(slots, np.float64):
        extended = begun[:, :-1] * row[spelled]
        begun *= row[NONE]
        begun[:, 1:] += extended
    return np.asarray(begun[np.arange(len(texts)), [len(text) for text in texts]])


def char_scores(slots: Floats, text: str) -> tuple[float, ...]:
    """The probability of each character of `text` in the slot that most likely shows it."""
    if not text:
        return ()
    rows = np.asarray(slots, np.float64)
    emitted = rows[:, [_INDEX[char] for char in text]]
    best = np.zeros(len(text) + 1)
    best[0] = 1.0
    took = np.zeros((len(rows), len(text)), bool)
    for i, row in enumerate(rows):
        skip, take = best * row[NONE], best[:-1] * emitted[i]
        took[i] = take > skip[1:]
        best = skip
        best[1:] = np.maximum(skip[1:], take)
    scores, k = [0.0] * len(text), len(text) - 1
    for i in range(len(rows) - 1, -1, -1):
        if k >= 0 and took[i, k]:
            scores[k] = min(1.0, float(emitted[i, k]))
            k -= 1
    return tuple(scores)
