"""What a reader's slots say: the n best texts with their probabilities.

A slots matrix is (L, A + 1) float32: one row a possible character position, columns in the order of
`ALPHABET`, the last one "no character here"; rows sum to 1 and are taken as independent. Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import nlargest
from itertools import accumulate
from operator import itemgetter, mul
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
_BEAM, _OPTIONS, _CRUMB = 20, 8, 1e-4
"""Beginnings kept in the search for the best texts, characters of a slot it tries, and how likely beside the best
one either must be."""

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
    can be missed only where it is hardly likely beside the best one, or where more than `_BEAM` beginnings are
    about as likely, as on a plate nobody can read.
    """
    rows = np.asarray(slots, np.float64)
    rows = rows[rows[:, NONE] < 1.0]
    if not len(rows):
        return (Candidate("", 1.0),)
    texts = sorted(_beam(rows))
    scored = sorted(zip(text_scores(rows, texts).tolist(), texts, strict=True), key=lambda pair: -pair[0])
    return tuple(Candidate(text, min(1.0, score)) for score, text in scored[:n] if score > 0)


def _beam(rows: _Doubles) -> dict[str, float]:
    """The likeliest texts, and the mass of the ways they were spelled."""
    beam = {"": 1.0}
    for options in _options(rows):
        grown: dict[str, float] = {}
        for text, mass in beam.items():
            for char, share in options:
                longer = text + char
                grown[longer] = grown.get(longer, 0.0) + mass * share
        least = _CRUMB * max(grown.values())
        beam = {text: mass for text, mass in grown.items() if mass > least}
        if len(beam) > _BEAM:
            beam = dict(nlargest(_BEAM, beam.items(), key=itemgetter(1)))
    return beam


def _options(rows: _Doubles) -> list[list[tuple[str, float]]]:
    """What each slot may show, and how likely that is; "" is no character."""
    options: list[list[tuple[str, float]]] = [[] for _ in rows]
    slots, columns = np.nonzero(rows > _CRUMB * rows.max(axis=1, keepdims=True))
    for slot, column, share in zip(slots.tolist(), columns.tolist(), rows[slots, columns].tolist(), strict=True):
        options[slot].append((ALPHABET[column : column + 1], share))
    return [nlargest(_OPTIONS, some, key=itemgetter(1)) if len(some) > _OPTIONS else some for some in options]


def read_from_slots(slots: Floats) -> Read:
    """A `Read`: its best text, the probability of the whole text and of each character, the n best."""
    candidates = n_best(slots)
    best = candidates[0]
    return Read(best.plate, best.score, char_scores(slots, best.plate), candidates, slots)


def text_scores(slots: Floats | _Doubles, texts: Sequence[str]) -> _Doubles:
    """The probability of each text, (len(texts),) float64: the sum over all the ways to spell it.

    Texts that begin alike share the work: `begun` maps a beginning to the chance that the first i slots spell it.
    """
    rows = slots.tolist()
    none = [row[NONE] for row in rows]
    begun = {"": list(accumulate(none, mul, initial=1.0))}
    for text in texts:
        for k, char in enumerate(text):
            if text[: k + 1] not in begun:
                begun[text[: k + 1]] = _longer(begun[text[:k]], [row[_INDEX[char]] for row in rows], none)
    return np.array([begun[text][-1] for text in texts])


def _longer(begun: list[float], shown: list[float], none: list[float]) -> list[float]:
    """The chances that the first i slots spell a beginning and one more character, which they show by `shown`."""
    longer = [0.0]
    for before, here, nothing in zip(begun, shown, none, strict=False):
        longer.append(longer[-1] * nothing + before * here)
    return longer


def char_scores(slots: Floats, text: str) -> tuple[float, ...]:
    """The probability of each character of `text` in the slot that most likely shows it."""
    emitted = slots[:, [_INDEX[char] for char in text]].tolist() if text else []
    if len(emitted) == len(text):  # each slot has its character
        return tuple(min(1.0, row[k]) for k, row in enumerate(emitted))
    best, took = [1.0] + [0.0] * len(text), []
    for row, nothing in zip(emitted, slots[:, NONE].tolist(), strict=True):
        took.append([before * here > after * nothing for before, here, after in zip(best, row, best[1:], strict=False)])
        best = [best[0] * nothing] + [
            max(before * here, after * nothing) for before, here, after in zip(best, row, best[1:], strict=False)
        ]
    scores, k = [0.0] * len(text), len(text) - 1
    for i in range(len(emitted) - 1, -1, -1):
        if k >= 0 and took[i][k]:
            scores[k] = min(1.0, emitted[i][k])
            k -= 1
    return tuple(scores)
