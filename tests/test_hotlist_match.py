"""Which entries a read hits, how sure, and how often by chance."""

from __future__ import annotations

import time

import numpy as np
import pytest
from helpers_hotlist import loaded, matcher, needs
from helpers_traffic import slots_of

from edge_alpr.config import FormatsConfig, HotListsConfig
from edge_alpr.errors import ConfigError
from edge_alpr.evidence import ALPHABET, NONE, canonical, fold, read_from_slots, text_scores
from edge_alpr.formats import open_formats
from edge_alpr.hotlist.chance import SHIFT_H, Errors, chances, least_chance, posterior
from edge_alpr.hotlist.keys import Classes
from edge_alpr.hotlist.match import Matcher
from edge_alpr.types import Floats, Read

DAY_MS = 86_400_000
MINE = """# priority: 3
# color: red
# sound: siren
plate,note,expires
B 123 ABC,red van
BIO1XYZ
CJ 10 QQQ,,1970-01-02
"""


def read(text: str) -> Read:
    return read_from_slots(slots_of(text, 0.999))


def unsure(text: str, place: int, other: str, share: float) -> Floats:
    """Slots that say a text, but at one place another character with this probability."""
    slots = slots_of(text, 0.999)
    slots[place] *= 1 - share
    slots[place, ALPHABET.index(other)] += share
    return slots


@pytest.mark.parametrize(
    ("text", "entry", "kind", "places", "least", "most"),
    [
        ("B123ABC", "B 123 ABC", "exact", (), 0.99, 1.0),
        ("B101XYZ", "BIO1XYZ", "equivalent", (1, 2), 0.99, 1.0),  # O and 0, I and 1: no plate tells them apart
    ],
)
def test_a_sure_read_hits(text: str, entry: str, kind: str, places: tuple[int, ...], least: float, most: float) -> None:
    (hit,) = matcher(MINE)(read(text), 0)
    assert (hit.list, hit.entry, hit.kind, hit.chars_differ) == ("list0", entry, kind, places)
    assert least <= hit.score <= most
    assert (hit.priority, hit.color, hit.sound) == (3, "red", "siren")


@pytest.mark.parametrize("text", ["B123ABD", "8123ABC", "B123AB", "B1234ABC", "X123ABC", "", "A"])
def test_a_sure_read_of_another_plate_does_not_hit(text: str) -> None:
    assert matcher(MINE)(read(text), 0) == ()


@pytest.mark.parametrize(
    ("slots", "places"),
    [
        (unsure("B123ABD", 6, "C", 0.2), (6,)),  # among the candidates
        (unsure("8123ABC", 0, "B", 0.02), (0,)),
        (np.vstack([slots_of("B123ABC", 0.999), slots_of("", 0.999, 1)]), ()),
    ],
)
def test_an_unsure_read_hits_as_far_as_it_is_likely(slots: Floats, places: tuple[int, ...]) -> None:
    (hit,) = matcher(MINE)(read_from_slots(slots), 0)
    assert hit.chars_differ == places
    assert hit.kind == {(6,): "distance", (0,): "equivalent", (): "exact"}[places]


def test_a_character_that_is_missing_is_marked_where_it_is_missing() -> None:
    slots = slots_of("B123ABC", 0.999)
    slots[6] = 0.0
    slots[6, [ALPHABET.index("C"), NONE]] = 0.3, 0.7
    (hit,) = matcher(MINE)(read_from_slots(slots), 0)
    assert (hit.kind, hit.chars_differ) == ("distance", (6,))


def test_what_is_over_does_not_hit_and_age_is_told() -> None:
    one = matcher(MINE)
    assert one(read("CJ10QQQ"), DAY_MS)
    assert not one(read("CJ10QQQ"), 2 * DAY_MS)
    (hit,) = one(read("B123ABC"), DAY_MS)
    assert (hit.list_age_s, hit.stale, hit.note) == (86_400, False, "red van")
    assert one(read("B123ABC"), 3 * DAY_MS)[0].stale
    assert not matcher("# expires: 1970-01-01\nB123ABC\n")(read("B123ABC"), DAY_MS)


def test_the_most_urgent_list_comes_first_and_each_once() -> None:
    lists = ("# priority: 1\nB123ABC\n8123ABC\n", "# priority: 9\nB 123 ABC\n", "X1XX\n")
    hits = matcher(*lists)(read("B123ABC"), 0)
    assert [(hit.list, hit.kind) for hit in hits] == [("list1", "exact"), ("list0", "exact")]


