"""Hot lists over rendered drives: the cool-down is one of plate and list, and hides no different hit."""

from __future__ import annotations

from functools import lru_cache

import pytest
from helpers_scenes import Lists, Scenario, notified, play
from scenes import LOOKALIKES, SCENARIOS, Shot, parked

from edge_alpr.app import Models, open_models
from edge_alpr.config import Config, ModelsConfig
from edge_alpr.types import Event

pytest.importorskip("edge_alpr.hits", reason="this version has no hot lists")

CONFIG = Config(models=ModelsConfig(precision="full"))
PASS_BY = parked("B 123 ABC", "CJ 45 XYZ")
THREE_TIMES = Scenario("passed three times", tuple(Shot(at, PASS_BY) for at in (0, 60, 120)), ("B123ABC", "CJ45XYZ"))


@lru_cache(maxsize=1)
def models() -> Models:
    return open_models(CONFIG)


def confirmed(scenario: Scenario, **named: tuple[float, tuple[str, ...]]) -> list[Event]:
    return [e for e in play(scenario, CONFIG, models(), Lists(named)) if e.state == "confirmed"]


def hits(events: list[Event], plate: str) -> list[tuple[str, tuple[str, ...]]]:
    """The lists that each notification of a plate names."""
    return [(e.match.list if e.match else "", e.also) for e in events if e.plate == plate]


def test_a_listed_plate_is_told_once_with_its_list_however_often_it_is_passed() -> None:
    events = confirmed(THREE_TIMES, stolen=(0, ("B123ABC",)))
    assert hits(events, "B123ABC") == [("stolen", ())]
    assert hits(events, "CJ45XYZ") == [("", ())]


def test_a_plate_that_a_list_comes_to_know_is_told_again_under_its_uuid_and_no_other_is() -> None:
    events = confirmed(THREE_TIMES, stolen=(30, ("B123ABC",)))
    assert hits(events, "B123ABC") == [("", ()), ("stolen", ())]
    assert hits(events, "CJ45XYZ") == [("", ())]
    assert len({e.uuid for e in events if e.plate == "B123ABC"}) == 1
    assert len({e.seq for e in events}) == 3


def test_a_second_list_that_comes_to_know_it_is_told_too() -> None:
    events = confirmed(THREE_TIMES, stolen=(0, ("B123ABC",)), watched=(90, ("B123ABC",)))
    assert hits(events, "B123ABC") == [("stolen", ()), ("stolen", ("watched",))]
    assert len({e.uuid for e in events if e.plate == "B123ABC"}) == 1


def test_a_list_that_comes_while_the_plate_is_in_view_is_told_at_once() -> None:
    drive = next(one for one in SCENARIOS if one.name == "a motorcycle between lanes")
    events = confirmed(drive, stolen=(2.0, ("BV19DEF",)))
    assert hits(events, "BV19DEF") == [("", ()), ("stolen", ())]


def test_a_hit_is_told_though_a_look_alike_was() -> None:
    events = confirmed(LOOKALIKES, stolen=(0, ("AB1BNPV",)))
    assert notified(events) == ["AB18NPV", "AB1BNPV"]
    assert hits(events, "AB1BNPV") == [("stolen", ())]


def test_a_look_alike_is_told_though_a_hit_was_only_where_it_hits_too() -> None:
    both = confirmed(LOOKALIKES, stolen=(0, ("AB18NPV",)), watched=(0, ("AB1BNPV",)))
    assert [hits(both, plate) for plate in ("AB18NPV", "AB1BNPV")] == [[("stolen", ())], [("watched", ())]]
