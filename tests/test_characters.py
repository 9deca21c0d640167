"""Kinds of output, temperature and alphabets: all become probabilities over our characters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.characters import CHANCES, OutputKind, class_columns, folding, from_best, posteriors
from edge_alpr.errors import ModelError
from edge_alpr.evidence import ALPHABET, NONE
from edge_alpr.types import Floats


def logits(seed: int, classes: int = NONE + 1) -> Floats:
    return np.random.default_rng(seed).normal(0, 4, (2, 9, classes)).astype(np.float32)


def logprobs(values: Floats) -> Floats:
    shifted = values - values.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def forms(values: Floats) -> dict[OutputKind, Floats]:
    """The same answer, said in each way."""
    return {"logits": values, "logprobs": logprobs(values), "probabilities": np.exp(logprobs(values))}


@given(st.integers(0, 1000), st.floats(0.3, 5))
def test_all_kinds_mean_the_same_at_every_temperature(seed: int, temperature: float) -> None:
    values = logits(seed)
    expected = np.exp(logprobs(values / np.float32(temperature)))
    for kind, form in forms(values).items():
        chances = CHANCES[kind](form, temperature)
        assert chances.dtype == np.float32
        np.testing.assert_allclose(chances, expected, atol=2e-5)
        np.testing.assert_allclose(chances.sum(axis=-1), 1, atol=1e-5)


def test_a_temperature_of_one_changes_nothing_and_a_higher_one_makes_less_sure() -> None:
    sure = logprobs(logits(3))
    assert np.array_equal(posteriors(sure, 1.0), posteriors(sure))
    cooler, warmer = posteriors(sure, 0.5), posteriors(sure, 2.0)
    assert np.array_equal(cooler.argmax(axis=-1), warmer.argmax(axis=-1))
    assert (cooler.max(axis=-1) > posteriors(sure).max(axis=-1)).all()
    assert (warmer.max(axis=-1) < posteriors(sure).max(axis=-1)).all()


@pytest.mark.parametrize("kind", ["logprobs", "logits", "probabilities"])
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_nonsense_is_refused_whatever_the_temperature(kind: OutputKind, temperature: float) -> None:
    form = forms(logits(1))[kind].copy()
    form[0, 2, 3] = np.nan
    with pytest.raises(ModelError, match=r"\[reader\] output"):
        CHANCES[kind](form, temperature)


def test_a_kind_taken_for_another_is_refused() -> None:
    said = forms(logits(2))
    for kind, form in (("logprobs", "logits"), ("logprobs", "probabilities"), ("probabilities", "logprobs")):
        with pytest.raises(ModelError, match=kind.replace("probs", "-probabilities")):
            CHANCES[kind](said[form], 1.0)


def test_chances_of_zero_stay_zero() -> None:
    sure = np.full((1, 1, 3), -np.inf, np.float32)
    sure[0, 0, 1] = 0
    for temperature in (1.0, 2.0):
        assert posteriors(sure, temperature).tolist() == [[[0, 1, 0]]]


def test_every_class_has_a_column() -> None:
    assert class_columns(ALPHABET, NONE).tolist() == list(range(NONE + 1))
    assert class_columns("-京aZ9·_", 0).tolist() == [NONE, NONE, NONE, 10, 35, 9, NONE, NONE]
    assert class_columns("AB", 1).tolist() == [10, NONE, 11]
    assert class_columns("ß", None).tolist() == [NONE], "what becomes two letters is none of ours"


def test_our_own_alphabet_is_not_folded() -> None:
    assert folding(ALPHABET, NONE) is None
    assert folding(ALPHABET + "_", None) is None
    assert folding(ALPHABET, 0) is not None


@given(st.permutations(list(ALPHABET)), st.integers(0, len(ALPHABET)))
def test_another_order_of_characters_says_the_same(order: list[str], blank: int) -> None:
    chances = posteriors(logprobs(logits(5)))
    columns = class_columns("".join(order), blank)
    matrix = folding("".join(order), blank)
    theirs = chances[..., columns]
    assert np.array_equal(theirs if matrix is None else theirs @ matrix, chances)


def test_both_cases_and_all_foreign_signs_are_summed() -> None:
    matrix = folding("Aa-京", 0)
    assert matrix is not None
    folded = np.array([0.1, 0.2, 0.3, 0.15, 0.25], np.float32) @ matrix
    assert folded[10] == pytest.approx(0.5)
    assert folded[NONE] == pytest.approx(0.5)


def test_the_best_few_of_each_step_say_nearly_what_all_do():
    rng = np.random.default_rng(2)
    everything = logprobs((20 * rng.normal(size=(3, 64, 37))).astype(np.float32))
    classes = np.argsort(-everything, axis=2)[..., :5].astype(np.uint8)
    best = np.take_along_axis(everything, classes.astype(int), axis=2).astype(np.float16)
    for temperature in (1.0, 0.9):
        found, wanted = from_best(best, classes, 37, temperature), posteriors(everything, temperature)
        assert found.dtype == np.float32
        assert found.sum(axis=2) == pytest.approx(1, abs=1e-5)
        assert np.abs(found - wanted).max() < 0.03
        assert np.array_equal(found.argmax(axis=2), wanted.argmax(axis=2))


@pytest.mark.parametrize(("best", "worst"), [(np.nan, 0), (3.0, 0), (-50.0, 99)])
def test_the_best_of_a_broken_reader_are_refused(best: float, worst: int):
    values, classes = np.full((1, 4, 5), best, np.float16), np.full((1, 4, 5), worst, np.uint8)
    with pytest.raises(ModelError, match="the reader gives no"):
        from_best(values, classes, 37)