def test_wildcards_and_expressions() -> None:
    needs("re2")
    one = matcher("CJ*9O?\n/B[0-9]{2}(AA|BB)X/\n/(a+)+$/\n/(?:[A-Z0-9]*[A-Z0-9]*)*Q!/\n")
    assert [hit.entry for hit in one(read("CJ12907"), 0)] == ["CJ*9O?"]
    assert [(hit.entry, hit.kind) for hit in one(read("B12BBX"), 0)] == [("/B[0-9]{2}(AA|BB)X/", "wildcard")]
    assert one(read("CJ1290"), 0) == one(read("B12ABX"), 0) == ()


def test_a_pattern_that_would_never_end_does_not_hold_the_reader_up() -> None:
    needs("re2")
    patterns = ["/(A*)*(A*)*(A*)*(A*)*X/", "A*A*A*A*A*A*A*A*X", "/((A|AA)+)+X/", "/(.*){1,30}X/"]
    one = matcher("\n".join(patterns * 20))
    text = read("AAAAAAAAAAAAAAAY")
    begin = time.process_time()
    assert one(text, 0) == ()
    assert time.process_time() - begin < 0.5


def test_broken_and_oversized_patterns_are_named() -> None:
    needs("re2")
    made = loaded('/[/\n"/((a{1,100}){1,100}){1,100}/"\n/(?=look)/\nB*9X\n')
    assert [fault.line for fault in made.faults] == [1, 2, 3]
    assert len(made) == 1


def test_classes_and_distance_are_settings() -> None:
    slots = unsure("8123ABC", 5, "D", 0.2)
    slots[0] = 0.0
    slots[0, [ALPHABET.index("8"), ALPHABET.index("B")]] = 0.9, 0.1
    seen = read_from_slots(slots)
    strict = HotListsConfig(max_distance=0)
    assert matcher("B123ABC\n", config=strict)(seen, 0)[0].kind == "equivalent"
    assert matcher("B123ABC\n", config=HotListsConfig(classes=()))(seen, 0)[0].kind == "distance"
    far = slots_of("8123ABC", 0.97)
    assert not matcher("B123ABC\n", config=HotListsConfig(classes=(), max_distance=0))(read_from_slots(far), 0)
    with pytest.raises(ConfigError, match="stands twice"):
        HotListsConfig(classes=("AB", "BC"))


def test_the_chance_of_a_text_is_that_of_the_slots_less_misreads() -> None:
    rng = np.random.default_rng(1)
    slots = rng.dirichlet(np.full(NONE + 1, 0.05), 7).astype(np.float32)
    texts = [canonical(c.plate) for c in read_from_slots(slots).candidates if c.plate]
    plain = chances(fold(slots).astype(np.float64), texts)
    assert plain == pytest.approx(text_scores(fold(slots), texts), rel=1e-4)
    rows = Errors(Classes(HotListsConfig().classes)).rows(slots)
    assert rows.sum(axis=1) == pytest.approx(np.ones(15), abs=1e-6)


def test_what_a_format_makes_likelier_counts() -> None:
    slots = slots_of("B698MA", 0.999)
    slots[3] = 0.0
    slots[3, [ALPHABET.index("8"), ALPHABET.index("B")]] = 0.6, 0.4
    formats = open_formats(FormatsConfig(regions=("ro",), strength=0.4))
    one = matcher("B69BMA\n")
    assert one.chances(formats.interpret(slots), ["B69BMA"])[0] > 2 * one.chances(read_from_slots(slots), ["B69BMA"])[0]


def test_a_hit_must_be_surer_the_longer_the_list() -> None:
    needed = [least_chance(density, 600, 0.5) for density in (1e-7, 1e-5, 1e-3, 0.1)]
    assert needed == sorted(needed)
    assert needed[0] < 0.001
    assert needed[-1] == 0.9  # sure reads are told whatever the list
    assert matcher("B123ABC\n").expected_false_alerts <= 0.5
    assert posterior(0.5, 1.0) == 0.5
    assert posterior(1.0, 1e-9) == 1.0
    assert posterior(0.0, 1.0) == 0.0


SHAPE = ("ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789", "0123456789", "0123456789", "ABCDEFGHJKLMNPRSTUVWXYZ")
PLATES = 529_000
SHIFT = 1_000
"""Cars of a simulated shift."""


