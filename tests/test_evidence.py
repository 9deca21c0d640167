"""Texts out of slots, and their fusion over time."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from helpers_traffic import NoisyText, observation, slots_of
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_alpr.evidence import ALPHABET, NONE, canonical, n_best, read_from_slots, text_scores
from edge_alpr.fusion import Fusion, quality, same_text
from edge_alpr.types import Floats

seeds = st.integers(0, 2**32 - 1)


def random_slots(seed: int, rows: int, spread: int = 4) -> Floats:
    """Rows with mass on a few columns, so that all paths can be counted; "none" is often among them."""
    rng = np.random.default_rng(seed)
    slots = np.zeros((rows, NONE + 1), np.float32)
    for row in slots:
        columns = rng.choice([*range(6), NONE], size=spread, replace=False)
        row[columns] = rng.dirichlet(np.full(spread, rng.choice([0.2, 1.0])))
    return slots


def by_hand(slots: Floats) -> dict[str, float]:
    texts: dict[str, float] = {}
    for path in itertools.product(*(np.flatnonzero(row) for row in slots)):
        chance = float(np.prod([float(row[c]) for row, c in zip(slots, path, strict=True)]))
        text = "".join(ALPHABET[c] for c in path if c != NONE)
        texts[text] = texts.get(text, 0.0) + chance
    return texts


@settings(max_examples=80, deadline=None)
@given(seeds, st.integers(1, 5), st.integers(1, 10))
def test_n_best_agrees_with_counting_every_path(seed: int, rows: int, n: int) -> None:
    slots = random_slots(seed, rows)
    expected = by_hand(slots)
    best = n_best(slots, n)
    wanted = sorted(expected.values(), reverse=True)[:n]
    assert best[0].score == pytest.approx(wanted[0], abs=1e-6)
    assert len(best) <= n
    assert sum(c.score for c in best) > 0.9 * sum(wanted)
    assert all(c.score == pytest.approx(expected[c.plate], abs=1e-6) for c in best)
    assert len({c.plate for c in best}) == len(best)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_noisy_slots_give_candidates_in_order_that_follow_from_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    read = read_from_slots(NoisyText("B69BMA7", rng).read(float(rng.uniform(6, 40)), 1.0))
    scores = [c.score for c in read.candidates]
    assert 1 <= len(scores) <= 10
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) <= 1 + 1e-6
    assert scores == pytest.approx(list(text_scores(read.slots, [c.plate for c in read.candidates])))
    assert (read.plate, read.score) == (read.candidates[0].plate, read.candidates[0].score)
    assert len(read.char_scores) == len(read.plate)


def test_texts_spelled_in_two_ways_are_one() -> None:
    slots = np.zeros((2, NONE + 1), np.float32)
    slots[:, ALPHABET.index("A")] = slots[:, NONE] = 0.5
    assert [(c.plate, c.score) for c in n_best(slots)] == [("A", 0.5), ("", 0.25), ("AA", 0.25)]


def test_no_slots_and_empty_slots_are_an_empty_text() -> None:
    for slots in (np.zeros((0, NONE + 1), np.float32), slots_of("", 1.0, 3)):
        read = read_from_slots(slots)
        assert (read.plate, read.char_scores) == ("", ())


def test_slots_that_say_nothing_still_give_an_answer_soon() -> None:
    flat = np.full((12, NONE + 1), 1 / (NONE + 1), np.float32)
    start = time.thread_time()
    assert n_best(flat)
    assert time.thread_time() - start < 1.0


def test_char_scores_come_from_the_slots_that_show_the_text() -> None:
    slots = slots_of("B69", 0.9, 4)
    slots[1] = 0.1 / NONE
    slots[1, ALPHABET.index("6")] = 0.7
    slots[1, ALPHABET.index("G")] = 0.2
    assert read_from_slots(slots).char_scores == pytest.approx((0.9, 0.7, 0.9), abs=1e-6)


def test_n_best_is_fast_enough_for_every_plate_of_every_frame() -> None:
    slots = slots_of("B69BMA7", 0.95, 8)
    times = []
    for _ in range(50):
        start = time.thread_time()
        n_best(slots)
        times.append(time.thread_time() - start)
    assert min(times) < 2e-3  # a third of a millisecond on a quiet core


def test_canonical_folds_only_what_plates_do_not_tell_apart() -> None:
    assert canonical("BOI7Q2O") == "B017Q20"


def test_same_text_adds_up_characters() -> None:
    assert same_text(slots_of("B69BMA"), slots_of("B69BMA")) > 20
    assert same_text(slots_of("BO9BMI"), slots_of("B09BM1")) > 20
    assert same_text(slots_of("B69BMA"), slots_of("B69BHA")) > 9  # a misread is likelier than such a twin
    assert same_text(slots_of("B69BMA"), slots_of("IF14UPS")) < -15
    assert abs(same_text(slots_of("B69BMA"), np.full((6, NONE + 1), 1 / 37, np.float32))) < 3


def fused(*reads: Floats, since_s: float = 1.0) -> Fusion:
    fusion = Fusion()
    for slots in reads:
        fusion.add(slots, 1.0, since_s)
    return fusion


def mixed(text: str, other: str, sure: float) -> Floats:
    return (sure * slots_of(text, 0.999) + (1 - sure) * slots_of(other, 0.999)).astype(np.float32)


def test_one_read_is_what_it_says() -> None:
    read, alone = fused(slots_of("B69BMA", 0.97)).read(), read_from_slots(slots_of("B69BMA", 0.97))
    assert read.plate == "B69BMA"
    assert read.score == pytest.approx(alone.score, abs=0.02)


def test_frames_each_wrong_elsewhere_are_right_together() -> None:
    reads = [mixed("B69BMA", wrong, 0.4) for wrong in ("869BMA", "B69BHA", "B6YBMA")]
    assert all(read_from_slots(slots).plate != "B69BMA" for slots in reads)
    read = fused(*reads).read()
    assert read.plate == "B69BMA"
    assert read.score > 0.8


def test_one_sure_but_wrong_frame_does_not_win() -> None:
    right = [slots_of("B69BMA", 0.95)] * 3
    for at in range(4):
        read = fused(*right[:at], slots_of("B69BHA", 0.9999), *right[at:]).read()
        assert read.plate == "B69BMA"


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("B69BMA", ("B69BM", "B69BMA", "B69BMA")),
        ("B69BMA", ("69BMA", "B69BMA", "B69BMA")),
        ("B69BMA", ("B69BMA", "1B69BMA", "B69BMA")),
        ("TR95XMI", ("TR95XMI", "TR95MI", "TR95XXMI", "TR95XMI")),
    ],
)
def test_lost_and_invented_characters_are_aligned(text: str, reads: tuple[str, ...]) -> None:
    assert fused(*(slots_of(read, 0.95) for read in reads)).read().plate == text


@pytest.mark.parametrize("since_s", [1 / 30, 1.0])
def test_a_hundred_blurred_frames_alike_do_not_make_certainty(since_s: float) -> None:
    blurred = mixed("B69BMA", "8G9RNA", 0.6)
    hundred = fused(*[blurred] * 100, since_s=since_s).read()
    thousand = fused(*[blurred] * 1000, since_s=since_s).read()
    assert read_from_slots(blurred).score < hundred.score < 0.8
    assert thousand.score == pytest.approx(hundred.score, abs=0.02)


def test_a_frame_later_proves_less_than_a_second_later() -> None:
    blurred = mixed("B69BMA", "8G9RNA", 0.6)
    assert fused(blurred, blurred, since_s=1 / 30).read().score < fused(blurred, blurred).read().score


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 12), st.sampled_from([1 / 30, 0.2, 1.0]))
def test_more_frames_that_agree_never_lower_the_score(seed: int, count: int, since_s: float) -> None:
    rng = np.random.default_rng(seed)
    slots = slots_of("B69BMA", 1.0)
    slots = (0.6 * slots + 0.4 * rng.dirichlet(np.full(NONE + 1, 0.3), len(slots))).astype(np.float32)
    fusion, scores = Fusion(), []
    for _ in range(count):
        fusion.add(slots, 0.5, since_s)
        scores.append(fusion.read().score)
    assert all(b >= a - 1e-6 for a, b in itertools.pairwise(scores))


@settings(max_examples=25, deadline=None)
@given(seeds, st.randoms(use_true_random=False))
def test_the_order_of_frames_changes_little(seed: int, shuffle: object) -> None:
    rng = np.random.default_rng(seed)
    reads = [NoisyText("B69BMA7", rng, 1.0).read(24, 1.0) for _ in range(6)]
    other = list(reads)
    shuffle.shuffle(other)  # type: ignore[attr-defined]
    one, two = fused(*reads).read(), fused(*other).read()
    if one.score > 0.7:
        assert one.plate == two.plate
        assert one.score == pytest.approx(two.score, abs=0.2)


def test_at_thirty_frames_a_second_the_first_frame_weighs_no_more_than_the_next() -> None:
    assert fused(slots_of("B69BHA", 0.98), *[slots_of("B69BMA", 0.95)] * 3, since_s=1 / 30).read().plate == "B69BMA"


def test_o_and_zero_are_one_for_the_evidence() -> None:
    read = fused(slots_of("BO9BMA", 0.97), slots_of("B09BMA", 0.97), slots_of("BO9BMA", 0.97)).read()
    assert read.plate == "BO9BMA"
    assert read.score > 0.97


def test_a_good_view_outweighs_many_poor_ones() -> None:
    fusion = Fusion()
    for _ in range(60):
        fusion.add(mixed("869BHA", "B69BMA", 0.6), 0.05, 1 / 30)
    for _ in range(10):
        fusion.add(slots_of("B69BMA", 0.95), 0.7, 1 / 30)
    assert fusion.read().plate == "B69BMA"


def test_rubbish_without_end_stays_bounded() -> None:
    rng, fusion = np.random.default_rng(3), Fusion()
    for _ in range(200):
        text = "".join(rng.choice(list(ALPHABET), rng.integers(1, 14)))
        fusion.add(slots_of(text, 0.9), float(rng.uniform(0.01, 1)), float(rng.uniform(0, 2)))
    assert len(fusion.slots()) <= 16
    assert np.allclose(fusion.slots().sum(axis=1), 1, atol=1e-4)


def test_quality_prefers_large_sharp_whole_plates() -> None:
    small = observation(slots_of("B69BMA"), (600, 400, 640, 409))
    large = observation(slots_of("B69BMA"), (600, 400, 740, 430))
    blurred = observation(slots_of("B69BMA"), (600, 400, 740, 430), 0.02)
    cut = observation(slots_of("B69BMA"), (-20, 400, 120, 430))
    worth = {name: quality(o.crop, o.read) for name, o in locals().items()}
    assert worth["large"] > 2 * max(worth["small"], worth["blurred"], worth["cut"])
    assert all(0 < value <= 1 for value in worth.values())
