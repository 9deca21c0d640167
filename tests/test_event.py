"""The life of events: possible, confirmed, withdrawn; one confirmed for each vehicle passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from helpers_traffic import BLANK_CROP, Vehicle, drive, observation, plate_text, slots_of
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_alpr import passages
from edge_alpr.config import EventConfig, FormatsConfig, TrackConfig
from edge_alpr.evidence import ALPHABET, canonical, read_from_slots
from edge_alpr.formats import open_formats
from edge_alpr.passages import alike, only_confusable
from edge_alpr.stages.event import Decision, EventMaker
from edge_alpr.stages.track import Tracker
from edge_alpr.types import Scene, Sighting

SECOND_NS = 1_000_000_000


def sighting(  # noqa: PLR0917
    text: str,
    at_s: float,
    track: int = 1,
    reads: int = 1,
    sure: float = 0.995,
    x: float = 600,
    lost: bool = False,
    agreement: float = 1.0,
) -> Sighting:
    seen = observation(slots_of(text, sure), (x - 50, 400, x + 50, 422))
    return Sighting(
        track_id=track,
        camera_id="front",
        read=read_from_slots(slots_of(text, sure)),
        reads=reads,
        agreement=agreement,
        best=seen,
        best_is_new=not lost,
        current=None if lost else seen,
        first_stamp_ns=0,
        last_stamp_ns=round(at_s * SECOND_NS),
        epoch_start=1_000 * track,
        epoch_end=round(at_s * 1_000),
        lost=lost,
    )


def said(decisions: Sequence[Decision]) -> list[tuple[str, str]]:
    return [(decision.state, decision.sighting.read.plate) for decision in decisions]


@dataclass
class Driver:
    """Hands over one sighting at a time and remembers what was told."""

    maker: EventMaker = field(default_factory=lambda: EventMaker(EventConfig(), "dev42"))
    told: list[Decision] = field(default_factory=list)

    def see(self, *sightings: Sighting) -> list[tuple[str, str]]:
        decisions = self.maker.update(sightings)
        self.told += decisions
        return said(decisions)

    def passage(self, text: str, at_s: float, track: int, **what: float) -> list[tuple[str, str]]:
        """A vehicle seen in five frames, then gone."""
        frames = [sighting(text, at_s + i / 30, track, reads=i + 1, **what) for i in range(5)]  # type: ignore[arg-type]
        last = replace(frames[-1], lost=True, current=None)
        return [step for one in [*frames, last] for step in self.see(one)]


def filtering(*regions: str) -> Driver:
    formats = open_formats(FormatsConfig(regions=regions, mode="filter"))
    return Driver(EventMaker(EventConfig(), "dev42", formats))


def test_a_text_that_fits_no_format_is_never_told_under_a_filter_but_counted() -> None:
    driver = filtering("ro")
    assert driver.passage("WAB1234", 10, 1) == []
    assert driver.passage("B69BMA", 20, 2) == [("possible", "B69BMA"), ("confirmed", "B69BMA")]
    assert driver.passage("WAB1234", 30, 3) == []
    assert driver.maker.withheld == 1  # the same vehicle came twice


def test_a_possible_text_that_turns_into_one_that_fits_no_format_is_withdrawn_as_it_was_told() -> None:
    driver = filtering("ro")
    assert driver.see(sighting("B69BMA", 10, sure=0.93)) == [("possible", "B69BMA")]
    assert driver.see(sighting("B698MA", 11, reads=4)) == []
    assert driver.see(sighting("B698MA", 11, reads=4, lost=True)) == [("withdrawn", "B69BMA")]
    assert driver.maker.withheld == 1


def test_the_evidence_of_two_looks_is_read_with_the_formats_in_mind() -> None:
    """Neither look suffices; joined they say B at the fourth place only because the country has no 8 there."""
    slots = slots_of("B698MA", 0.98)
    slots[3] *= 0.5
    slots[3, ALPHABET.index("B")] += 0.5
    formats = open_formats(FormatsConfig(regions=("ro",), strength=0.4))
    plain, hinted = Driver(), Driver(EventMaker(EventConfig(), "dev42", formats))
    for driver, read in ((plain, read_from_slots(slots)), (hinted, formats.interpret(slots))):
        for at_s, track in ((10, 1), (40, 2)):
            seen = replace(sighting("B69BMA", at_s, track, lost=True), read=replace(read, score=0.5))
            driver.see(seen)
    assert "confirmed" not in [d.state for d in plain.told]
    assert said(hinted.told)[-1] == ("confirmed", "B69BMA")


def test_possible_then_confirmed_under_one_id() -> None:
    driver = Driver()
    assert driver.passage("B69BMA", 10, 1) == [("possible", "B69BMA"), ("confirmed", "B69BMA")]
    first, second = driver.told
    assert first.uuid == second.uuid
    assert (first.seq, second.seq) == (1, 2)
    assert driver.maker.flush() == []


def test_a_replay_gives_the_same_ids_and_another_device_others() -> None:
    uuids = []
    for device in ("dev42", "dev42", "dev43"):
        driver = Driver(EventMaker(EventConfig(), device))
        driver.passage("B69BMA", 10, 1)
        driver.passage("IF14UPS", 20, 2)
        uuids.append([decision.uuid for decision in driver.told])
    assert uuids[0] == uuids[1]
    assert not set(uuids[0]) & set(uuids[2])
    assert len(set(uuids[0])) == 2


def test_one_clear_read_is_confirmed_when_its_track_ends() -> None:
    driver = Driver()
    assert driver.see(sighting("B69BMA", 10)) == [("possible", "B69BMA")]
    assert driver.see(sighting("B69BMA", 10, lost=True)) == [("confirmed", "B69BMA")]


@pytest.mark.parametrize(
    "poor",
    [
        pytest.param(sighting("B69BMA", 10, sure=0.945, reads=1), id="not sure enough"),
        pytest.param(sighting("B69B", 10), id="short"),
        pytest.param(sighting("TAXICAB", 10), id="no digit"),
        pytest.param(sighting("B69BMA", 10, x=1260), id="cut by the border"),
        pytest.param(sighting("B69BMA", 10, reads=3, agreement=0.34), id="its reads do not agree"),
    ],
)
def test_one_poor_read_is_not_confirmed(poor: Sighting) -> None:
    driver = Driver()
    driver.see(poor)
    driver.see(replace(poor, lost=True, current=None))
    assert {d.state for d in driver.told} <= {"possible", "withdrawn"}
    assert [d.state for d in driver.told].count("possible") == [d.state for d in driver.told].count("withdrawn")


def test_rubbish_and_empty_texts_are_never_told() -> None:
    driver = Driver()
    for track, text in enumerate(("", "7", "1I1"), 1):
        assert driver.passage(text, 10 + track, track) == []


def test_a_plate_cut_by_the_border_is_never_told_however_often_it_is_read() -> None:
    assert Driver().passage("69BMA", 10, 1, x=1260) == []


def test_a_possible_one_that_ends_unconfirmed_is_withdrawn() -> None:
    driver = Driver()
    steps = driver.passage("B69BMA", 10, 1, sure=0.95)
    assert steps == [("possible", "B69BMA"), ("withdrawn", "B69BMA")]
    assert len({d.uuid for d in driver.told}) == 1


def test_a_text_must_last_a_moment_before_it_is_confirmed() -> None:
    driver, begin_ns = Driver(), 10 * SECOND_NS
    frames = [replace(sighting("B69BMA", 10 + i / 30, reads=i + 1), first_stamp_ns=begin_ns) for i in range(9)]
    assert [driver.see(frame) for frame in frames[:8]] == [[("possible", "B69BMA")]] + [[]] * 7
    assert driver.see(frames[8]) == [("confirmed", "B69BMA")]


def test_flush_ends_what_is_open() -> None:
    driver = Driver()
    driver.see(sighting("B69BMA", 10, sure=0.94), sighting("IF14UPS", 10, track=2, x=200))
    assert said(driver.maker.flush()) == [("withdrawn", "B69BMA"), ("confirmed", "IF14UPS")]
    assert driver.maker.flush() == []


def test_the_same_vehicle_in_later_tracks_is_not_told_again_until_it_was_gone_for_long() -> None:
    driver = Driver(EventMaker(EventConfig(cooldown_s=60), "dev42"))
    assert len(driver.passage("B69BMA", 10, 1)) == 2
    for track, at_s in enumerate((40, 90, 140), 2):  # each within a minute of the last
        assert driver.passage("B69BMA", at_s, track) == []
    assert driver.passage("B69BMA", 210, 9) == [("possible", "B69BMA"), ("confirmed", "B69BMA")]
    assert len({d.uuid for d in driver.told}) == 2


def test_a_vehicle_that_another_camera_told_of_is_the_same_passage_until_it_was_gone_for_long() -> None:
    driver = Driver(EventMaker(EventConfig(cooldown_s=60), "dev42"))
    driver.passage("B69BMA", 10, 1)
    rear = [replace(sighting("B69BMA", 40 + i / 30, 1, reads=i + 1), camera_id="rear") for i in range(12)]
    assert [step for one in rear for step in driver.see(one)] == []
    assert len(driver.passage("B69BMA", 120, 2)) == 2


def test_what_one_camera_told_as_possible_another_one_does_not_but_confirms_it_if_the_first_can_not() -> None:
    driver = Driver()
    assert driver.see(sighting("B69BMA", 10, 1, sure=0.93)) == [("possible", "B69BMA")]
    rear = [replace(sighting("B69BMA", 10.01 + i / 10, 1, reads=1), camera_id="rear") for i in range(3)]
    assert driver.see(rear[0]) == driver.see(rear[1]) == []
    other = replace(sighting("TR95XMI", 10.02, 2), camera_id="rear")
    assert driver.see(other) == [("possible", "TR95XMI")]
    assert driver.see(replace(sighting("B69BMA", 10.02, 1, sure=0.93), lost=True, current=None)) == [
        ("withdrawn", "B69BMA")
    ]
    assert driver.see(rear[2]) == [("confirmed", "B69BMA")], "by the looks of both"


def test_of_one_camera_each_track_is_told_as_possible() -> None:
    driver = Driver()
    for track in (1, 2):
        assert driver.see(sighting("B69BMA", 10, track, sure=0.93)) == [("possible", "B69BMA")]


def test_another_camera_whose_frames_are_a_little_older_does_not_shorten_the_cool_down() -> None:
    driver = Driver(EventMaker(EventConfig(cooldown_s=60), "dev42"))
    driver.passage("B69BMA", 10, 1)
    for i in range(30 * 40):  # another vehicle ahead for 40 s, seen by both cameras, the rear one 0.3 s late
        at_s = 11 + i / 30
        driver.see(sighting("TR05YPP", at_s, 2, reads=i + 1))
        driver.see(replace(sighting("TR05YPP", at_s - 0.3, 2, reads=i + 1), camera_id="rear"))
    assert driver.passage("B69BMA", 52, 3) == []
    assert len(driver.passage("B69BMA", 120, 4)) == 2, "and does not lengthen it"


def test_o_and_zero_are_the_same_vehicle() -> None:
    driver = Driver()
    driver.passage("BO9BMI", 10, 1)
    assert driver.passage("B09BM1", 20, 2) == []


def test_the_cool_down_hides_no_other_plate() -> None:
    driver = Driver()
    driver.passage("B69BMA", 10, 1)
    assert driver.passage("IF14UPS", 10.5, 2) == [("possible", "IF14UPS"), ("confirmed", "IF14UPS")]
    assert driver.passage("B70BMX", 11, 3) == [("possible", "B70BMX"), ("confirmed", "B70BMX")]


@pytest.mark.parametrize("misread", ["869BMA", "B69BM", "69BMA", "B69BHA", "8698MA", "B69BMAJ", "B69B"])
def test_a_misread_of_a_vehicle_just_told_is_not_told(misread: str) -> None:
    driver = Driver()
    driver.passage("B69BMA", 10, 1)
    driver.see(sighting(misread, 20, track=2, reads=2, sure=0.98))
    driver.see(sighting(misread, 20, track=2, reads=2, sure=0.98, lost=True))
    assert len(driver.told) == 2


def test_two_vehicles_side_by_side_are_two_though_their_texts_are_alike() -> None:
    driver = Driver()
    for i in range(5):
        driver.see(
            sighting("B101TAX", 10 + i / 30, 1, reads=i + 1), sighting("B107TAX", 10 + i / 30, 2, reads=i + 1, x=900)
        )
    assert [d.sighting.read.plate for d in driver.told if d.state == "confirmed"] == ["B101TAX", "B107TAX"]


def test_two_boxes_on_one_plate_are_one_vehicle() -> None:
    driver = Driver()
    for i in range(5):
        driver.see(
            sighting("B101TAX", 10 + i / 30, 1, reads=i + 1), sighting("B107TAX", 10 + i / 30, 2, reads=i + 1, x=620)
        )
    assert [d.sighting.read.plate for d in driver.told if d.state == "confirmed"] == ["B101TAX"]


def test_two_texts_read_for_sure_that_differ_unusually_are_two_vehicles() -> None:
    driver = Driver()
    driver.passage("B101TAX", 10, 1)
    assert ("confirmed", "B107TAX") in driver.passage("B107TAX", 20, 2)
    assert driver.passage("B1O7TAX", 30, 3) == []


@pytest.mark.parametrize(("reads", "sure", "vehicles"), [(8, 0.999, 2), (5, 0.999, 1), (8, 0.98, 1)])
def test_an_easy_misread_is_another_vehicle_only_where_many_reads_leave_no_doubt(reads, sure, vehicles) -> None:
    driver = Driver()
    for track, (text, at_s) in enumerate((("B18TAX", 10), ("B1BTAX", 20)), 1):
        for count in range(1, reads + 1):
            driver.see(sighting(text, at_s + count / 30, track, reads=count, sure=sure))
        driver.see(sighting(text, at_s + 1, track, reads=reads, sure=sure, lost=True))
    assert len([text for state, text in said(driver.told) if state == "confirmed"]) == vehicles


def test_a_misread_once_confirmed_is_corrected_by_a_better_track() -> None:
    driver = Driver()
    driver.see(sighting("B69BHA", 10, sure=0.985))
    driver.see(sighting("B69BHA", 10, sure=0.985, lost=True))
    assert driver.told[-1].state == "confirmed"
    steps = driver.passage("B69BMA", 12, 2)
    assert steps[-2:] == [("withdrawn", "B69BHA"), ("confirmed", "B69BMA")]
    assert driver.told[-2].uuid == driver.told[0].uuid != driver.told[-1].uuid
    assert driver.passage("B69BHA", 20, 3, sure=0.98) == []


def test_part_of_a_plate_once_confirmed_is_corrected_by_the_whole() -> None:
    driver = Driver()
    driver.passage("69BMA", 10, 1)
    assert driver.passage("TB69BMA", 12, 2)[-2:] == [("withdrawn", "69BMA"), ("confirmed", "TB69BMA")]


@pytest.mark.parametrize("rest", ["B69BL", "B69BP", "19BMAK"])
def test_the_rest_of_a_plate_half_hidden_twice_is_no_vehicle_of_its_own(rest: str) -> None:
    driver = Driver()
    driver.passage("B69BMAK", 10, 1)
    for track, at_s in ((2, 20), (3, 30)):
        seen = sighting(rest, at_s, track)
        driver.see(seen)
        driver.see(replace(seen, lost=True, current=None))
    assert [text for state, text in said(driver.told) if state == "confirmed"] == ["B69BMAK"]


def test_a_short_plate_read_for_sure_is_a_vehicle_though_another_begins_almost_like_it() -> None:
    driver = Driver()
    driver.passage("B69BMAK", 10, 1)
    driver.passage("B69BL", 20, 2)
    assert [text for state, text in said(driver.told) if state == "confirmed"] == ["B69BMAK", "B69BL"]


def test_a_confirmed_text_that_turns_is_withdrawn_and_the_right_one_told() -> None:
    driver = Driver()
    driver.see(sighting("B69BHA", 10, reads=2))
    steps = driver.see(sighting("B69BMA", 12, reads=40, agreement=0.8))
    assert steps == [("withdrawn", "B69BHA"), ("confirmed", "B69BMA")]
    assert driver.told[-2].uuid == driver.told[-3].uuid != driver.told[-1].uuid
    assert driver.see(sighting("B69BMA", 13, reads=50, lost=True)) == []


def test_a_little_doubt_does_not_turn_a_confirmed_text() -> None:
    driver = Driver()
    driver.see(sighting("B69BHA", 10, reads=2))
    assert driver.see(sighting("B69BMA", 12, reads=4, agreement=0.5, sure=0.9)) == []


def test_a_track_that_goes_over_to_another_vehicle_tells_both() -> None:
    driver = Driver()
    driver.see(sighting("B69BMA", 10, reads=2))
    assert driver.see(sighting("IF14UPS", 12, reads=40, agreement=0.8)) == [("confirmed", "IF14UPS")]
    assert len({d.uuid for d in driver.told if d.state == "confirmed"}) == 2
    assert "withdrawn" not in {d.state for d in driver.told}


def test_a_weak_text_read_again_later_is_confirmed() -> None:
    driver = Driver()
    for track, at_s in ((1, 10), (2, 60)):
        driver.see(sighting("B69BMA", at_s, track, sure=0.945))
        driver.see(sighting("B69BMA", at_s, track, sure=0.945, lost=True))
    assert [d.state for d in driver.told] == ["possible", "withdrawn", "confirmed"]
    assert (driver.told[-1].sighting.reads, driver.told[-1].sighting.agreement) == (2, 1.0)


def test_weak_texts_that_contradict_each_other_are_not_confirmed() -> None:
    driver = Driver()
    for track, text in enumerate(("B69BMA", "B69BHA"), 1):
        driver.see(sighting(text, 10 * track, track, sure=0.945))
        driver.see(sighting(text, 10 * track, track, sure=0.945, lost=True))
    assert "confirmed" not in {d.state for d in driver.told}


def test_a_media_clock_that_goes_back_neither_repeats_nor_silences() -> None:
    driver = Driver(EventMaker(EventConfig(cooldown_s=60), "dev42"))
    driver.passage("B69BMA", 5000, 1)
    assert driver.passage("B69BMA", 3, 2) == []
    assert len(driver.passage("B69BMA", 70, 3)) == 2
    driver.passage("IF14UPS", 5000, 4)
    driver.passage("TR05YPP", 3, 5)  # only the clock goes on, the vehicle itself is not there
    driver.passage("TR05YPP", 70, 6)
    assert len(driver.passage("IF14UPS", 71, 7)) == 2


def test_memory_is_bounded_and_holds_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passages, "_MOST", 40)
    maker = EventMaker(EventConfig(cooldown_s=1e6), "dev42")
    scene = Scene(BLANK_CROP, (), 1280, 720)
    rng = np.random.default_rng(5)
    for track in range(60):
        one = sighting(plate_text(rng), track, track, reads=2)
        one = replace(one, best=replace(one.best, scene=scene, patch=BLANK_CROP))
        maker.update([one])
        maker.update([replace(one, lost=True, current=None)])
    assert len(maker.passages) <= 40
    assert maker.passages.forgotten > 0
    assert all(p.sighting.best.scene is None and p.sighting.best.patch is None for p in maker.passages)
    assert all(p.sighting.current is None for p in maker.passages)


def test_which_texts_are_alike() -> None:
    assert alike("B69BMA", "869BHA") is True  # two easy misreads
    assert alike("B69BMA", "X69BTA") is False
    assert alike("B69BMA", "69BM") is True
    assert only_confusable("5B0", "S8D")
    assert not only_confusable("5B0", "S80X")


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 30]))
def test_under_noise_each_vehicle_is_confirmed_at_most_once_and_every_possible_ends(seed: int, fps: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [plate_text(rng) for _ in range(3)]
    vehicles = [
        Vehicle(
            text, np.random.default_rng(seed % 1000 + 10 * i + k), 3 * i + 5 * k, 2.0,
            (640 - 200 * k, 380), (300 + 300 * i, 420), (14, float(rng.uniform(18, 36))),
        )
        for i, text in enumerate(texts)
        for k in range(2)
    ]  # fmt: skip
    tracker, maker, told = Tracker(TrackConfig()), EventMaker(EventConfig(), "dev42"), list[Decision]()
    for stamp, seen, motion in drive(vehicles, fps, rng, shake_px=3):
        told += maker.update(tracker.update(seen, stamp, stamp // 1_000_000, "front", motion))
    told += maker.update(tracker.flush()) + maker.flush()

    lives: dict[str, list[str]] = {}
    for decision in told:
        lives.setdefault(decision.uuid, []).append(decision.state)
    allowed = [["possible"], []], [["confirmed"], ["withdrawn"], ["confirmed", "withdrawn"]]
    assert all(any(life == a + b for a in allowed[0] for b in allowed[1]) for life in lives.values())
    standing = [
        canonical(d.sighting.read.plate) for d in told if d.state == "confirmed" and lives[d.uuid][-1] == "confirmed"
    ]
    assert all(standing.count(text) == 1 for text in standing)
    assert [d.seq for d in told] == list(range(1, len(told) + 1))