def shown(rng: np.random.Generator, out_of: int = 40) -> tuple[Floats, str]:
    """A plate LDDDL as it is read, calibrated: the truth is drawn from the slots. Five `out_of` so many have a weak
    character.
    """
    slots = np.zeros((5, NONE + 1), np.float32)
    weak, truth = int(rng.integers(out_of)), ""
    for place, kind in enumerate(SHAPE):
        first, second = rng.choice(list(kind), 2, replace=False)
        sure = rng.uniform(0.3, 1.0) if place == weak else 0.9999
        slots[place, [ALPHABET.index(first), ALPHABET.index(second)]] = sure, 1 - sure
        truth += first if rng.random() < sure else second
    return slots, truth


def population(entries: int, config: HotListsConfig, fleet: bool = False) -> tuple[Matcher, frozenset[str]]:
    """A list of random plates, or of a fleet with numbers in sequence."""
    rng = np.random.default_rng(entries)
    if fleet:
        places, letters, digits = np.arange(entries), np.array(list(SHAPE[0])), np.array(list(SHAPE[1]))
        numbers = [digits[places // size % 10] for size in (100, 10, 1)]
        columns = [letters[places // 23_000], *numbers, letters[places // 1_000 % 23]]
    else:
        columns = [rng.choice(list(kind), entries) for kind in SHAPE]
    texts = {"".join(row) for row in np.stack(columns, axis=1).tolist()}
    return matcher("\n".join(sorted(texts)), config=config), frozenset(map(canonical, texts))


@pytest.mark.parametrize(("entries", "fleet"), [(500, False), (20_000, False), (20_000, True)])
def test_false_alerts_are_no_more_than_stated_and_hits_are_told(entries: int, fleet: bool) -> None:
    """Lists of up to 4 % of all plates. Longer ones and more cars: docs/hotlist_figures.py alerts."""
    met = {"plates_per_hour": SHIFT / SHIFT_H, "plates_in_use": PLATES}
    config = HotListsConfig(false_alerts=1.0, min_score=0.0, **met)
    one, listed = population(entries, config, fleet)
    rng = np.random.default_rng(1)
    false = hits = missed = cars = 0
    for _ in range(2 * SHIFT):
        slots, truth = shown(rng)
        told = bool(one(read_from_slots(slots), 0))
        if canonical(truth) in listed:
            hits, missed = hits + told, missed + (not told)
        else:
            cars, false = cars + 1, false + told
    assert false / cars * SHIFT <= 1.0 + 3 * np.sqrt(1.0 / 2)  # three deviations of the mean of two shifts
    assert hits >= 0.8 * (hits + missed)
    assert not one.too_long


def test_scores_are_the_share_of_hits_that_are_right() -> None:
    """Cars of the list are met five times as often as others: of the hits that are stated at p, p are right."""
    entries, rarer = 20_000, 0.2
    share = entries / (entries + (PLATES - entries) * rarer)
    met = {"plates_per_hour": SHIFT / SHIFT_H, "plates_in_use": PLATES, "hits_per_shift": share * SHIFT}
    config = HotListsConfig(false_alerts=1e6, min_score=0.0, **met)
    one, listed = population(entries, config)
    rng = np.random.default_rng(2)
    stated, right = [], []
    while len(stated) < 150:
        slots, truth = shown(rng, out_of=5)
        if canonical(truth) not in listed and rng.random() > rarer:
            continue
        hits = [hit for hit in one(read_from_slots(slots), 0) if 0.02 < hit.score < 0.98]
        stated += [hit.score for hit in hits]
        right += [canonical(hit.entry) == canonical(truth) for hit in hits]
    assert np.mean(right) == pytest.approx(np.mean(stated), abs=0.12)
    unsure = np.array(stated) < 0.7
    assert np.mean(np.array(right)[unsure]) == pytest.approx(np.mean(np.array(stated)[unsure]), abs=0.15)


def test_a_lookup_in_many_entries_is_quick() -> None:
    rng = np.random.default_rng(4)
    texts = np.array(list(ALPHABET))[rng.integers(0, 36, (30_000, 7))]
    one = matcher("\n".join("".join(row) for row in texts.tolist()))
    seen = ["".join(rng.choice(list(ALPHABET), 7)) for _ in range(300)]
    reads = [read_from_slots(slots_of(text, rng.uniform(0.8, 1.0))) for text in seen]
    times = []
    for looked in reads:
        begin = time.thread_time()
        one(looked, 0)
        times.append(time.thread_time() - begin)
    assert np.percentile(times, 90) < 2e-3  # 1 ms at p99 on a quiet machine: docs/hotlists.md
