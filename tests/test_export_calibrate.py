"""The temperature makes scores honest: it finds the one that a reader was made too sure with."""

from __future__ import annotations

import numpy as np
import pytest

from edge_alpr.evaluate.calibration import calibrate
from edge_alpr.evidence import ALPHABET, NONE
from export.calibrate import Answers, fit, statements

PLATES, CHARS, STEPS = 150, 5, 11


def answers(seed: int, too_sure: float) -> Answers:
    """A reader that wavers between two characters each, as often right as it says; then made `too_sure` times surer."""
    rng = np.random.default_rng(seed)
    logprobs = np.full((PLATES, STEPS, NONE + 1), -30.0)
    logprobs[..., NONE] = 0.0
    texts = []
    for plate in logprobs:
        text = ""
        for step in range(0, 2 * CHARS, 2):
            one, other = rng.choice(36, 2, replace=False)
            chance = 1 - 0.5 * rng.uniform() ** 4
            plate[step, NONE], plate[step, one], plate[step, other] = -30, np.log(chance), np.log(1 - chance)
            text += ALPHABET[one if rng.uniform() < chance else other]
        texts.append(text)
    scaled = logprobs * too_sure
    return (scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))).astype(np.float32), texts


@pytest.mark.parametrize("too_sure", [1.0, 1.6, 2.2])
def test_it_finds_how_much_too_sure_a_reader_is(too_sure: float) -> None:
    found = fit({"one": answers(1, too_sure), "two": answers(2, too_sure)})
    assert found.temperature == pytest.approx(too_sure, rel=0.2)
    assert found.ece_after < 0.1
    assert too_sure == 1.0 or found.ece_after < found.ece_before


def test_a_set_is_judged_under_the_temperature_of_the_others() -> None:
    sure, honest = answers(3, 2.5), answers(4, 1.0)
    found = fit({"sure": sure, "honest": honest})
    own = calibrate(statements(sure, 2.5) + statements(honest, 1.0)).ece
    assert own is not None
    assert found.ece_after > own


def test_texts_do_not_change_with_the_temperature() -> None:
    given = answers(5, 1.7)
    assert [s.right for s in statements(given, 1.0)] == [s.right for s in statements(given, 1.3)]
