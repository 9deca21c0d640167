"""What a reader's slots say: the n best texts with their probabilities.

A slots matrix is (L, A + 1) float32: one row a possible character position, columns in the order of
`ALPHABET`, the last one "no character here"; rows sum to 1 and are taken as independent. Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import nlargest
from itertools import accumulate
from operator import itemgetter, mul
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_alpr.types import Candidate, Floats, Read

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NONE = len(ALPHABET)
"""Column of "no character here"."""

_INDEX = {char: column for column, char in enumerate(ALPHABET)}
TWINS = ((_INDEX["0"], _INDEX["O"]), (_INDEX["1"], _INDEX["I"]))
"""Columns of characters that plates do not tell apart; the first one stands for both."""
TAKEN, GIVEN = np.array(TWINS).T
_FOLD = np.eye(NONE + 1)
_FOLD[GIVEN] = _FOLD[TAKEN]
_FOLDS = {kind: _FOLD.astype(kind) for kind in "fd"}
_BEAM, _OPTIONS, _CRUMB = 20, 8, 1e-4
"""Beginnings kept in the search for the best texts, characters of a slot it tries, and how likely beside the best
one either must be."""

_Doubles = NDArray[np.float64]
_Rows: TypeAlias = list[list[float]]
"""Slots as plain numbers: with so few, Python counts faster than an array does."""
_Array = TypeVar("_Array", Floats, _Doubles)
Interpret: TypeAlias = Callable[[Floats], Read]
"""What slots say: `read_from_slots`, or the same with more known, such as the formats of a country."""


def canonical(text: str) -> str:
    """Fold what no plate tells apart for sure: O becomes 0, I becomes 1 (Q stays)."""
    return text.replace("O", "0").replace("I", "1")


UNREAD = Read("", 0.0, (), (), np.zeros((0, NONE + 1), np.float32))
"""In place of the read of a crop that was not given to the reader: no evidence of anything. Compare with `is`."""


def fold(slots: _Array) -> _Array:
    """The same slots with the mass of O moved to 0 and of I to 1, a new array."""
    return np.asarray(slots @ _FOLDS[slots.dtype.char])


def n_best(slots: Floats | _Doubles, n: int = 10) -> tuple[Candidate, ...]:
    """The `n` most probable texts, best first, each with the sum over all the ways the slots can spell it.

    A beam search over the slots: the probabilities are exact, and so is the order of the texts it gives; a text
    can be missed only where it is hardly likely beside the best one, or where more than `_BEAM` beginnings are
    about as likely, as on a plate nobody can read.
    """
    return _n_best(slots.tolist(), n)


def _n_best(slots: _Rows, n: int) -> tuple[Candidate, ...]:
    rows = [row for row in slots if row[NONE] < 1.0]
    texts = sorted(_beam(rows))
    scored = sorted(zip(_scores(rows, texts), texts, strict=True), key=lambda pair: -pair[0])
    return tuple(Candidate(text, min(1.0, score)) for score, text in scored[:n] if score > 0)


def _beam(rows: _Rows) -> dict[str, float]:
    """The likeliest texts, and the mass of the ways they were spelled."""
    beam = {"": 1.0}
    for row in rows:
        options = _options(row)
        grown: dict[str, float] = {}
        for text, mass in beam.items():
            for char, share in options:
                longer = text + char
                grown[longer] = grown.get(longer, 0.0) + mass * share
        least = _CRUMB * max(grown.values())
        beam = {text: mass for text, mass in grown.items() if mass >= least}
        if len(beam) > _BEAM:
            beam = dict(nlargest(_BEAM, beam.items(), key=itemgetter(1)))
    return beam


def _options(row: list[float]) -> list[tuple[str, float]]:
    """What a slot may show, and how likely that is; "" is no character."""
    least = _CRUMB * max(row)
    likely = [(ALPHABET[column : column + 1], share) for column, share in enumerate(row) if share > least]
    return nlargest(_OPTIONS, likely, key=itemgetter(1)) if len(likely) > _OPTIONS else likely


def read_from_slots(slots: Floats) -> Read:
    """A `Read`: its best text, the probability of the whole text and of each character, the n best."""
    rows = slots.tolist()
    candidates = _n_best(rows, 10)
    best = candidates[0]
    return Read(best.plate, best.score, _char_scores(rows, best.plate), candidates, slots)


def text_scores(slots: Floats | _Doubles, texts: Sequence[str]) -> list[float]:
    """The probability of each text: the sum over all the ways to spell it."""
    return _scores(slots.tolist(), texts)


def _scores(rows: _Rows, texts: Sequence[str]) -> list[float]:
    """Texts that begin alike share the work: `begun` maps a beginning to the chance that the first i rows spell it."""
    none = [row[NONE] for row in rows]
    begun = {"": list(accumulate(none, mul, initial=1.0))}
    for text in texts:
        for k, char in enumerate(text):
            if text[: k + 1] not in begun:
                begun[text[: k + 1]] = _longer(begun[text[:k]], [row[_INDEX[char]] for row in rows], none)
    return [begun[text][-1] for text in texts]


def _longer(begun: list[float], shown: list[float], none: list[float]) -> list[float]:
    """The chances that the first i slots spell a beginning and one more character, which they show by `shown`."""
    longer = [0.0]
    for before, here, nothing in zip(begun, shown, none, strict=False):
        longer.append(longer[-1] * nothing + before * here)
    return longer


def char_scores(slots: Floats, text: str) -> tuple[float, ...]:
    """The probability of each character of `text` in the slot that most likely shows it."""
    return _char_scores(slots.tolist(), text)


def _char_scores(rows: _Rows, text: str) -> tuple[float, ...]:
    if len(rows) == len(text):  # each slot has its character
        return tuple(min(1.0, row[_INDEX[char]]) for row, char in zip(rows, text, strict=True))
    emitted = [[row[_INDEX[char]] for char in text] for row in rows]
    best, took = [1.0] + [0.0] * len(text), []
    for row, shown in zip(rows, emitted, strict=True):
        skip, take = [mass * row[NONE] for mass in best], [mass * here for mass, here in zip(best, shown, strict=False)]
        took.append([taken > skipped for taken, skipped in zip(take, skip[1:], strict=True)])
        best = [skip[0], *map(max, take, skip[1:])]
    scores, k = [0.0] * len(text), len(text) - 1
    for i in range(len(rows) - 1, -1, -1):
        if k >= 0 and took[i][k]:
            scores[k] = min(1.0, emitted[i][k])
            k -= 1
    return tuple(scores)
