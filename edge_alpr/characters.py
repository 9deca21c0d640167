"""From what a reader answers to probabilities over our characters: kinds of output, temperature, alphabets.

Classes are those of the reader, columns those of `evidence`: A-Z, 0-9 and "no character here". Pure NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_alpr.errors import ModelError
from edge_alpr.evidence import ALPHABET, NONE
from edge_alpr.types import Floats

OutputKind: TypeAlias = Literal["logprobs", "logits", "probabilities"]
_SLACK = 0.02
"""How far a row of probabilities may be from summing to 1."""


def posteriors(logprobs: Floats, temperature: float = 1.0) -> Floats:
    """Log-probabilities (N, T, C), divided by the temperature, to probabilities whose rows sum to 1.

    Raises `ModelError` for anything else: that is a broken network, not a plate without characters.
    """
    with np.errstate(over="ignore"):
        chances = np.exp(logprobs)
    totals = chances.sum(axis=-1, keepdims=True)
    if not np.abs(totals - 1).max(initial=0.0) < _SLACK:
        raise _nonsense("log-probabilities")
    if temperature != 1.0:
        chances = np.exp(logprobs / temperature)
        totals = chances.sum(axis=-1, keepdims=True)
    return np.asarray(chances / totals, np.float32)


def from_logits(logits: Floats, temperature: float = 1.0) -> Floats:
    """The same of logits, any finite numbers. Raises `ModelError`."""
    top = logits.max(axis=-1, keepdims=True)
    if not bool(np.isfinite(top).all()):
        raise _nonsense("logits")
    chances = np.exp((logits - top) / temperature)
    return np.asarray(chances / chances.sum(axis=-1, keepdims=True), np.float32)


def from_probabilities(chances: Floats, temperature: float = 1.0) -> Floats:
    """The same of probabilities. Raises `ModelError`."""
    totals = chances.sum(axis=-1, keepdims=True)
    if not bool(np.all(np.abs(totals - 1) < _SLACK) and np.all(chances >= 0)):
        raise _nonsense("probabilities")
    if temperature != 1.0:
        chances = np.power(chances / totals, 1 / temperature)
        totals = chances.sum(axis=-1, keepdims=True)
    return np.asarray(chances / totals, np.float32)


def from_best(best: Floats, classes: NDArray[np.uint8], count: int, temperature: float = 1.0) -> Floats:
    """The same of the best few log-probabilities of each step, (N, T, K), and their classes of `count`.

    What they leave of 1 is shared out evenly among the other classes: it tells how likely any of them is, no more.
    Raises `ModelError`.
    """
    with np.errstate(over="ignore"):
        known = np.exp(best.astype(np.float32))
    totals = known.sum(axis=-1, keepdims=True)
    if not bool(np.all(totals < 1 + _SLACK)) or classes.max(initial=0) >= count:
        raise _nonsense("log-probabilities")
    left = np.maximum(1 - totals, 0) / max(count - best.shape[-1], 1)
    chances = np.repeat(left, count, axis=-1)
    np.put_along_axis(chances, classes.astype(np.intp), known, axis=-1)
    return from_probabilities(chances, temperature)


def _nonsense(wanted: str) -> ModelError:
    return ModelError(
        f"the reader gives no {wanted}; mend [reader] output in its card or use another package ([models] reader)"
    )


CHANCES: dict[OutputKind, Callable[[Floats, float], Floats]] = {
    "logprobs": posteriors,
    "logits": from_logits,
    "probabilities": from_probabilities,
}


def class_columns(alphabet: str, blank: int | None) -> NDArray[np.intp]:
    """The column of each class: the characters of `alphabet` in order, the blank put in as class `blank`.

    Lower case counts as upper; what is neither A-Z nor 0-9 (a province's sign, a dash, padding) is "no character".
    """
    classes = [*alphabet]
    if blank is not None:
        classes.insert(blank, "")
    known = {char: column for column, char in enumerate(ALPHABET)}
    return np.array([known.get(char.upper(), NONE) for char in classes], np.intp)


def folding(alphabet: str, blank: int | None) -> Floats | None:
    """The matrix (C, A + 1) of 0 and 1 that sums the classes of a reader into columns; None where they are the same."""
    columns = class_columns(alphabet, blank)
    if np.array_equal(columns, np.arange(NONE + 1)):
        return None
    matrix: NDArray[Any] = np.zeros((len(columns), NONE + 1), np.float32)
    matrix[np.arange(len(columns)), columns] = 1
    return matrix
