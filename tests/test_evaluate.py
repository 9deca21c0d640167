"""Scoring on small lists whose figures are known by heart."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_evaluate import evaluated, found, group, picture, plate, printed, seen
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.errors import DatasetError, ImageError
from edge_alpr.evaluate import (
    Confirmed,
    LabelledImage,
    LabelledPlate,
    Outcome,
    PlateFound,
    evaluate_stills,
    figures,
    load_dataset,
    passages,
    render_report,
    render_rides,
    report_json,
    rides_json,
    score_events,
    score_image,
)
from edge_alpr.evaluate.stills import MATCH_IOU, match
from edge_alpr.geometry import box_iou, box_quad

DATA = Path(__file__).parents[2] / "shared" / "data"


# --- labels


def write_set(folder: Path, *lines: str) -> Path:
    (folder / "labels.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


GOOD = '{"image": "a.jpg", "split": "dev", "plates": [{"box": [1, 2, 30, 12.5], "text": "AB12", "legibility": "ok"}]}'


def test_a_line_is_read_whole(tmp_path):
    ride = (
        '{"image": "b_00007.jpg", "split": "train", "complete": true, "ride": "r1", "second": 7, "vehicles": [],'
        '"plates": [{"box": [0, 0, 9, 9], "text": "", "lines": 2, "ignore": true}]}'
    )
    first, second = load_dataset(write_set(tmp_path, GOOD, "", ride))
    assert first == LabelledImage(
        tmp_path / "a.jpg", "a.jpg", "dev", (LabelledPlate((1.0, 2.0, 30.0, 12.5), "AB12", "ok"),)
    )
    assert (second.ride, second.second, second.complete) == ("r1", 7.0, True)
    assert second.plates == (LabelledPlate((0, 0, 9, 9), "", "unreadable", 2, True),)
    assert load_dataset(tmp_path, "train") == [second]


def test_a_crop_is_one_whole_plate(tmp_path):
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((24, 94), np.uint8))
    line = '{"image": "c.png", "split": "train", "crop": true, "plates": [{"text": "京PL3N67", "latin": "PL3N67"}]}'
    (image,) = load_dataset(write_set(tmp_path, line))
    assert image.crop
    assert image.plates == (LabelledPlate((0, 0, 94, 24), "PL3N67", "ok"),)


BAD = {
    "no JSON": ("{]", "malformed"),
    "wrong type": ('{"image": 7, "plates": []}', "image"),
    "no plates": ('{"image": "a.jpg"}', "plates"),
    "three numbers": ('{"image": "a.jpg", "plates": [{"box": [1, 2, 3]}]}', "box"),
    "empty box": ('{"image": "a.jpg", "plates": [{"box": [9, 2, 3, 4]}]}', "empty"),
    "no box": ('{"image": "a.jpg", "plates": [{"text": "AB12"}]}', "without a box"),
    "text": ('{"image": "a.jpg", "plates": [{"box": [1, 2, 3, 4], "text": "ab 12"}]}', "A-Z0-9"),
    "legible, no text": ('{"image": "a.jpg", "plates": [{"box": [1, 2, 3, 4], "legibility": "ok"}]}', "wants a text"),
    "legibility": ('{"image": "a.jpg", "plates": [{"box": [1, 2, 3, 4], "legibility": "so so"}]}', "so so"),
    "ride, no second": ('{"image": "a.jpg", "ride": "r", "plates": []}', "second"),
    "crop not there": ('{"image": "none.png", "crop": true, "plates": [{"text": "AB12"}]}', "none.png"),
}


@pytest.mark.parametrize(("line", "word"), BAD.values(), ids=BAD)
def test_a_bad_line_is_named(tmp_path, line, word):
    with pytest.raises(DatasetError) as error:
        load_dataset(write_set(tmp_path, GOOD, line))
    assert "labels.jsonl:2:" in str(error.value)
    assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_set_without_pictures_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match=r"no labels\.jsonl"):
        load_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"'test'.* have: dev"):
        load_dataset(write_set(tmp_path, GOOD), "test")
    with pytest.raises(DatasetError, match="no picture at all"):
        load_dataset(write_set(tmp_path))


@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data")
def test_our_own_sets_are_read():
    dev = load_dataset(DATA / "dashcam", "dev")
    legible = [p for image in dev for p in image.plates if p.legibility == "ok"]
    assert (len(dev), len(legible)) == (93, 93)
    assert len(score_events([], dev, 300.0).vehicles) == 19
    assert len(load_dataset(DATA / "ccpd_crops")) == 1000
    assert len(load_dataset(DATA / "openimages", "dev")) == 70
    assert len(load_dataset(DATA / "campus")) == 53


# --- single pictures


def test_every_figure_of_a_small_set():
    images = (
        picture(plate(0, "AB12"), plate(200, "CO34", width=50), plate(400, "EF56", legibility="hard"), complete=True),
        picture(plate(0, "GH78", width=30), plate(200, ""), name="b.jpg", complete=True),
        picture(plate(0, "IJ90"), plate(500, "MN12"), name="c.jpg"),
    )
    report = evaluated(
        {
            "a.jpg": [found(0, "AB12"), found(200, "C034", width=50), found(600, "XX11")],
            "b.jpg": [found(0, "GM7", "GH78", width=30), found(200, "ZZ99")],
            "c.jpg": [found(300, "KL11"), found(500, "MN12")],
        },
        *images,
    )
    ok = group(report, "ok")
    assert (ok.plates, ok.found, ok.right, ok.right_strict, ok.in_top) == (5, 4, 3, 2, 4)
    assert (ok.recall, ok.accuracy, ok.accuracy_strict, ok.top) == (0.8, 0.6, 0.4, 0.8)
    assert (ok.accuracy_found, ok.accuracy_found_strict) == (3 / 4, 2 / 4)
    assert ok.cer == (0 + 0 + 2 + 4 + 0) / 20
    assert ok.cer_found == 2 / 16
    text = group(report, "text")
    assert (text.plates, text.found, text.recall) == (6, 4, 4 / 6)
    assert report.precision == 3 / 4, "XX11 is false, ZZ99 is on an unreadable plate, c.jpg is not complete"
    assert [stray.read for stray in report.strays] == ["XX11"]
    assert [(f.truth, f.kind, f.read) for f in report.failures] == [("GH78", "misread", "GM7"), ("IJ90", "missed", "")]


NOT_HERE = (
    "textless", "ok_two_lines", "ok_sharp", "ok_soft", "ok_dark", "ok_normal_light", "ok_bright", "ok_flat",
)  # fmt: skip


def test_widths_fall_into_bands():
    widths = (39.9, 40, 59, 60, 99, 100, 159, 160, 500)
    images = [picture(plate(0, "AB12", width=w), name=f"{w}.jpg") for w in widths]
    report = evaluated({f"{w}.jpg": [found(0, "AB12", width=w)] for w in widths[:2]}, *images)
    sizes = {g.key: (figure.plates, figure.found) for g, figure in report.groups}
    assert sizes == {
        "ok": (9, 2),
        "text": (9, 2),
        "ok_40px_up": (8, 1),
        "ok_0_40px": (1, 1),
        "ok_40_60px": (2, 1),
        "ok_60_100px": (2, 0),
        "ok_100_160px": (2, 0),
        "ok_160px_up": (2, 0),
        "ok_one_line": (9, 2),
        **dict.fromkeys(NOT_HERE, (0, 0)),
    }


def test_a_plate_is_found_once():
    report = evaluated({"a.jpg": [found(10, "XX99"), found(0, "AB12")]}, picture(plate(0, "AB12"), complete=True))
    assert group(report, "ok").right == 1, "the nearer one counts"
    assert len(report.strays) == 1, "the other is false"


def test_a_plate_beside_another_is_no_match():
    report = evaluated({"a.jpg": [found(60, "AB12")]}, picture(plate(0, "AB12"), complete=True))
    assert (group(report, "ok").found, len(report.strays)) == (0, 1)


@pytest.mark.parametrize(
    "mark", [plate(0, ""), plate(0, "AB12", ignore=True), plate(0, "AB1", legibility="unreadable")]
)
def test_ignored_plates_count_neither_way(mark):
    report = evaluated({"a.jpg": [found(0, "AB12"), found(20, "AB12")]}, picture(mark, complete=True))
    assert (report.precision, report.strays, report.outcomes) == (None, (), ())
    assert evaluated({}, picture(mark, complete=True)).outcomes == ()


def test_the_truth_past_the_tenth_candidate_does_not_count():
    others = [f"ZZ{i}" for i in range(8)]
    report = evaluated(
        {"a.jpg": [found(0, "AB1O", *others, "AB12"), found(200, "AB1O", *others, "ZZ8", "AB12")]},
        picture(plate(0, "AB12"), plate(200, "AB12")),
    )
    assert [outcome.in_top for outcome in report.outcomes] == [True, False]


def test_a_picture_that_cannot_be_opened_is_told_and_its_plates_are_missed():
    def read(path: Path) -> list[PlateFound]:
        raise ImageError(f"{path}: truncated; copy it again")

    heard: list[tuple[int, int]] = []
    report = evaluate_stills(
        [picture(plate(0, "AB12")), picture(name="[b].jpg")], read, lambda *done: heard.append(done)
    )
    assert [lost.image for lost in report.unreadable] == ["a.jpg", "[b].jpg"]
    assert group(report, "ok").recall == 0.0
    assert heard == [(1, 2), (2, 2)]
    text = printed(render_report, report)
    assert "a.jpg: truncated" in text
    assert "[b].jpg: truncated" in text


def test_any_other_error_ends_the_run():
    def read(path: Path) -> list[PlateFound]:
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError):
        evaluate_stills([picture()], read)


def test_crops_go_to_their_own_reader():
    crop = LabelledImage(Path("c.png"), "c.png", "dev", (LabelledPlate((0, 0, 94, 24), "AB12", "ok"),), crop=True)
    whole = PlateFound(box_quad(0, 0, 94, 24), 1.0, found(0, "AB12").read)
    report = evaluate_stills(
        [crop, picture(plate(0, "CD34"))], lambda p: [found(0, "CD34")], read_crop=lambda p: [whole]
    )
    assert group(report, "ok").right == 2


def test_an_empty_report_has_no_figures_but_null():
    report = evaluated({}, picture(complete=True))
    assert group(report, "ok").recall is None
    document = json.loads(json.dumps(report_json(report), allow_nan=False))
    assert document["precision"] == {"rate": None, "found": 0, "false": 0}
    assert "Precision: none" in printed(render_report, report)


def test_the_report_for_programs_and_for_people():
    report = evaluated(
        {"[a].jpg": [found(0, "AB13", "AB12", score=math.nan), found(300, "XX11")]},
        picture(plate(0, "AB12"), plate(150, "CD34"), name="[a].jpg", complete=True),
    )
    document = json.loads(json.dumps(report_json(report), allow_nan=False))
    assert document["groups"]["ok"]["recall"] == 0.5
    assert document["groups"]["ok"]["plates"] == 2
    assert document["groups"]["ok_0_40px"]["recall"] is None
    assert document["precision"] == {"rate": 0.5, "found": 1, "false": 1}
    assert {f["kind"] for f in document["failures"]} == {"misread", "missed"}
    first = document["plates"][0]
    assert (first["truth"], first["read"], first["candidates"], first["score"]) == (
        "AB12",
        "AB13",
        ["AB13", "AB12"],
        None,
    )
    text = printed(render_report, report)
    for word in ("legible", "[a].jpg", "AB13", "CD34", "missed", "50.0", "1 of 2 found are no plates"):
        assert word in text
    assert "…" not in text, "80 columns are enough"
    assert "under 40 px" not in text, "empty groups are not shown"


def test_many_failures_are_cut_short_for_people_only():
    images = [picture(plate(0, "AB12"), name=f"{i}.jpg") for i in range(30)]
    report = evaluated({}, *images)
    assert "and 10 more" in printed(render_report, report)
    assert len(report_json(report)["failures"]) == 30


BOXES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(4, 40), st.integers(4, 40)).map(
        lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]], np.float32)
    ),
    max_size=6,
)


@given(BOXES, BOXES)
def test_matching_is_one_to_one_and_leaves_no_free_pair(truths, boxes):
    pairs = match(truths, boxes)
    taken = [pair.found for pair in pairs.values()]
    assert len(set(taken)) == len(taken)
    assert all(pair.iou == box_iou(truths[i], boxes[pair.found]) >= MATCH_IOU for i, pair in pairs.items())
    free = [(a, b) for i, a in enumerate(truths) for j, b in enumerate(boxes) if i not in pairs and j not in taken]
    assert all(box_iou(a, b) < MATCH_IOU for a, b in free)


TEXTS = st.text("ABO01I", min_size=1, max_size=6)


@given(st.lists(st.tuples(TEXTS, st.text("ABO01I", max_size=6), st.booleans()), min_size=1))
def test_figures_keep_their_order(reads):
    outcomes = [
        Outcome("a", truth, "ok", 100, 1, hit, read=read if hit else "", candidates=(read,) if hit else ())
        for truth, read, hit in reads
    ]
    f = figures(outcomes)
    assert 0 <= f.right_strict <= f.right <= f.in_top <= f.found <= f.plates
    assert f.cer is not None and f.cer >= 0
    assert (f.cer == 0) == (f.right == f.plates)


@given(st.lists(TEXTS, max_size=5))
def test_a_perfect_reader_has_perfect_figures(texts):
    image = picture(*(plate(150 * i, text) for i, text in enumerate(texts)), complete=True)
    score = score_image(image, [found(150 * i, text) for i, text in reversed(list(enumerate(texts)))])
    f = figures(score.outcomes)
    assert (f.plates, f.right_strict, f.errors, score.strays) == (len(texts), len(texts), 0, ())


# --- rides


RIDE = [
    seen("r1", 10, "AB12"),
    seen("r1", 400, "AB12", "CO34"),
    seen("r1", 110, "AB12"),
    seen("r1", 402, "EF56", legibility="hard"),
    seen("r1", 404, ""),
    seen("r2", 5, "AB12"),
    picture(plate(0, "NORIDE")),
]


def test_a_gap_over_the_cooldown_makes_two_passages():
    def of(cooldown_s: float) -> list[tuple[str, str, float, float]]:
        return [(p.ride, p.plate, p.first_s, p.last_s) for p in passages(RIDE, cooldown_s)]

    rest = [("r1", "CO34", 400, 400), ("r1", "EF56", 402, 402), ("r2", "AB12", 5, 5)]
    assert of(290) == [("r1", "AB12", 10, 400), *rest], "a gap as long as the cool-down does not split"
    assert of(289) == [("r1", "AB12", 10, 110), ("r1", "AB12", 400, 400), *rest]


def test_every_figure_of_a_small_ride():
    events = [
        Confirmed("AB12", "r1", 5),
        Confirmed("AB12", "r1", 100),
        Confirmed("C034", "r1", 400),
        Confirmed("CO35", "r1", 401),
        Confirmed("KNOWN", "r1", 500),
    ]
    report = score_events(events, RIDE, 200.0, known=[seen("r1", 480, "KN0WN"), seen("r2", 9, "CO35")])
    assert report.vehicles == (("r1", "AB12"), ("r1", "CO34"), ("r1", "EF56"), ("r2", "AB12"))
    assert report.found == (("r1", "AB12"), ("r1", "CO34"))
    assert report.missed == (("r1", "EF56"), ("r2", "AB12"))
    assert [(w.event.plate, w.nearest, w.chars_differ) for w in report.wrong] == [("CO35", "CO34", 1)]
    assert (report.notifications, len(report.found_passages), report.per_passage) == (3, 3, 1.0)
    assert [(p.plate, p.first_s) for p in report.silent] == [("AB12", 400)]
    assert [(t.passage.first_s, t.events) for t in report.repeated] == [(10, 2)]
    text = printed(render_rides, report)
    for line in ("vehicles 2 of 4", "missed: EF56 in r1", "wrong: CO35 in r1 at 401 s, 1 from CO34", "told 2 times"):
        assert line in text
    document = json.loads(json.dumps(rides_json(report), allow_nan=False))
    assert (document["found"], document["vehicles"], document["notifications_per_passage"]) == (2, 4, 1.0)
    assert document["wrong"][0]["plate"] == "CO35"


def test_without_known_texts_the_frames_themselves_tell():
    report = score_events([Confirmed("KNOWN", "r1", 1), Confirmed("AB12", "r9", 1)], RIDE, 200.0)
    assert [w.event.plate for w in report.wrong] == ["KNOWN", "AB12"]


def test_a_silent_ride_has_no_notifications():
    report = score_events([], RIDE, 200.0)
    assert (report.per_passage, report.found, report.wrong) == (None, (), ())
    assert rides_json(report)["notifications_per_passage"] is None
    assert "- each" in printed(render_rides, report)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.integers(0, 300))
def test_passages_part_the_frames(seconds, cooldown_s):
    found = passages([seen("r", s, "AB12") for s in seconds], cooldown_s)
    assert all(sum(p.first_s <= s <= p.last_s for p in found) == 1 for s in seconds)
    assert all(b.first_s - a.last_s > cooldown_s for a, b in pairwise(found))
    report = score_events(
        [Confirmed("AB12", "r", s) for s in seconds], [seen("r", s, "AB12") for s in seconds], cooldown_s
    )
    assert report.notifications == len(seconds)
