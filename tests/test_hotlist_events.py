"""What is told of vehicles that are on a hot list, and when."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from helpers_hotlist import matcher
from helpers_sinks import make_event
from helpers_traffic import slots_of
from test_event import Driver, sighting

from edge_alpr.config import EventConfig, StoreConfig
from edge_alpr.evidence import ALPHABET, read_from_slots
from edge_alpr.hotlist.match import Matcher
from edge_alpr.sinks.store import EventStore
from edge_alpr.stages.event import EventMaker
from edge_alpr.types import Match, Read


@dataclass
class Lists:
    """Lists that change between two frames."""

    matcher: Matcher = field(default_factory=matcher)
    version: int = 0

    def __call__(self, read: Read, at_ms: int) -> tuple[Match, ...]:
        return self.matcher(read, at_ms)

    def become(self, *lists: str) -> None:
        self.matcher = matcher(*lists)
        self.version += 1


def driver(*lists: str) -> tuple[Driver, Lists]:
    hits = Lists()
    hits.become(*lists)
    return Driver(EventMaker(EventConfig(), "dev42", hits=hits)), hits


def told(driver: Driver) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(d.state, d.sighting.read.plate, tuple(match.entry for match in d.matches)) for d in driver.told]


def test_a_hit_is_told_as_possible_and_stays_with_its_event() -> None:
    one, _ = driver("# priority: 1\nB 69 BMA\n", "# priority: 2\nB69BMA\n")
    one.passage("B69BMA", 10, 1)
    both = ("B69BMA", "B 69 BMA")
    assert told(one) == [("possible", "B69BMA", both), ("confirmed", "B69BMA", both)]
    assert len({decision.uuid for decision in one.told}) == 1


def test_a_possible_text_is_told_again_when_it_turns_into_a_hit() -> None:
    one, _ = driver("B69BMA\n")
    one.see(sighting("B69KMA", 10, sure=0.95))
    one.see(sighting("B69KMA", 10.1, sure=0.95))
    one.see(sighting("B69BMA", 10.2, sure=0.95, reads=2))
    one.see(sighting("B69BMA", 10.21, sure=0.95, reads=2))
    assert told(one) == [("possible", "B69KMA", ()), ("possible", "B69BMA", ("B69BMA",))]
    one.see(sighting("B69BMA", 10.22, sure=0.6, lost=True))
    assert told(one)[-1] == ("withdrawn", "B69BMA", ("B69BMA",))
    assert len({decision.uuid for decision in one.told}) == 1


def test_a_vehicle_told_without_a_hit_is_told_again_once_the_lists_say_so() -> None:
    one, lists = driver()
    one.passage("B69BMA", 10, 1)
    assert [step[0] for step in told(one)] == ["possible", "confirmed"]
    lists.become("B69BMA\n")
    assert len(one.told) == 2  # a change of the lists by itself tells nothing
    one.passage("B69BMA", 40, 2)
    one.passage("B69BMA", 50, 3)
    assert told(one)[2:] == [("confirmed", "B69BMA", ("B69BMA",))]
    assert len({decision.uuid for decision in one.told}) == 1


def test_a_vehicle_still_in_view_is_told_again_too() -> None:
    one, lists = driver()
    for frame in range(10):
        one.see(sighting("B69BMA", 10 + frame / 30, 1, reads=frame + 1))
    lists.become("B69BMA\n")
    for frame in range(10):
        one.see(sighting("B69BMA", 11 + frame / 30, 1, reads=frame + 11))
    assert told(one)[2:] == [("confirmed", "B69BMA", ("B69BMA",))]


def test_no_cool_down_hides_another_vehicle_that_hits() -> None:
    """Two plates that only a misread tells apart: without lists the second is taken for the first."""
    plain, _ = driver()
    listed, _ = driver("B698MA\n")
    for one in (plain, listed):
        one.passage("B69BMA", 10, 1)
        one.passage("B698MA", 20, 2)
        one.passage("B698MA", 30, 3)
    assert [step[1] for step in told(plain) if step[0] == "confirmed"] == ["B69BMA"]
    confirmed = [decision for decision in listed.told if decision.state == "confirmed"]
    assert [decision.sighting.read.plate for decision in confirmed] == ["B69BMA", "B698MA"]
    assert confirmed[0].matches == () or confirmed[0].matches[0].score < 0.1
    assert confirmed[1].matches[0].kind == "exact"
    assert confirmed[0].uuid != confirmed[1].uuid


def test_the_same_hit_is_not_told_twice_for_a_misread() -> None:
    one, _ = driver("B69BMA\n")
    one.passage("B69BMA", 10, 1)
    one.passage("B698MA", 20, 2)  # the same vehicle, one character misread
    assert [step[1] for step in told(one) if step[0] == "confirmed"] == ["B69BMA"]


def test_an_unclear_text_that_is_surely_a_listed_vehicle_is_confirmed_when_it_leaves() -> None:
    slots = slots_of("B69BMA", 0.99)
    slots[2] = 0.0
    slots[2, [ALPHABET.index("9"), ALPHABET.index("4")]] = 0.6, 0.4
    for lists, states in ((("B69BMA\n",), ["possible", "confirmed"]), ((), ["possible", "withdrawn"])):
        one, _ = driver(*lists)
        seen = replace(sighting("B69BMA", 10, reads=4, agreement=0.6), read=read_from_slots(slots))
        one.see(seen)
        one.see(replace(seen, lost=True, current=None))
        assert [decision.state for decision in one.told] == states


def test_a_hit_that_is_withdrawn_says_which_it_was() -> None:
    one, _ = driver("B69BMA\n")
    one.see(sighting("B69BMA", 10, sure=0.95))
    one.see(sighting("X1", 10.5, lost=True))
    assert told(one)[-1][0] == "withdrawn"
    assert told(one)[-1][2] == ("B69BMA",)


def test_the_store_takes_the_event_that_hits_in_place_of_its_like(tmp_path: Path) -> None:
    plain = make_event(1)
    hit = replace(plain, match=Match(list="stolen", entry="B", kind="exact"))
    with EventStore(tmp_path, StoreConfig()) as store:
        first = store.append(plain)
        second = store.append(hit)
        assert (second.match, second.seq) == (hit.match, first.seq + 1)
        assert store.append(plain) == store.append(hit) == second
        assert store.count() == 1
