"""Calibration, conditions, time and comparison, on small lists whose figures are known by heart."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from helpers_evaluate import evaluated, found, group, picture, plate, printed, seen
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.errors import DatasetError
from edge_alpr.evaluate import (
    Conditions,
    Confirmed,
    Crossed,
    Outcome,
    Sight,
    Statement,
    Tracked,
    calibrate,
    calibration,
    compare,
    comparison_json,
    conditions,
    evaluate_stills,
    load_report,
    over_time,
    pairs,
    render_comparison,
    render_report,
    render_rides,
    report_json,
    rides_json,
    score_events,
    sights,
    totals,
)
from edge_alpr.evaluate.calibration import BINS, LEAST, char_statements, plate_statements
from edge_alpr.evaluate.document import headlines
from edge_alpr.geometry import box_quad

# --- calibration

STATEMENTS = st.lists(
    st.builds(Statement, st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])), st.booleans()), max_size=200
)


@given(STATEMENTS, st.integers(1, 20))
def test_bins_part_the_statements_in_order(statements, bins):
    made = calibrate(statements, bins).bins
    assert sum(one.count for one in made) == len(statements)
    assert len(made) <= min(bins, max(1, len(statements) // LEAST))
    assert all(one.count > 0 and 0 <= one.low <= one.score <= one.high <= 1 and 0 <= one.right <= 1 for one in made)
    assert all(a.high < b.low for a, b in pairwise(made)), "equal scores stay together"


@given(STATEMENTS, st.randoms(use_true_random=False))
def test_the_error_is_a_share_and_the_order_does_not_matter(statements, rng: random.Random):
    calibration = calibrate(statements)
    if calibration.ece is None:
        assert not statements
        return
    assert 0 <= calibration.ece <= 1
    gap = abs(sum(s.score for s in statements) - sum(s.right for s in statements)) / len(statements)
    assert calibration.ece >= gap - 1e-9, "bins cannot hide what all of them are off by together"
    shuffled = rng.sample(statements, len(statements))
    assert calibrate(shuffled).ece == pytest.approx(calibration.ece)


def test_distinct_scores_are_binned_evenly():
    counts = [one.count for one in calibrate(Statement(i / 1000, i % 2 == 0) for i in range(1000)).bins]
    assert counts == [100] * BINS


def test_equal_scores_are_one_bin_whatever_their_number():
    same = [Statement(0.5, i < 30) for i in range(60)]
    more = [Statement(0.9, True) for _ in range(20)]
    assert [(one.count, one.right) for one in calibrate(same + more).bins] == [(60, 0.5), (20, 1.0)]


def test_a_known_error():
    sure = [Statement(0.9, i < 7) for i in range(10)]
    unsure = [Statement(0.2, i < 3) for i in range(10)]
    assert calibrate(sure + unsure).ece == pytest.approx((0.2 + 0.1) / 2)
    assert calibrate([Statement(1.0, True)] * 50).ece == 0
    assert calibrate([Statement(float("nan"), True)]).ece is None


def outcome(truth: str, read: str = "", *, image: str = "a", score: float = 0.9, **more) -> Outcome:
    chars = (score,) * len(read)
    hit = more.pop("found", bool(read))
    legibility = more.pop("legibility", "ok")
    return Outcome(image, truth, legibility, 100, 1, hit, read=read, score=score, char_scores=chars, **more)


def test_what_plates_and_characters_state():
    some = [outcome("AB12", "AB13"), outcome("CO34", "C034"), outcome("EF56"), outcome("GH78", "GX", legibility="hard")]
    assert plate_statements(some) == [Statement(0.9, False), Statement(0.9, True)]
    assert [s.right for s in char_statements(some)] == [True] * 3 + [False] + [True] * 4
    longer = char_statements([outcome("AB12", "XAB12")])
    assert [s.right for s in longer] == [False, True, True, True, True], "aligned, not by place"


# --- light and sharpness, plates to be found only


def scene(around: int, ink: int, blur: float) -> np.ndarray:
    luma = np.full((200, 400), around, np.uint8)
    cv2.rectangle(luma, (100, 80), (259, 119), min(around + 60, 255), -1)
    cv2.putText(luma, "AB 1234", (108, 112), cv2.FONT_HERSHEY_SIMPLEX, 1.1, ink, 3)
    return cv2.GaussianBlur(luma, (0, 0), blur) if blur else luma


BOX = (100.0, 80.0, 260.0, 120.0)


def test_conditions_of_a_drawn_plate():
    clear, blurred = conditions(scene(40, 0, 0), BOX), conditions(scene(40, 0, 4), BOX)
    assert clear.light == pytest.approx(40, abs=1), "the plate itself does not count"
    assert clear.sharpness > 4 * blurred.sharpness
    assert clear.contrast > blurred.contrast > 0
    assert conditions(scene(200, 0, 0), BOX).light == pytest.approx(200, abs=1)


@pytest.mark.parametrize("box", [(-50, -50, 20, 10), (0, 0, 400, 200), (390, 190, 900, 500), (500, 300, 600, 340)])
def test_a_box_over_the_border_has_conditions_too(box):
    seen = conditions(scene(40, 0, 0), box)
    assert all(np.isfinite([seen.sharpness, seen.light, seen.contrast]))


def test_groups_by_light_sharpness_and_lines():
    looks = {
        "a": Conditions(0.1, 10, 5), "b": Conditions(0.9, 100, 50), "c": Conditions(0.9, 200, 50),
    }  # fmt: skip
    images = [picture(plate(0, "AB12", lines=1 + (name == "c")), name=name) for name in looks]
    report = evaluate_stills(images, lambda path: [found(0, "AB12")], look=lambda path, box: looks[str(path)])
    counts = {g.key: figure.plates for g, figure in report.groups}
    keys = ("ok_soft", "ok_sharp", "ok_dark", "ok_normal_light", "ok_bright", "ok_flat", "ok_one_line", "ok_two_lines")
    assert [counts[key] for key in keys] == [1, 2, 1, 1, 1, 1, 2, 1]
    assert "flat contrast" in printed(render_report, report)


def test_plates_without_a_text_are_to_be_found_only():
    marks = [plate(x, "", legibility="textless") for x in (0, 200)]
    report = evaluated({"a.jpg": [found(0, "AB12"), found(600, "ZZ99")]}, picture(*marks, complete=True))
    textless = group(report, "textless")
    assert (textless.recall, textless.accuracy, textless.cer, textless.accuracy_found) == (0.5, None, None, None)
    assert report.precision == 0.5
    assert [(f.kind, f.truth) for f in report.failures] == [("missed", "")]
    assert report.plate_calibration.count == 0
    assert group(report, "ok").plates == group(report, "text").plates == 0


# --- over time


def tracked(x: float, track: int, read: str, fused: str, score: float = 0.9) -> Tracked:
    return Tracked(box_quad(x, 10, x + 100, 40), track, read, score, fused, score)


def test_sights_are_matched_as_in_single_pictures():
    frame = picture(plate(0, "AB12"), plate(300, "CD34"), plate(600, ""), ride="r", second=2)
    one, two = sights(frame, [tracked(600, 3, "ZZ", "ZZ"), tracked(5, 1, "AB12", "AB12")])
    assert (one.plate, one.right, one.seen.track_id) == ("AB12", True, 1)
    assert (two.plate, two.right, two.fused_right, two.seen) == ("CD34", False, False, None)


def test_a_vehicle_over_time_by_heart():
    frames = [
        Sight("r", "AB12", 10.0, None),
        Sight("r", "AB12", 11.0, tracked(0, 1, "AB13", "AB13", 0.97)),
        Sight("r", "A812", 11.0, tracked(0, 7, "A812", "A812", 0.4)),
        Sight("r", "AB12", 12.5, tracked(0, 1, "AB12", "AB12", 0.6)),
        Sight("r", "AB12", 13.0, tracked(0, 1, "", "AB12", 0.7)),
        Sight("r", "AB12", 20.0, replace(tracked(0, 2, "XX", "XX", 0.99), fused_score=0.65)),
    ]
    first, second = over_time(frames, {("r", "AB12"): 14.0})
    assert (first.plate, first.frames, first.found, first.right_frames, first.single) == ("AB12", 5, 4, 1, 0.2)
    assert first.fused_frames == 2, "a frame without a text of its own counts by its track"
    assert (first.best_read, first.best_right) == ("XX", False), "the surest frame was wrong"
    assert (first.fused, first.fused_right, first.tracks) == ("AB12", True, 2), "the surer track counts"
    assert (first.first_right_s, first.told_s) == (2.5, 4.0)
    assert (second.plate, second.fused_right, second.told_s) == ("A812", True, None)
    sums = totals([first, second])
    assert (sums.vehicles, sums.best_right, sums.fused_right, sums.frames, sums.right_frames) == (2, 1, 2, 6, 2)
    assert sums.fused_frames == 3
    assert (sums.median_first_right_s, sums.median_told_s) == (1.25, 4.0)


def test_time_does_not_ask_whether_an_event_came():
    frames = [Sight("r", "AB12", s, tracked(0, 1, "AB12", "AB12")) for s in (1.0, 2.0)]
    report = score_events([], [seen("r", 1, "AB12"), seen("r", 2, "AB12")], 300.0, seen=frames)
    assert report.found == ()
    assert (report.totals.fused_right, report.totals.median_told_s) == (1, None)
    text = printed(render_rides, report)
    assert "best single frame 1 of 1, fused 1 of 1" in text
    assert "calibration of events: nothing was stated" in text
    document = json.loads(json.dumps(rides_json(report), allow_nan=False))
    assert document["over_time"]["totals"]["fused_right"] == 1
    assert document["over_time"]["vehicles"][0]["single"] == 1.0
    assert document["calibration"]["tracks"]["count"] == 1


def test_few_statements_show_an_error_even_where_every_score_is_true():
    fair = calibrate([Statement(0.5, i % 2 == 0) for i in range(8)])
    assert fair.ece == 0
    assert fair.ece_by_chance == pytest.approx(0.1367, abs=1e-4)  # E|Binomial(8, 1/2) - 4| / 8 = 35/256
    assert calibrate([Statement(1.0, True)] * 9).ece_by_chance == 0
    assert calibrate([]).ece_by_chance is None
    rng = np.random.default_rng(5)
    scores = rng.uniform(0, 1, (400, 45))
    right = rng.uniform(0, 1, scores.shape) < scores
    shown = [calibrate(map(Statement, *pair)).ece for pair in zip(scores, right, strict=True)]
    stated = [calibrate(Statement(p, True) for p in row).ece_by_chance for row in scores]
    assert np.mean(stated) == pytest.approx(np.mean(shown), rel=0.05)


def test_many_statements_show_about_what_an_exact_sum_would():
    scores = np.random.default_rng(7).uniform(0.2, 0.9, 500)
    exact, normal = calibration._by_chance(list(scores)), calibration._by_chance([*scores, 0.5])
    assert normal == pytest.approx(exact, rel=0.02)


def test_events_are_calibrated_and_the_sure_ones_counted():
    events = [Confirmed("AB12", "r", 1, 0.99), Confirmed("XX99", "r", 2, 0.97), Confirmed("A8I2", "r", 3, 0.9)]
    report = score_events(events, [seen("r", 1, "AB12", "A812")], 300.0)
    assert [e.right for e in report.events] == [True, False, True]
    assert (len(report.sure_events), sum(e.right for e in report.sure_events)) == (2, 1)
    assert report.event_calibration.count == 3
    assert "0.95 or more: 1 of 2 right" in printed(render_rides, report)


def test_a_vehicle_never_seen_is_all_wrong():
    (vehicle,) = over_time([Sight("r", "AB12", 1.0, None)], {})
    assert (vehicle.best_right, vehicle.fused_right, vehicle.first_right_s, vehicle.tracks) == (False, False, None, 0)
    assert over_time([], {}) == ()
    assert totals([]).median_first_right_s is None


# --- two model pairs


def compared(other: Outcome, this: Outcome, crossed: Crossed | None = None):
    (pair,) = pairs([other], [this])
    return compare([other], [this], {pair.key: crossed} if crossed else {}).changes


RIGHT, WRONG, MISSED = outcome("AB12", "AB12"), outcome("AB12", "AB13"), outcome("AB12", found=False)


@pytest.mark.parametrize(
    ("other", "this", "crossed", "kind", "fault"),
    [
        (MISSED, RIGHT, None, "missed to found", "detector"),
        (MISSED, WRONG, None, "missed to found", "detector"),
        (RIGHT, MISSED, None, "found to missed", "detector"),
        (WRONG, RIGHT, Crossed("AB12", "AB13"), "wrong to right", "reader"),
        (WRONG, RIGHT, Crossed("AB13", "AB12"), "wrong to right", "detector"),
        (WRONG, RIGHT, Crossed("AB12", "A812"), "wrong to right", "reader"),
        (WRONG, RIGHT, Crossed("AB12", "AB12"), "wrong to right", "either"),
        (WRONG, RIGHT, Crossed("AB14", "AB13"), "wrong to right", "both"),
        (RIGHT, WRONG, Crossed("AB99", "AB12"), "right to wrong", "reader"),
        (RIGHT, WRONG, Crossed("AB12", "AB13"), "right to wrong", "detector"),
        (WRONG, RIGHT, Crossed(this_reader="AB12"), "wrong to right", "reader"),
        (WRONG, RIGHT, Crossed(this_reader="AB13"), "wrong to right", "detector"),
        (WRONG, RIGHT, Crossed(other_reader="AB12"), "wrong to right", "detector"),
        (WRONG, RIGHT, Crossed(other_reader="AB13"), "wrong to right", "reader"),
        (WRONG, RIGHT, None, "wrong to right", "unknown"),
        (WRONG, outcome("AB12", "ABX2"), Crossed("ABX2", "AB13"), "wrong to wrong", "reader"),
    ],
)
def test_a_change_is_named_and_laid_at_a_door(other, this, crossed, kind, fault):
    (change,) = compared(other, this, crossed)
    assert (change.kind, change.fault) == (kind, fault)


@pytest.mark.parametrize("same", [RIGHT, WRONG, MISSED, outcome("", "AB12", legibility="textless")])
def test_what_did_not_change_is_not_listed(same):
    assert compared(same, same) == ()
    assert compared(outcome("A0", "AO"), outcome("A0", "A0")) == (), "O and 0 are one"


def test_figures_stand_side_by_side_over_plates_both_have(tmp_path):
    twins = [outcome("AB12", "AB12"), outcome("AB12", "XX")]
    other, this = [*twins, outcome("EF56")], [twins[1], twins[0], outcome("GH78", "GH78")]
    comparison = compare(other, this, {})
    assert (comparison.only_other, comparison.only_this) == (1, 1)
    assert [c.kind for c in comparison.changes] == ["right to wrong", "wrong to right"], "twins by their place"
    document = json.loads(json.dumps(comparison_json(comparison), allow_nan=False))
    assert document["groups"]["ok"]["accuracy"] == {"other": 0.5, "this": 0.5, "difference": 0.0}
    assert document["groups"]["ok_0_40px"]["accuracy"]["difference"] is None
    assert document["counts"] == {"right to wrong (unknown)": 1, "wrong to right (unknown)": 1}
    rows = [h.shown() for h in headlines({"rides": {"found": 3, "wrong": [1]}}, {"rides": {"found": 5, "wrong": []}})]
    assert rows == [("vehicles told", "3", "5", "+2"), ("wrong texts told", "1", "0", "-1")]
    text = printed(lambda report, console: render_comparison(report, rows, console), comparison)
    for word in ("vehicles told", "right to wrong", "left out: 1 plates only the other run has", "difference"):
        assert word in text


def test_a_report_is_read_back_as_it_was(tmp_path):
    report = evaluated(
        {"a.jpg": [found(0, "AB13", "AB12"), found(200, "CD34")]},
        picture(plate(0, "AB12"), plate(200, "CD34"), plate(400, "EF56")),
    )
    file = tmp_path / "old.json"
    file.write_text(json.dumps({"models": {"reader": "x"}, "stills": report_json(report), "rides": None}))
    earlier = load_report(file)
    assert earlier.models == {"reader": "x"}
    assert compare(earlier.outcomes, report.outcomes, {}).changes == ()
    assert [o.quad for o in earlier.outcomes] == [o.quad for o in report.outcomes]
    first = json.loads(file.read_text())
    for line in first["stills"]["plates"]:
        for key in ("quad", "box", "conditions", "char_scores"):
            del line[key]
    file.write_text(json.dumps(first))
    assert [o.read for o in load_report(file).outcomes] == ["AB13", "CD34", ""], "files from before have no corners"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"stills": {"plates": [{"image": 3}]}}'])
def test_what_is_no_report_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DatasetError, match=r"x\.json"):
        load_report(tmp_path / "x.json")
    with pytest.raises(DatasetError, match="cannot be read"):
        load_report(tmp_path / "none.json")


