"""How sure a hit is, and how sure it must be. docs/hotlists.md derives it.

A read gives each text a probability q. `Errors` adds the misreads that a reader makes though it is sure. Whether the
car is the listed one further depends on how often listed cars are met and how many of all plates are listed
(`posterior`); which q is told depends on the false alerts that may be expected (`least_chance`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_alpr.evidence import ALPHABET, NONE, fold
from edge_alpr.hotlist.keys import Classes
from edge_alpr.types import Floats

SHIFT_H = 8.0
WRONG = 0.02
"""A read gives q or more to at most `WRONG` / q wrong texts, on average; measured, see docs/hotlists.md."""
SURE = 0.9
"""A hit that is so sure is told whatever the list."""
_CONFUSED, _ANY, _MISSED = 1.5e-3, 3e-4, 1e-4
"""However sure the reader is: chance that a character is another of its class, that it is any other or none, and
that one was overlooked at a given place."""
_RARE = 0.01
"""A car of the lists is met at most once in so many shifts (1 / this)."""

_Doubles = NDArray[np.float64]


class Errors:
    """The misreads of a sure reader, by the classes of characters that look alike."""

    def __init__(self, classes: Classes) -> None:
        matrix = np.eye(NONE + 1) * (1.0 - _ANY) + _ANY / (NONE + 1)
        for column, char in enumerate(ALPHABET):
            mates = [ALPHABET.index(mate) for mate in classes.mates(char)]
            if mates:
                matrix[column, column] -= _CONFUSED
                matrix[column, mates] += _CONFUSED / len(mates)
        self._matrix = matrix
        self._gap = np.full(NONE + 1, _MISSED / NONE)
        self._gap[NONE] = 1.0 - _MISSED

    def rows(self, slots: Floats) -> _Doubles:
        """Slots (L, A + 1) as (2 L + 1, A + 1): folded, with misreads, and between them what was overlooked."""
        rows = np.tile(self._gap, (2 * len(slots) + 1, 1))
        rows[1::2] = fold(slots.astype(np.float64)) @ self._matrix
        return rows


def chances(rows: _Doubles, texts: Sequence[str]) -> _Doubles:
    """The probability of each of the canonical texts, all ways to spell it summed up; (N,)."""
    longest = max(map(len, texts), default=0)
    columns = np.full((len(texts), longest), NONE)
    for place, text in enumerate(texts):
        columns[place, : len(text)] = [ALPHABET.index(char) for char in text]
    begun = np.zeros((len(texts), longest + 1))  # the first i characters are spelled
    begun[:, 0] = 1.0
    for row in rows:
        taken = begun[:, :-1] * row[columns]
        begun *= row[NONE]
        begun[:, 1:] += taken
    return begun[np.arange(len(texts)), [len(text) for text in texts]]


def prior_odds(entries: int, density: float, plates_per_hour: float, hits_per_shift: float) -> float:
    """How much likelier a car is one given entry than it is one given text that is on no list.

    The first is the share of hits among the cars over the entries, the second one over all plates in use; entries over
    plates is the density.
    """
    hits = min(hits_per_shift, _RARE * max(entries, 1))
    return hits / (SHIFT_H * plates_per_hour) / density


def posterior(chance: float, odds: float) -> float:
    """The probability that the car is the listed one, from the read's q and the prior odds."""
    weighed = min(chance, 1.0) * odds
    return weighed / (weighed + max(0.0, 1.0 - chance)) if weighed > 0 else 0.0


def least_chance(density: float, plates_per_hour: float, false_alerts: float) -> float:
    """The q that a hit needs so that a shift has no more false alerts than stated.

    Solves `expected_false_alerts` for q. At most `SURE`: where lists are so long that even sure reads hit more of
    them by chance than stated, these are told nevertheless.
    """
    wrong = false_alerts / (SHIFT_H * plates_per_hour * density)
    return min(WRONG / wrong, 1.0 / (1.0 + wrong), SURE)


def expected_false_alerts(least: float, density: float, plates_per_hour: float) -> float:
    """False alerts in a shift where hits are told from q = `least` on, at most.

    With n cars a shift, each with w(q) wrong texts at q or more, n w(q) density of these are listed, however close
    together the entries lie: a plate is taken for another as easily as the other for it. As q is calibrated, a text
    stated at q is wrong with 1 - q, so w(q) is at most (1 - q) / q, and `WRONG` / q.
    """
    return SHIFT_H * plates_per_hour * density * min(WRONG, 1.0 - least) / least
