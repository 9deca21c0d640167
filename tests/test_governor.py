"""The governor on a simulated board, and under any curves."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers_board import THROTTLE_C, Board, always, between, drive
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_alpr.config import (
    GovernorConfig,
)
from edge_alpr.ops.governor import (
    COOL_OFF_S,
    DWELL_MOST_S,
    DWELL_S,
    LEVELS,
    RULES,
    SLOW_LEVEL,
    Conditions,
    Governor,
    limits_on,
)
from edge_alpr.ops.steering import Losses, Sensors, Steering
from edge_alpr.types import SourceCounters

NO_LIMIT = GovernorConfig(celsius=0, queue_ms=0, lost_percent=0)
COOL = GovernorConfig(celsius=90)
RETURNS_S = 11.0
"""Latency is under its limit again within so long: five steps down, one for each cool-off, and a second to notice."""
BACK_S = DWELL_MOST_S + 5 * DWELL_S + 5
"""The level is full again so long after the cause is gone, however often it came before."""
A_MINUTE = 8
"""Most changes of level within any minute: all the way down, and three steps up or back."""


# --- the table


def test_each_level_asks_less_than_the_one_before() -> None:
    tiers = ("large", "small")
    work = [(tiers.index(x.tier), x.interval, -(x.reads or 99)) for x in LEVELS]
    for before, after in pairwise(work):
        assert before != after
        assert all(a <= b for a, b in zip(before, after, strict=True))
    assert LEVELS[0].interval == 1 and LEVELS[0].reads is None


def test_the_documentation_shows_the_table(repo: Path) -> None:
    text = (repo / "docs" / "governor.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    nth = {1: "every frame", 2: "every 2nd frame", 3: "every 3rd frame", 5: "every 5th frame"}
    table = [[str(i), x.name, x.tier, nth[x.interval], str(x.reads or "all")] for i, x in enumerate(LEVELS)]
    assert rows[1 : 1 + len(table)] == table


def test_limits_are_named_as_the_conditions_and_the_rules() -> None:
    limits = {f.name for f in msgspec.structs.fields(GovernorConfig)}
    names = [rule.name for rule in RULES]
    assert set(names) <= limits and set(names) <= {f.name for f in fields(Conditions)}


# --- a simulated board


def test_a_hot_summer_start_never_throttles_and_is_full_again_when_the_car_has_cooled() -> None:
    board = Board(ambient_c=between(0, 900, 66, 25), celsius=70, plates=always(4))
    without = drive(replace(board), Governor(NO_LIMIT), 900)
    assert any(moment.throttled for moment in without.moments), "ungoverned it does"
    log = drive(board, Governor(COOL), 900 + BACK_S)
    assert log.hottest < THROTTLE_C
    assert max(log.places(0, 900)) > 0
    assert log.most_changes_a_minute <= A_MINUTE
    assert log.moments[-1].place == 0


def test_a_tunnel_of_traffic_is_read_in_time() -> None:
    governor = Governor(GovernorConfig(p99_ms=33))
    log = drive(Board(plates=between(60, 180, 12, 2)), governor, 180 + BACK_S)
    assert set(log.places(0, 60)) == {0}
    assert log.longest_over_s(33) <= RETURNS_S
    assert log.most_changes_a_minute <= A_MINUTE
    assert log.moments[-1].place == 0
    assert len(log.changes_s) <= 6


@pytest.mark.parametrize("limits", [GovernorConfig(p99_ms=45), GovernorConfig(queue_ms=200)])
def test_a_lower_power_mode_is_made_up_for_and_taken_back(limits: GovernorConfig) -> None:
    log = drive(Board(clock=between(60, 240, 0.4, 1.0)), Governor(limits), 240 + BACK_S)
    assert set(log.places(0, 60)) == {0}
    if limits.p99_ms:
        assert log.longest_over_s(limits.p99_ms) <= RETURNS_S
    assert log.places(100, 240).count(0) == 0
    late = [m.told.queue_ms for m in log.moments if 60 + RETURNS_S < m.at_s < 240]
    assert sum(1 for q in late if q and q > 300) < 0.05 * len(late)
    assert log.most_changes_a_minute <= A_MINUTE
    assert log.moments[-1].place == 0


def test_a_camera_that_drops_is_kept_up_with_again_at_a_level_that_can() -> None:
    """A tenth of the clocks: 5 frames a second at the full level, of 30."""
    slow = Board(clock=between(60, 240, 0.1, 1.0), drops=True)
    assert drive(replace(slow), Governor(NO_LIMIT), 120).fps(80, 120) < 5, "ungoverned"
    governor = Governor(GovernorConfig())
    log = drive(slow, governor, 240 + BACK_S)
    assert set(log.places(0, 60)) == {0}
    assert log.fps(60 + RETURNS_S, 240) >= 5.4
    assert log.most_changes_a_minute <= A_MINUTE
    assert log.moments[-1].place == 0
    assert governor.last is not None


def test_a_camera_faster_than_needed_may_drop_what_it_likes() -> None:
    log = drive(Board(fps=60, drops=True, plates=always(6)), Governor(GovernorConfig()), 300)
    assert 30 < log.fps(10, 300) < 40 and log.changes_s == []


@pytest.mark.parametrize(
    ("taken", "dropped", "lost"),
    [(90, 0, 0), (60, 30, 0), (45, 45, 0), (36, 54, 20), (90, 90, 0), (9, 1, 10), (0, 90, 100), (0, 0, 0)],
)
def test_lost_is_what_is_missing_of_what_is_enough_or_of_a_slower_camera(taken: int, dropped: int, lost: int) -> None:
    losses = Losses(15)
    assert losses.percent({"front": SourceCounters(7, 3)}, 100.0) is None
    now = {"front": SourceCounters(7 + taken, 3 + dropped)}
    assert losses.percent(now, 100.5) is None, "too soon to tell"
    assert losses.percent(now, 103.0) == pytest.approx(lost)
    still = {**now, "rear": SourceCounters(50, 50)}
    assert losses.percent(still, 106.1) == 0, "what is old is forgotten, and a camera is known from its second look on"
    losses.clear()
    assert losses.percent(still, 106.2) is None


def test_of_several_cameras_the_worst_counts() -> None:
    losses = Losses(15)
    losses.percent({"front": SourceCounters(), "rear": SourceCounters()}, 0.0)
    assert losses.percent({"front": SourceCounters(60, 0), "rear": SourceCounters(15, 45)}, 2.0) == 50


def test_steering_hears_of_lost_frames() -> None:
    counters, applied = SourceCounters(), []
    governor = Governor(GovernorConfig(enough_fps=15))
    steering = Steering(governor, applied.append, Sensors(cameras=lambda: {"front": counters}))
    for i in range(13):
        counters.frames, counters.dropped = counters.frames + 1, counters.dropped + 2
        steering.frame(i * 100_000_000, 90_000_000, True, i * 100_000_000 + 95_000_000)
    assert applied == [LEVELS[1]]
    assert governor.status == "level 1 of 5, fewer reads: frames lost 33.3 % over 10 %"
    for i in range(13, 50):
        counters.frames += 1
        steering.frame(i * 100_000_000, 90_000_000, True, i * 100_000_000 + 95_000_000)
    assert applied == [LEVELS[1]], "what the level before lost does not count against this one"


@pytest.mark.parametrize(("throttles_c", "limit"), [(99.0, 94.0), (95.0, 90.0), (None, 0.0)])
def test_the_board_says_how_hot_it_may_be_unless_the_owner_does(throttles_c: float | None, limit: float) -> None:
    assert limits_on(GovernorConfig(), throttles_c).celsius == limit
    assert limits_on(GovernorConfig(celsius=70), throttles_c).celsius == 70
    assert limits_on(GovernorConfig(celsius=0), throttles_c).celsius == 0
    governor = Governor(GovernorConfig())
    governor.decide(Conditions(celsius=120), 0)
    assert governor.changes == 0, "a limit that nobody has set is none"


def test_a_limit_of_power_is_kept() -> None:
    log = drive(Board(), Governor(GovernorConfig(watts=8.5)), 600)
    late = [moment.told.watts for moment in log.moments if moment.at_s > 20]
    assert np.mean([w for w in late if w]) < 8.5
    assert log.most_changes_a_minute <= A_MINUTE


def test_a_sensor_that_was_never_there_changes_nothing() -> None:
    log = drive(Board(ambient_c=always(60)), Governor(COOL), 600, lambda told, _: Conditions())
    assert log.changes_s == []


def test_without_a_sensor_of_heat_the_latency_of_a_throttled_board_still_counts() -> None:
    governor = Governor(GovernorConfig(p99_ms=33))
    board = Board(ambient_c=between(0, 600, 70, 20), plates=always(4))
    log = drive(board, governor, 600 + BACK_S, lambda told, _: replace(told, celsius=None))
    assert any(moment.throttled for moment in log.moments)
    assert log.longest_over_s(33) <= RETURNS_S
    assert log.most_changes_a_minute <= A_MINUTE
    assert log.moments[-1].place == 0


def test_a_sensor_that_went_away_while_it_was_hot_is_no_sign_of_a_cool_board() -> None:
    governor = Governor(COOL)
    drive(Board(celsius=95), governor, 5)
    place = governor.place
    assert place > 0
    log = drive(Board(), governor, 600, lambda told, _: replace(told, celsius=None))
    assert {moment.place for moment in log.moments} == {place}


def test_a_sensor_stuck_too_high_goes_down_once_and_stays_there() -> None:
    governor = Governor(COOL)
    log = drive(Board(), governor, 900, lambda told, _: replace(told, celsius=95.0))
    assert len(log.changes_s) + log.moments[0].place == len(LEVELS) - 1
    assert log.moments[-1].place == len(LEVELS) - 1
    assert governor.status == "level 5 of 5, least: 95.0 °C over 90 °C"


def test_a_sensor_stuck_low_does_not_hide_a_slow_board() -> None:
    board = Board(ambient_c=always(70), plates=always(4))
    log = drive(board, Governor(GovernorConfig(p99_ms=33)), 900, lambda told, _: replace(told, celsius=40.0))
    assert any(moment.throttled for moment in log.moments)
    assert log.longest_over_s(33) <= RETURNS_S
    assert log.most_changes_a_minute <= A_MINUTE


def test_a_load_that_comes_and_goes_does_not_make_it_flap() -> None:
    def plates(at_s: float) -> float:
        return 12 if at_s < 1800 and at_s % 40 < 20 else 2

    log = drive(Board(plates=plates), Governor(GovernorConfig(p99_ms=33)), 1800 + BACK_S)
    assert log.most_changes_a_minute <= A_MINUTE
    assert sum(900 <= at < 1800 for at in log.changes_s) <= 8, "it has learned to wait"
    assert log.moments[-1].place == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_board_at_its_limit_settles(seed: int) -> None:
    board = Board(ambient_c=lambda at_s: 60 + 3 * math.sin(at_s / 50), plates=always(4), seed=seed)
    log = drive(board, Governor(COOL), 3600)
    assert log.hottest < THROTTLE_C
    assert log.most_changes_a_minute <= A_MINUTE
    assert sum(at > 1800 for at in log.changes_s) <= 30


def test_a_standing_car_searches_every_second_frame() -> None:
    governor = Governor(GovernorConfig(slow_kmh=8))
    log = drive(Board(), governor, 60, lambda told, _: replace(told, speed_kmh=0.0))
    assert log.moments[-1].place == SLOW_LEVEL
    assert governor.last is not None and governor.last.reason == "0 km/h under 8 km/h"
    log = drive(Board(), governor, 60, lambda told, _: replace(told, speed_kmh=9.0))
    assert log.moments[-1].place == SLOW_LEVEL, "not yet well above"
    log = drive(Board(), governor, 60, lambda told, _: replace(told, speed_kmh=50.0))
    assert log.moments[-1].place == 0


# --- any curves at all

LIMITS = GovernorConfig(p99_ms=33, queue_ms=200, watts=10, celsius=90, slow_kmh=5)


def _readings(limit: float) -> st.SearchStrategy[float | None]:
    near = st.floats(0.5 * limit, 1.5 * limit)
    return st.one_of(st.none(), near, st.sampled_from([0.0, math.nan, math.inf, -math.inf, limit]))


CONDITIONS = st.builds(
    Conditions,
    p99_ms=_readings(33),
    queue_ms=_readings(200),
    lost_percent=_readings(10),
    watts=_readings(10),
    celsius=_readings(90),
    speed_kmh=_readings(5),
)
CALM = Conditions(p99_ms=5, queue_ms=5, lost_percent=0, watts=3, celsius=50, speed_kmh=50)
STRETCHES = st.lists(st.tuples(st.one_of(CONDITIONS, st.just(CALM)), st.floats(0.05, 120)), min_size=1, max_size=30)


def _over(told: Conditions) -> bool:
    values = (told.p99_ms, told.queue_ms, told.lost_percent, told.watts, told.celsius)
    limits = (33, 200, 10, 10, 90)
    return any(v is not None and math.isfinite(v) and v > limit for v, limit in zip(values, limits, strict=True))


@settings(max_examples=150)
@given(STRETCHES)
def test_one_level_a_cool_off_and_none_up_before_the_dwell(stretches: list[tuple[Conditions, float]]) -> None:
    governor, now_s, changed_s, over_s = Governor(LIMITS), 0.0, -math.inf, -math.inf
    for told, lasts_s in stretches:
        steps = min(int(lasts_s / 0.5) + 1, 80)
        for _ in range(steps):
            now_s += lasts_s / steps
            over_s = now_s if _over(told) else over_s
            before = governor.place
            assert governor.decide(told, now_s) in LEVELS
            if governor.place == before:
                continue
            assert abs(governor.place - before) == 1
            assert now_s - changed_s >= (COOL_OFF_S if governor.place > before else DWELL_S)
            if governor.place < before:
                assert now_s - over_s >= DWELL_S
            assert governor.last is not None and governor.last.reason
            changed_s = now_s


@given(STRETCHES)
def test_what_is_unknown_never_causes_a_change(stretches: list[tuple[Conditions, float]]) -> None:
    governor, now_s = Governor(LIMITS), 0.0
    for told, lasts_s in stretches:
        governor.decide(told, now_s := now_s + lasts_s)
    before = governor.changes
    for told in (Conditions(), Conditions(*[math.nan] * 6)):
        for _ in range(20):
            governor.decide(told, now_s := now_s + 60)
    assert governor.changes == before


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_unknown(value: float) -> None:
    governor = Governor(LIMITS)
    for second in range(60):
        governor.decide(Conditions(*[value] * 6), second)
    assert governor.changes == 0


@given(STRETCHES)
def test_calm_brings_back_the_full_level_after_anything(stretches: list[tuple[Conditions, float]]) -> None:
    governor, now_s = Governor(LIMITS), 0.0
    for told, lasts_s in stretches:
        governor.decide(told, now_s := now_s + lasts_s)
    end_s = now_s + BACK_S
    while now_s < end_s:
        governor.decide(CALM, now_s := now_s + 0.25)
    assert governor.place == 0 and governor.status == ""


def test_reasons_are_in_words() -> None:
    governor = Governor(LIMITS)
    governor.decide(Conditions(p99_ms=41.04, celsius=91.26), 0)
    assert governor.last is not None
    assert governor.last.reason == "p99 41.0 ms over 33 ms, 91.3 °C over 90 °C"
    for second in range(1, 17):
        governor.decide(CALM, second)
    assert governor.last.reason == "well inside all limits for 15 s"
