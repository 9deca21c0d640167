"""The reader stage: batches, CTC decoding, and what stands between the characters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers_infer import card, column_crop, column_reader, package
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edge_alpr.characters import posteriors
from edge_alpr.errors import ModelError
from edge_alpr.evidence import ALPHABET, NONE, read_from_slots
from edge_alpr.geometry import box_quad
from edge_alpr.infer.rungs import open_session
from edge_alpr.ports import Session
from edge_alpr.stages.read import FAINT, Reader, batch_sizes, ctc_slots
from edge_alpr.types import Crop, Detection, Floats, Tensors

A, B, C = (ALPHABET.index(char) for char in "ABC")


class Tap:
    """A session that remembers the batches it ran, and may spoil what comes out."""

    def __init__(self, session: Session, spoil: float | None = None) -> None:
        self.session = session
        self.identity = session.identity
        self.spoil = spoil
        self.batches: list[int] = []

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        self.batches.append(len(feeds["crops"]))
        out = self.session.run(feeds)
        if self.spoil is not None:
            out["logprobs"][0, 5, 7] = self.spoil
        return out


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return open_session(package(tmp_path_factory.mktemp("tiny"), column_reader(), card("reader")), 1)


def crop(upper: str, lower: str = "") -> Crop:
    detection = Detection(box_quad(0, 0, 100, 30), 0.9)
    return Crop(column_crop(upper, lower), detection, 100.0, 30.0, 1.0, False)


def steps(*rows: dict[int, float]) -> Floats:
    """Posteriors from the chances of some classes; the blank takes the rest."""
    chances = np.zeros((len(rows), NONE + 1), np.float32)
    for i, row in enumerate(rows):
        for column, chance in row.items():
            chances[i, column] = chance
    chances[:, NONE] += 1 - chances.sum(axis=1)
    return chances


def greedy(chances: Floats) -> str:
    """The textbook: the best class of each step, runs collapsed, blanks dropped."""
    best = [NONE, *chances.argmax(axis=1).tolist()]
    return "".join(ALPHABET[b] for a, b in pairwise(best) if b not in (a, NONE))


def best_text(slots: Floats) -> str:
    return "".join(ALPHABET[c] for c in slots.argmax(axis=1) if c != NONE)


def test_crops_are_read_in_their_order(session: Session) -> None:
    texts = [f"AB{i}CD{9 - i % 10}"[:7] for i in range(19)]
    reads = Reader(session)([crop(text) for text in texts])
    assert [read.plate for read in reads] == texts
    for read in reads:
        assert 0 < read.score <= 1
        assert len(read.char_scores) == len(read.plate)
        assert read.candidates[0].plate == read.plate
        np.testing.assert_allclose(read.slots.sum(axis=1), 1, atol=1e-5)


def test_two_lines_are_read_one_after_the_other(session: Session) -> None:
    reads = Reader(session)([crop("KA01", "HH1234"), crop("", "AA77"), crop("")])
    assert [read.plate for read in reads] == ["KA01HH1234", "AA77", ""]


def test_no_crops_no_run(session: Session) -> None:
    tap = Tap(session)
    assert Reader(tap)([]) == []
    assert tap.batches == []


@pytest.mark.parametrize(
    ("count", "batches"), [(1, [1]), (2, [2]), (3, [4]), (5, [4, 1]), (7, [8]), (8, [8]), (21, [8, 8, 4, 1])]
)
def test_batches_have_few_sizes(session: Session, count: int, batches: list[int]) -> None:
    tap = Tap(session)
    reads = Reader(tap)([crop(f"N{i}X"[:4]) for i in range(count)])
    assert tap.batches == batches
    assert [read.plate for read in reads] == [f"N{i}X" for i in range(count)]


@given(st.integers(0, 200), st.integers(1, 17))
def test_every_crop_has_a_place_in_a_batch(count: int, most: int) -> None:
    sizes = list(batch_sizes(count, most))
    assert sum(sizes) >= count
    assert sum(sizes[:-1]) < max(count, 1)
    assert all(size <= most and size & (size - 1) == 0 for size in sizes)


@pytest.mark.parametrize("spoil", [np.nan, np.inf, 0.0, 500.0])
def test_nonsense_is_an_error_not_an_empty_plate(session: Session, spoil: float) -> None:
    with pytest.raises(ModelError, match="log-probabilities") as caught:
        Reader(Tap(session, spoil))([crop("AB1")])
    assert "\n" not in str(caught.value)


def test_chances_of_zero_are_sound() -> None:
    logs = np.full((1, 64, NONE + 1), -np.inf, np.float32)
    logs[..., NONE] = 0
    logs[0, 3] = np.where(np.arange(NONE + 1) == A, 0, -np.inf)
    read = read_from_slots(ctc_slots(posteriors(logs)[0]))
    assert read.plate == "A"
    assert read.score == pytest.approx(1)


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 24), st.just(NONE + 1)), elements=st.floats(0, 30, width=16)),
    st.floats(0, 20),
)
@settings(max_examples=150, deadline=None)
def test_the_best_of_the_slots_is_the_greedy_text(logits: Floats, blanks: float) -> None:
    logits = logits.copy()
    logits[:, NONE] += np.float32(blanks)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float32)
    chances /= chances.sum(axis=1, keepdims=True)
    slots = ctc_slots(chances)
    assert best_text(slots) == greedy(chances)
    assert slots.dtype == np.float32
    assert slots.shape[1] == NONE + 1
    assert (slots >= 0).all()
    np.testing.assert_allclose(slots.sum(axis=1), 1, atol=1e-4)


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.5))
@settings(max_examples=100, deadline=None)
def test_random_peaky_posteriors_collapse_as_ctc_says(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(NONE + 1, spread), 32).astype(np.float32)
    few = rng.integers(0, 4, 32)
    chances[few == 0] = np.roll(chances, 1, axis=0)[few == 0]
    chances[few == 1] = np.eye(NONE + 1, dtype=np.float32)[NONE]
    assert best_text(ctc_slots(chances)) == greedy(chances)


def test_touching_characters_are_two_and_repeated_ones_need_a_blank() -> None:
    assert best_text(ctc_slots(steps({A: 0.9}, {B: 0.9}, {}))) == "AB"
    assert best_text(ctc_slots(steps({A: 0.9}, {A: 0.9}, {}))) == "A"
    assert best_text(ctc_slots(steps({A: 0.9}, {}, {A: 0.9}))) == "AA"


def test_a_faint_character_between_is_an_option() -> None:
    slots = ctc_slots(steps({A: 0.9}, {}, {C: 0.3}, {}, {B: 0.9}))
    assert slots.shape[0] == 3
    assert slots[1].argmax() == NONE
    assert slots[1, C] == pytest.approx(0.3)
    assert {c.plate for c in read_from_slots(slots).candidates[:2]} == {"AB", "ACB"}
    assert ctc_slots(steps({A: 0.9}, {C: 0.3}, {C: 0.05}, {A: 0.3}, {}, {B: 0.9})).shape[0] == 4
    assert ctc_slots(steps({A: 0.9}, {}, {C: FAINT - 0.02}, {}, {B: 0.9})).shape[0] == 2


def test_the_fading_of_a_character_is_no_other_character() -> None:
    assert ctc_slots(steps({A: 0.4}, {A: 0.9}, {A: 0.45}, {A: 0.3}, {}, {B: 0.9})).shape[0] == 2
    risen = ctc_slots(steps({A: 0.9}, {A: 0.05}, {A: 0.4}, {}, {B: 0.9}))
    assert risen.shape[0] == 3
    assert risen[1, A] == pytest.approx(0.35, abs=0.01)


def test_a_wavering_character_may_be_one() -> None:
    read = read_from_slots(ctc_slots(steps({}, {A: 0.55, B: 0.44}, {B: 0.55, A: 0.44}, {})))
    options = {c.plate: c.score for c in read.candidates}
    assert options["A"] > 0.15
    assert options["B"] > 0.15
    assert options["AB"] > 2 * options.get("BA", 0.0)


def test_a_repeated_character_may_be_one() -> None:
    sure = read_from_slots(ctc_slots(steps({A: 0.98}, {}, {A: 0.98})))
    unsure = read_from_slots(ctc_slots(steps({A: 0.98}, {A: 0.45}, {A: 0.98})))
    assert sure.score > 0.95
    assert unsure.plate == "AA"
    assert {c.plate: c.score for c in unsure.candidates}["A"] == pytest.approx(0.45, abs=0.03)
    assert unsure.score < 0.6


def exact(chances: Floats, text: str) -> float:
    """The CTC probability of a text, by the forward recursion of the textbook."""
    labels = [NONE]
    for char in text:
        labels += [ALPHABET.index(char), NONE]
    mass = np.zeros(len(labels))
    mass[0] = 1.0
    for step, row in enumerate(chances.astype(float)):
        reach = mass.copy() if step else np.zeros(len(labels))
        reach[1:] += mass[:-1]
        reach[0] = mass[0]
        for s in range(3, len(labels), 2):
            if labels[s] != labels[s - 2]:
                reach[s] += mass[s - 2]
        mass = reach * row[labels]
    return float(mass[-1] + (mass[-2] if len(labels) > 1 else 0.0))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_scores_are_near_the_exact_ctc_probability(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows: list[dict[int, float]] = [{}]
    for column in rng.choice(NONE, 5, replace=False):
        share, other = rng.uniform(0.6, 0.95), int(rng.integers(0, NONE))
        rows += [{int(column): share, other: 0.5 * (1 - share)} if other != column else {int(column): share}]
        rows += [{int(column): rng.uniform(0, 0.09)}, {}]
    chances = steps(*rows)
    read = read_from_slots(ctc_slots(chances))
    true = exact(chances, read.plate)
    assert 0.75 * true <= read.score <= true + 0.02
