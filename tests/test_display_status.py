"""What the status line says of how the drive is, and how a hit is put into words."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from helpers_display import Reader
from helpers_sinks import make_event
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.display.facts import driving_since, free_gb, has_network, hot_lists, live_picture, newest_beat
from edge_alpr.display.hub import RING, Hub
from edge_alpr.display.shown import aligned, shown
from edge_alpr.display.status import Facts, ListFacts, status
from edge_alpr.hotlist import status as lists
from edge_alpr.hotlist.status import ListStatus
from edge_alpr.ops.heartbeat import BoardBeat, CameraBeat, Heartbeat, LevelBeat
from edge_alpr.types import Match

FRONT = CameraBeat(camera_id="front", frames=900, fps=30.0, dropped=0, restarts=0, last_restart="", lost="")
BEAT = Heartbeat(
    device_id="car-7", timestamp="2026-01-02T10:00:00.000Z", running=True, error="", keeping_up=True, uptime_s=600.0,
    interval_s=60.0, cameras=(FRONT,), p50_ms=20.0, p99_ms=30.0, level=None, models={}, software="1",
    board=BoardBeat(watts=11.5, celsius=62.0, power_mode=None), rss_mb=400.0, confirmed=3, withdrawn=0,
)  # fmt: skip
FACTS = Facts(driving=True, beat=BEAT, beat_age_s=10.0, looked=True, live_age_s=0.1, live_fps=29.8, free_gb=41.0)
STALE, GOOD = ListFacts("stolen", 9 * 86400.0, stale=True), ListFacts("fleet", 3700.0)
LESS = LevelBeat(place=2, of=5, name="half", reason="p99 41.0 ms over 33 ms", changes=2)


def having(**changes: object) -> Facts:
    return msgspec.structs.replace(FACTS, **changes)


def beating(**changes: object) -> Facts:
    return having(beat=msgspec.structs.replace(BEAT, **changes))


def camera(**changes: object) -> CameraBeat:
    return msgspec.structs.replace(FRONT, **changes)


def test_all_is_well() -> None:
    said = status(FACTS)
    assert (said.grade, said.headline) == ("ok", "Reading")
    assert [item.short for item in said.items] == ["30 fps", "keeping up", "62 °C", "41 GB free"]


@pytest.mark.parametrize(
    ("facts", "grade", "headline", "advice"),
    [
        (having(driving=False), "fail", "No drive is running", "edge-alpr run"),
        (having(driving=False, beat=msgspec.structs.replace(BEAT, running=False, error="camera lost")), "fail",
         "No drive is running", "camera lost"),
        (having(trouble="disk gone"), "fail", "The events cannot be read", "disk gone"),
        (having(beat_age_s=200.0, live_age_s=None), "fail", "The reader says nothing", "3 minutes"),
        (having(beat_age_s=200.0), "ok", "Reading", ""),
        (having(live_age_s=12.0), "fail", "No picture from the camera", "12 s"),
        (having(beat=msgspec.structs.replace(BEAT, cameras=(camera(frames=0),)), live_age_s=None), "fail",
         "No picture from the camera", "cable"),
        (having(beat=None, live_age_s=None), "warn", "Waiting for the first picture", ""),
        (beating(keeping_up=False, cameras=(camera(fps=4.0, dropped=1500),)), "warn",
         "Not keeping up: frames are dropped", ""),
        (beating(keeping_up=False, cameras=(camera(fps=16.0, dropped=800),)), "ok", "Reading", ""),
        (beating(keeping_up=False, level=LESS), "warn", "Not keeping up: does less for each frame", ""),
        (beating(cameras=(FRONT, camera(camera_id="rear", lost="unplugged"))), "fail",
         "Camera rear is lost: unplugged", ""),
        (beating(board=BoardBeat(watts=None, celsius=91.0, power_mode=None)), "warn", "too hot: 91 °C", ""),
        (having(free_gb=1.2), "warn", "The disk is nearly full: 1.2 GB free", ""),
        (having(free_gb=0.05), "fail", "The disk is full", ""),
        (having(lists=(STALE, GOOD)), "warn", "List stolen is 9 days old: out of date", ""),
        (having(lists=(GOOD, ListFacts("bad.csv", 0.0, trouble="not signed", refused=True))), "warn",
         "List bad.csv is not in use: not signed", ""),
        (having(lists=(GOOD,)), "ok", "Reading", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_first(facts: Facts, grade: str, headline: str, advice: str) -> None:
    said = status(facts)
    assert said.grade == grade
    assert headline in said.headline
    assert advice in said.advice


_NUMBERS = st.none() | st.floats(0, 1e6)


@given(st.builds(Facts, driving=st.booleans(), beat=st.sampled_from([None, BEAT]), beat_age_s=st.floats(0, 1e6),
                 looked=st.booleans(), live_age_s=_NUMBERS, free_gb=_NUMBERS))  # fmt: skip
def test_a_failure_never_looks_like_an_empty_street(facts: Facts) -> None:
    said = status(facts)
    stands = not facts.driving or (facts.live_age_s is not None and facts.live_age_s > 5)
    assert said.blind >= stands
    assert said.grade == "fail" if said.blind else said.headline
    assert said.grade != "ok" or said.headline == "Reading"


def test_facts_of_a_store_that_is_written_and_of_one_that_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    assert driving_since(folder) is None
    begun = time.time()
    with Reader(tmp_path):
        assert driving_since(folder) == pytest.approx(begun, abs=5)
        assert newest_beat(folder) == (None, 0.0)
        (folder / "heartbeat.json").write_bytes(msgspec.json.encode(BEAT))
        assert newest_beat(folder)[0] == BEAT
    assert driving_since(folder) is None
    assert hot_lists(folder) == ()
    now_ms = int(time.time() * 1000)
    one = ListStatus("stolen", "stolen.csv", 9, 0, 5, "red", "", "police", "", now_ms - 60_000, 0, now_ms - 1)
    said = lists.Status(now_ms, 0.1, 0.2, (one,), {"bad.csv": "not signed"})
    (folder / lists.FILE).write_bytes(msgspec.json.encode(said))
    stolen, bad = hot_lists(folder)
    assert (stolen.name, round(stolen.age_s), stolen.stale, bad.refused) == ("stolen", 60, True, True)
    assert free_gb(folder) > 0
    assert has_network() in (True, False)
    assert live_picture(folder) == (b"", None)


# --- hits


@pytest.mark.parametrize(
    ("read", "listed", "kind", "how"),
    [
        ("B123XY", "B123XY", "exact", "exactly"),
        ("B0007XO", "B0007X0", "equivalent", "looks alike: O for 0"),
        ("B123XY", "B128XY", "distance", "nearly: 3 for 8"),
        ("B123XY", "B1239XY", "distance", "nearly: none for 9"),
        ("AAAAA", "BBBBB", "distance", "nearly: 5 characters differ"),
        ("B123XY", "B1*", "wildcard", "fits the pattern"),
        ("B123XY", "^B[0-9]+XY$", "wildcard", "fits the pattern"),
    ],
)
def test_a_hit_in_words(read: str, listed: str, kind: str, how: str) -> None:
    alert = shown(make_event(plate=read, match=Match("Stolen", listed, kind))).alert
    assert alert is not None
    assert alert.how == how
    assert alert.exact == (how == "exactly")


@given(st.text("AB10O", max_size=8), st.text("AB10O", max_size=8), st.lists(st.integers(-1, 9), max_size=3))
def test_both_texts_stand_place_by_place(read: str, listed: str, differ: list[int]) -> None:
    cells = aligned(read, listed, differ)
    assert "".join(cell.read for cell in cells) == read
    assert "".join(cell.listed for cell in cells) == listed
    assert all(cell.differs for cell in cells if cell.read != cell.listed)
    marked = {place for place, cell in enumerate(cell for cell in cells if cell.read) if cell.differs}
    assert {place for place in differ if 0 <= place < len(read)} <= marked


# --- who hears


def kinds(hub: Hub, last_id: str) -> list[str]:
    return [message.kind for message in hub._missed(last_id)]


def test_who_comes_back_hears_what_he_missed_or_all() -> None:
    hub = Hub({})
    hub.restart("a", [shown(make_event(n, seq=n)) for n in range(1, 11)])
    assert kinds(hub, "") == ["all"]
    assert kinds(hub, "a-10") == ["allmarks", "status", "live"]
    assert kinds(hub, "a-8").count("event") == 2
    for unknown in ("b-8", "a-11", "a-0", "8", "a-x"):
        assert kinds(hub, unknown) == ["all"]
    for number in range(11, RING + 50):
        hub.event(shown(make_event(number, seq=number)))
    assert kinds(hub, "a-10") == ["all"]
    assert kinds(hub, f"a-{RING}").count("event") == 49
