"""The reader's temperature: log-probabilities are divided by it, so that nine in ten texts stated at 0.9 are right.

One number, fitted on the development split; figures are those of each set under the temperature fitted on the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_alpr.characters import posteriors
from edge_alpr.evaluate.calibration import Statement, calibrate
from edge_alpr.evidence import canonical, read_from_slots
from edge_alpr.stages.read import ctc_slots

TEMPERATURES = tuple(round(float(t), 2) for t in np.geomspace(0.6, 3.0, 21))
CERTAIN = 1e-3
"""No score counts as surer than this: a single text at 1.0 that is wrong would decide alone."""

Answers = tuple[NDArray[np.float32], Sequence[str]]
"""Log-probabilities (N, T, C) and the true texts."""


@dataclass(frozen=True)
class Fit:
    """The temperature over all sets, and the expected calibration error of texts before and after (cross-fitted)."""

    temperature: float
    ece_before: float
    ece_after: float


def statements(answers: Answers, temperature: float) -> list[Statement]:
    """What is read (O=0, I=1) at a temperature, how sure, and whether it is right."""
    logprobs, texts = answers
    reads = [read_from_slots(ctc_slots(chances)) for chances in posteriors(logprobs, temperature)]
    return [
        Statement(read.score, canonical(read.plate) == canonical(text))
        for read, text in zip(reads, texts, strict=True)
    ]


def surprise(said: Sequence[Statement]) -> float:
    """Mean negative log-likelihood of right and wrong under the scores."""
    scores = np.clip([s.score for s in said], CERTAIN, 1 - CERTAIN)
    right = np.array([s.right for s in said])
    return float(-np.log(np.where(right, scores, 1 - scores)).mean())


def fit(sets: Mapping[str, Answers]) -> Fit:
    """The temperature that surprises least."""
    tried = {t: {name: statements(answers, t) for name, answers in sets.items()} for t in TEMPERATURES}

    def best(names: Sequence[str]) -> float:
        return min(TEMPERATURES, key=lambda t: surprise([s for name in names for s in tried[t][name]]))

    held_out = [
        s for name in sets for s in tried[best([other for other in sets if other != name] or [name])][name]
    ]
    plain = [s for answers in sets.values() for s in statements(answers, 1.0)]
    return Fit(best(list(sets)), calibrate(plain).ece or 0.0, calibrate(held_out).ece or 0.0)
