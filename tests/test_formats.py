"""Plate formats as a prior: the table, what it does to reads, and what it never does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_traffic import CONFUSED, NoisyText, plate_text, slots_of
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from edge_alpr.camera import open_source
from edge_alpr.config import (
    Config,
    FormatsConfig,
    ModelsConfig,
    OutputConfig,
    SourceConfig,
    StoreConfig,
    parse_config,
)
from edge_alpr.drive import Drive, Screen
from edge_alpr.errors import ConfigError
from edge_alpr.evidence import ALPHABET, NONE, canonical, read_from_slots, text_scores
from edge_alpr.formats import Formats, choose, guess, load_table, open_formats, shipped
from edge_alpr.formats.pattern import parse_pattern
from edge_alpr.formats.table import fits, parse_table
from edge_alpr.formats.tiles import Sieve, tile_scores, tiles_of
from edge_alpr.fusion import Fusion
from edge_alpr.screen import show_summary
from edge_alpr.types import Floats

seeds = st.integers(0, 2**32 - 1)
regions = st.sampled_from([("ro",), ("eu",), ("us",), ("gb",), ("in", "br"), ("de",)])
ENTRY = '[zz]\nname = "Nowhere"\nformats = [{ pattern = "LL DDDD", example = "AB1234" }]\n'


@cache
def formats(*names: str, strength: float = 0.2, mode: str = "hint") -> Formats:
    return open_formats(FormatsConfig(regions=names, strength=strength, mode=mode))  # type: ignore[arg-type]


def noisy(seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    return NoisyText(plate_text(rng), rng).read(float(rng.uniform(6, 40)), 1.0)


def unsure(text: str, at: int, other: str, share: float) -> Floats:
    """`text`, but at one position another character has `share` of the mass."""
    slots = slots_of(text, 0.98)
    slots[at] *= 1 - share
    slots[at, ALPHABET.index(other)] += share
    return slots


# The table


def test_every_example_fits_its_own_format_and_no_code_is_given_twice() -> None:
    texts = (Path(__file__).parents[1] / "edge_alpr" / "formats").glob("*.toml")
    codes = [line.strip("[]\n") for file in texts for line in file.open() if line.startswith("[")]
    assert len(codes) == len(set(codes)) == len(shipped())
    for region in shipped().values():
        for chosen, shapes in zip(region.entry.formats, region.shapes, strict=True):
            assert any(fits(chosen.example, shape) for shape in shapes), (region.code, chosen)
            assert sum(shape.share for shape in shapes) == pytest.approx(1)


@pytest.mark.parametrize(
    ("code", "plates"),
    [
        ("ro", ("B123ABC", "B69BMA", "CJ12XYZ", "SB014882")),
        ("de", ("MAB1234", "BMW1", "HHXY12E", "WABCD123")),
        ("fr", ("AB123CD",)),
        ("gb", ("AB12CDE", "A123BCD", "ABC123D")),
        ("it", ("AB123CD",)),
        ("es", ("1234BCD", "M1234AB")),
        ("nl", ("GB123X", "12XXX1")),
        ("pl", ("WA12345", "WA1234C", "KR123AB", "ZKO12AB")),
        ("ua", ("AA1234BC", "KA1234BC")),
        ("tr", ("34ABC12", "06AB1234", "35A1234")),
        ("br", ("ABC1D23", "ABC1234")),
        ("ar", ("AB123CD", "ABC123")),
        ("in", ("MH12AB1234", "DL3CAB1234", "CG10W7954", "24BH8972F")),
        ("us-ca", ("7ABC123",)),
        ("us-ny", ("ABC1234",)),
        ("ca-on", ("ABCD123",)),
        ("cl", ("BBCD12",)),
        ("au-nsw", ("ABC12D",)),
        ("ru", ("A123BC77", "A123BC199")),
        ("za", ("BB12CDGP",)),
        ("il", ("1234567", "12345678")),
    ],
)
def test_plates_that_everybody_knows_fit_their_country(code: str, plates: tuple[str, ...]) -> None:
    for plate in plates:
        assert formats(code).fits(plate), plate


@pytest.mark.parametrize(
    ("code", "plate"),
    [("ro", "XX12ABC"), ("ro", "B1234ABC"), ("fr", "AO123CD"), ("tr", "82ABC12"), ("us-ca", "ABC1234")],
)
def test_plates_that_cannot_be_do_not_fit(code: str, plate: str) -> None:
    assert not formats(code).fits(plate)


def test_groups_countries_and_states_are_chosen_once_each() -> None:
    table = shipped()
    assert len(choose(table, ["eu"])) == 27
    assert len(choose(table, ["us"])) == 51
    assert [r.code for r in choose(table, ["ro", "eu", "ro"])].count("ro") == 1
    assert {r.code for r in choose(table, ["ca"])} == {code for code in table if code.startswith("ca-")}


def test_a_pattern_is_counted_as_written_out() -> None:
    shapes = parse_pattern("<town> D{1,2} [XZ]", "AB", {"town": ("A", "BA", "BB")})
    texts = {"".join(p) for s in shapes for p in product(*s.places)}
    assert texts == {
        f"{town}{number}{last}"
        for town in ("A", "BA", "BB")
        for number in (*"0123456789", *(f"{n:02}" for n in range(100)))
        for last in "XZ"
    }
    assert sum(s.texts for s in shapes) == len(texts)
    assert sum(s.share for s in shapes) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[zz\n", "not valid TOML: Expected"),
        ('[ZZ]\nname = "x"\n', "[ZZ]: a region is a code such as ro or us-ca"),
        ('[zz]\nname = "x"\n', "[zz] Object missing required field formats"),
        (ENTRY + "wieght = 2\n", "[zz] Object contains unknown field wieght"),
        (ENTRY + "weight = -2\n", "[zz] weight: Expected float > 0.0"),
        (ENTRY.replace("DDDD", "DDDX"), "[zz] formats[0].pattern: 'LL DDDX': 'X' is none of L, D, A"),
        (ENTRY.replace("LL", "<town>"), "no list 'town'; known here: none"),
        (ENTRY.replace("AB1234", "A1234"), "[zz] formats[0].example: 'A1234' does not fit 'LL DDDD'"),
        (ENTRY.replace("AB1234", "ab 1234"), "[zz] formats[0].example: Expected"),
        (ENTRY + 'letters = "a-z"\n', "[zz] letters: 'a-z' is no choice of A-Z and 0-9"),
        (ENTRY.replace("DDDD", "D{4,2}"), "{4,2} counts down"),
        (ENTRY.replace("DDDD", "D{9}"), "a plate has 1 to 10 characters"),
        (ENTRY.replace("LL DDDD", "[A-] DDDD"), "'A-' is no choice"),
        ("zz = 3\n", "[zz] Expected object, got int"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line_that_names_the_key(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_table(text, "mine.toml")
    assert str(caught.value).startswith("mine.toml: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_of_ones_own_adds_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(ENTRY + ENTRY.replace("zz", "ro"))
    table = load_table(str(file))
    assert table["zz"].entry.name == table["ro"].entry.name == "Nowhere"
    assert set(table) == {*shipped(), "zz"}
    config = parse_config(f'[formats]\nregions = ["ro"]\ntable = "{file}"\n').formats
    assert open_formats(config).fits("AB1234")
    assert not open_formats(config).fits("B123ABC")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('regions = ["xy"]', "no region 'xy'"),
        ('regions = ["romania"]', "like it: "),
        ('regions = ["ro"]\ntable = "none.toml"', "none.toml: cannot be read"),
        ('mode = "hard"', "formats.mode: invalid enum value 'hard'"),
        ("strength = 2", "formats.strength: expected float <= 1.0"),
        ("region = 2", "unknown key 'formats.region'; known here: regions, mode"),
    ],
)
def test_a_wrong_configuration_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_formats(parse_config(f"[formats]\n{text}\n").formats)
    assert words in str(caught.value)


# The prior


@settings(max_examples=60)
@given(seeds, regions)
def test_scores_stay_probabilities(seed: int, names: tuple[str, ...]) -> None:
    read = formats(*names).interpret(noisy(seed))
    scores = [c.score for c in read.candidates]
    assert 1 <= len(scores) <= 10
    assert sum(scores) <= 1 + 1e-6
    assert all(0 <= score <= 1 for score in (*scores, *read.char_scores))
    assert scores == sorted(scores, reverse=True)
    assert (read.plate, read.score) == (read.candidates[0].plate, read.candidates[0].score)
    assert len(read.char_scores) == len(read.plate)
    assert all(char >= read.score - 1e-6 for char in read.char_scores)
    assert len({c.plate for c in read.candidates}) == len(read.candidates)


@settings(max_examples=30)
@given(seeds, regions)
def test_without_regions_or_strength_a_read_is_what_it_was(seed: int, names: tuple[str, ...]) -> None:
    slots = noisy(seed)
    plain = read_from_slots(slots)
    for silent in (formats(), formats(*names, strength=0.0), formats(mode="filter")):
        read = silent.interpret(slots)
        assert (read.plate, read.score, read.char_scores) == (plain.plate, plain.score, plain.char_scores)
        assert read.candidates == plain.candidates
        assert read.slots is slots


@settings(max_examples=60)
@given(seeds, regions)
def test_a_sure_read_stays(seed: int, names: tuple[str, ...]) -> None:
    text = plate_text(np.random.default_rng(seed))
    read = formats(*names).interpret(slots_of(text, 0.999))
    assert canonical(read.plate) == canonical(text)
    assert read.score > 0.9


@settings(max_examples=30)
@given(seeds, st.sampled_from([("ro",), ("gb",), ("br",)]))
def test_the_weight_of_a_shape_is_that_of_all_its_texts(seed: int, names: tuple[str, ...]) -> None:
    """Counted by hand over every text of the slots, twins being given to the spelling that fits."""
    rng = np.random.default_rng(seed)
    slots = np.zeros((6, NONE + 1))
    for row, columns in zip(slots, ("1IB8", "0O2", "0O3", "AO0", "I1B", "CX"), strict=True):
        row[[*map(ALPHABET.index, columns), NONE]] = rng.dirichlet(np.ones(len(columns) + 1))
    tiles = tiles_of(formats(*names).regions)
    masses = Sieve(tiles).masses(slots)
    ways = [[c for c, p in enumerate(row) if p] for row in slots]
    texts = {"".join(ALPHABET[c] for c in way if c != NONE) for way in product(*ways)}
    spelled = {t for text in texts for t in twins(text)}
    for number in rng.choice(len(tiles), 5).tolist():
        mine = sorted(t for t in spelled if tiles[number].fits(t))
        assert float(tile_scores(slots, tiles[number], mine).sum()) == pytest.approx(masses[number])


def twins(text: str) -> set[str]:
    return {"".join(p) for p in product(*({"0": "0O", "O": "0O", "1": "1I", "I": "1I"}.get(c, c) for c in text))}


@pytest.mark.parametrize(("at", "other"), [(0, "8"), (1, "G"), (2, "P"), (3, "8"), (3, "3"), (5, "4")])
def test_a_misread_that_cannot_be_is_put_right(at: int, other: str) -> None:
    slots = unsure("B69BMA", at, other, 0.6)
    assert read_from_slots(slots).plate != "B69BMA"
    read = formats("ro").interpret(slots)
    assert read.plate == "B69BMA"
    assert 0.5 < read.score < 0.99


def test_a_right_text_deep_among_the_candidates_is_found() -> None:
    """Four doubtful positions: the raw n best do not hold the only text that fits."""
    slots = slots_of("8G98M4", 0.98)
    for at, char in ((0, "B"), (1, "6"), (3, "B"), (5, "A")):
        slots[at] *= 0.75
        slots[at, ALPHABET.index(char)] += 0.25
    assert "B69BMA" not in [c.plate for c in read_from_slots(slots).candidates]
    assert formats("ro", strength=1.0).interpret(slots).plate == "B69BMA"


def test_foreign_and_personalised_plates_are_not_lost() -> None:
    for plate in ("WAB1234", "PIRAT888", "REDNEX", "ABC1234", "7ABC123", "M5EOX"):
        read = formats("ro").interpret(slots_of(plate, 0.97))
        assert read.plate == plate
        assert read.score > 0.6


def test_twins_are_spelled_as_the_country_does() -> None:
    """The United Kingdom draws O and 0 alike: the other one is no error there, and costs nothing."""
    for shown in ("AB12CDO", "AB12CD0"):
        read = formats("gb").interpret(slots_of(shown, 0.98))
        assert read.plate == "AB12CDO"
    assert formats("gb").interpret(slots_of("OBI2CDE", 0.98)).plate == "OB12CDE"
    fused = Fusion()
    for shown in ("B1O3ABC", "B103ABC", "B1O3ABC"):
        fused.add(slots_of(shown, 0.98))
    assert fused.read().plate == "B1O3ABC"
    assert fused.read(formats("ro").interpret).plate == "B103ABC"


def test_where_twins_are_drawn_apart_the_mistake_has_a_price() -> None:
    shown = slots_of("B1O3ABC", 0.97)
    alike = parse_table('[zz]\nname = "x"\nalike = ["O0"]\n' + _FORMAT, "here")["zz"]
    apart = parse_table('[zz]\nname = "x"\n' + _FORMAT, "here")["zz"]
    scores = [_score(Formats((region,), 0.2).interpret(shown).candidates, "B103ABC") for region in (alike, apart)]
    assert scores[0] > scores[1] + 0.05


_FORMAT = 'formats = [{ pattern = "L DDD LLL", example = "B123ABC" }]\n'


def _score(candidates: object, plate: str) -> float:
    return next((c.score for c in candidates if c.plate == plate), 0.0)  # type: ignore[attr-defined]


@settings(max_examples=60)
@given(seeds, regions)
def test_a_filter_never_invents_a_text(seed: int, names: tuple[str, ...]) -> None:
    slots = noisy(seed)
    hint, strict = formats(*names), formats(*names, mode="filter")
    read = strict.withheld(strict.interpret(slots))
    if read.plate:
        assert read.plate == hint.interpret(slots).plate
        assert read.score == hint.interpret(slots).score
        assert all(strict.fits(c.plate) for c in read.candidates)
    else:
        assert not strict.fits(hint.interpret(slots).plate)
        assert (read.score, read.char_scores) == (0.0, ())


def test_a_misread_of_many_kinds_is_right_more_often_with_the_countrys_hint() -> None:
    right = {"none": 0, "ro": 0, "us": 0}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        text = "".join(rng.choice(list(s)) for s in ("B", "0123456789", "0123456789", *["ABCDEFGHJKLMNPRSTVXYZ"] * 3))
        slots = slots_of(text, 0.9)
        for at in rng.choice(6, 2, replace=False).tolist():
            group = next((g for g in CONFUSED if text[at] in g and len(g) > 1), "0O")
            slots[at] *= 0.5
            slots[at, ALPHABET.index(group.replace(text[at], "")[0])] += 0.5 * rng.uniform(0.8, 1.2)
        slots /= slots.sum(axis=1, keepdims=True)
        for name, chosen in (("none", formats()), ("ro", formats("ro")), ("us", formats("us"))):
            right[name] += canonical(chosen.interpret(slots).plate) == canonical(text)
    assert right["ro"] > right["none"] + 20
    assert right["us"] > right["none"] - 20


def test_a_hint_costs_less_than_reading_the_plate() -> None:

    slots, chosen = noisy(3), formats("eu")
    chosen.interpret(slots)
    times = []
    for _ in range(20):
        start = time.thread_time()
        chosen.interpret(slots)
        times.append(time.thread_time() - start)
    assert min(times) < 5e-3  # about a millisecond on a quiet core


# Where from


def test_a_guess_is_of_the_regions_that_fit_and_adds_up_to_one_at_most() -> None:
    for plate, code in (("B123ABC", "ro"), ("MH12AB1234", "in"), ("34ABC12", "tr"), ("BB12CDGP", "za")):
        guesses = guess(read_from_slots(slots_of(plate, 0.995)))
        assert guesses[0].code == code
        assert guesses[0].score > 0.6
        assert sum(g.score for g in guesses) <= 1 + 1e-9
    assert guess(read_from_slots(slots_of("", 0.99, 3))) == ()
    assert text_scores(slots_of("B123ABC"), ["B123ABC"])[0] <= 1


def test_a_guess_is_as_sure_as_the_read_at_most() -> None:
    guesses = guess(read_from_slots(slots_of("B123ABC", 0.8)))
    assert sum(g.score for g in guesses) <= sum(c.score for c in read_from_slots(slots_of("B123ABC", 0.8)).candidates)


# The whole way


@pytest.mark.slow
def test_a_filter_tells_what_fits_and_counts_the_rest(tmp_path: Path) -> None:
    """The sample drive, whose plates are of no country in particular; three of its ten fit British formats."""
    config = Config(
        formats=FormatsConfig(regions=("gb",), mode="filter"),
        models=ModelsConfig(threads=1),
        store=StoreConfig(path=str(tmp_path / "store"), keep_images=False),
        output=OutputConfig(events=str(tmp_path / "events.jsonl")),
    )
    screen = io.StringIO()
    summary = Drive(config, Screen()).run()
    show_summary(Console(file=screen, width=120), summary)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    told = [event["plate"] for event in events if event["state"] == "confirmed"]
    assert sorted(told) == ["KT83XTU", "VUX638", "XT62HRV"]
    assert summary.withheld == 7
    assert "7 not told as they fit no format" in screen.getvalue()
    assert all(formats("gb").fits(c["plate"]) for event in events for c in event["candidates"])
    assert all(event["region"]["code"] == "gb" for event in events)


def edge_alpr(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_alpr.cli", *map(str, args)]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120)


def still(folder: Path, section: str) -> tuple[Path, Path]:
    """A frame of the sample drive as a picture, and a configuration."""
    with open_source(SourceConfig()) as source:
        for frame in source:
            with frame:
                cv2.imwrite(str(folder / "frame.png"), np.ascontiguousarray(frame.luma))
            break
    (folder / "car.toml").write_text(f"[formats]\n{section}\n")
    return folder / "frame.png", folder / "car.toml"


def test_a_still_says_that_its_text_is_withheld_and_where_it_may_be_from(tmp_path: Path) -> None:
    picture, config = still(tmp_path, 'regions = ["ro"]\nmode = "filter"')
    plates = json.loads(edge_alpr("read", "--jsonl", picture, "--config", config).stdout)["plates"]
    assert plates[0]["withheld"] is True
    assert (plates[0]["plate"], plates[0]["candidates"]) == ("", [{"plate": "", "score": 0.0}])
    assert "(fits no format)" in edge_alpr("read", picture, "--config", config).stdout
    config.write_text('[formats]\nregions = ["us"]\n')
    plate = json.loads(edge_alpr("read", "--jsonl", picture, "--config", config).stdout)["plates"][0]
    assert (plate["plate"], plate["region"]["code"]) == ("7XKM482", "us-ca")
    assert "withheld" not in plate
    plain = json.loads(edge_alpr("read", "--jsonl", picture).stdout)["plates"][0]
    assert not {"region", "withheld"} & set(plain)


def test_the_command_lists_the_table_and_tests_a_text() -> None:
    assert "Romania" in edge_alpr("formats", "ro").stdout
    assert len(edge_alpr("formats").stdout.splitlines()) > len(shipped())
    tested = edge_alpr("formats", "eu", "--test", "b 123 abc")
    assert tested.returncode == 0
    assert "[B] DDD LLL" in tested.stdout
    assert "likeliest: ro 100%" in tested.stdout
    nothing = edge_alpr("formats", "ro", "--test", "WAB1234")
    assert nothing.returncode == 1
    assert "fits no format" in nothing.stdout
    for wrong in (("formats", "xy"), ("formats", "--test", "B-?")):
        done = edge_alpr(*wrong)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
