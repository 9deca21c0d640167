"""What is deleted, why, and that nothing of it is left."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers_sinks import make_event
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.config import PrivacyConfig, StoreConfig
from edge_alpr.sinks import housekeeping
from edge_alpr.sinks.housekeeping import Aging, Housekeeping
from edge_alpr.sinks.marks import Marks
from edge_alpr.sinks.retention import Deletion, Moment, Passage, Rules, choose_deletions, rules_of
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.types import Match

DAY_MS, MINUTE_MS = 86_400_000, 60_000
NOW_MS = 1_790_000_000_000
HIT = Match("stolen", "B0001XO", "exact")
PICTURES = Pictures(b"\xff\xd8" + b"plate" * 100, b"\xff\xd8" + b"scene" * 1000)
RULES = Rules(15 * MINUTE_MS, 30 * DAY_MS, 1000.0)


def passage(seq: int, age_ms: int = 0, **changes: object) -> Passage:
    return replace(Passage(f"u{seq}", seq, NOW_MS - age_ms, True, 100), **changes)


def why(chosen: list[Deletion]) -> dict[int, str]:
    return {d.passage.seq: d.reason for d in chosen}


def test_each_rule_takes_what_it_is_for_and_locked_passages_stay():
    passages = [
        passage(1, 31 * DAY_MS),
        passage(2, 31 * DAY_MS, locked=True),
        passage(3, 29 * DAY_MS),
        passage(4, 16 * MINUTE_MS, hit=False),
        passage(5, 16 * MINUTE_MS, hit=False, locked=True),
        passage(6, 14 * MINUTE_MS, hit=False),
    ]
    moment = Moment(NOW_MS, start_seq=6, aged_seq=0)
    assert why(choose_deletions(passages, 600, RULES, moment)) == {1: "expired", 4: "forgotten"}
    assert why(choose_deletions(passages, 1250, RULES, moment)) == {1: "expired", 3: "quota", 4: "forgotten"}
    assert choose_deletions(passages, 10**9, Rules(0, 0, 0), moment) == []


def test_a_clock_that_jumps_neither_forgets_too_early_nor_never():
    jumped = [passage(1, 16 * MINUTE_MS, hit=False), passage(2, -DAY_MS, hit=False), passage(3, DAY_MS, hit=False)]
    assert choose_deletions(jumped[1:], 0, RULES, Moment(NOW_MS, start_seq=1, aged_seq=0)) == []
    aged = Moment(NOW_MS, start_seq=1, aged_seq=2)
    assert why(choose_deletions(jumped, 0, RULES, aged)) == {1: "forgotten", 2: "forgotten"}
    unset = passage(4, NOW_MS - 1000)
    assert choose_deletions([unset], 100, RULES, aged) == [], "stored in 1970, says a clock that nobody had set"


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 10**4), st.integers(-DAY_MS, 60 * DAY_MS))),
    st.integers(0, 10**5),
)
def test_the_quota_holds_or_only_locked_ones_are_left(kinds: list[tuple[bool, bool, int, int]], quota: int):
    passages = [Passage(f"u{i}", i, NOW_MS - age, hit, size, locked)
                for i, (hit, locked, size, age) in enumerate(kinds, 1)]  # fmt: skip
    total = sum(p.bytes for p in passages)
    chosen = choose_deletions(passages, total, replace(RULES, quota_bytes=float(quota)), Moment(NOW_MS, 10**6, 0))
    gone = {d.passage.uuid for d in chosen}
    left = [p for p in passages if p.uuid not in gone]
    assert not any(d.passage.locked for d in chosen)
    assert [d.passage.seq for d in chosen] == sorted(d.passage.seq for d in chosen)
    assert not quota or sum(p.bytes for p in left) <= quota or all(p.locked for p in left)
    kept_by_quota = [d for d in chosen if d.reason == "quota"]
    youngest = max((d.passage.seq for d in kept_by_quota), default=0)
    assert all(p.locked for p in left if p.seq < youngest), "the oldest go first"


def test_aging_goes_by_the_monotonic_clock():
    aging = Aging(900.0)
    seen = [aging.aged(10.0 * step, last_seq=step) for step in range(200)]
    assert seen[:90] == [0] * 90
    assert all(0 <= step - 90 - aged <= 1 for step, aged in enumerate(seen[90:], 90) if aged), seen[90:]
    assert seen[-1] in (108, 109)


def keep(folder: Path, privacy: PrivacyConfig, **store: float) -> Housekeeping:
    return Housekeeping(folder, StoreConfig(**store), privacy)  # type: ignore[arg-type]


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_passages_without_a_hit_are_forgotten_whole_and_hits_and_locked_ones_stay(tmp_path: Path):
    with EventStore(tmp_path, StoreConfig()) as store:
        plain = [store.append(make_event(n), PICTURES) for n in range(10, 40)]
        hit = store.append(make_event(1, match=HIT), PICTURES)
        taken_back = [make_event(2, match=HIT, state=state) for state in ("possible", "withdrawn")]
        taken_back = [store.append(event) for event in taken_back]
        locked = store.append(make_event(3), PICTURES)
        Marks(tmp_path).set(locked.uuid, "locked", "command")
        Marks(tmp_path).set(plain[0].uuid, "acknowledged", "screen")
        keeper = keep(tmp_path, PrivacyConfig())
        now_ms = time.time_ns() // 1_000_000
        assert keeper.round(now_ms, 0.0) == 0
        assert keeper.round(now_ms + 14 * MINUTE_MS, 14 * 60.0) == 0
        assert plain[0].plate.encode() in everything(tmp_path)
        assert keeper.round(now_ms + 15 * MINUTE_MS, 15 * 60.0) == 30
        assert store.after(0) == [hit, *taken_back, locked]
        assert store.append(make_event(50)).seq == 35, "no number is given twice"
    left = everything(tmp_path)
    assert [e.plate for e in plain if e.plate.encode() in left] == [], "in the file, its log or anywhere"
    assert sorted(p.name for p in tmp_path.glob("pictures/*/*")) == sorted(
        Path(name).name for e in (hit, locked) for name in (e.images.plate, e.images.frame)
    )
    assert [mark.name for mark in Marks(tmp_path).of(plain[0].uuid)] == []
    assert (keeper.counters.passages, keeper.counters.pictures) == (30, 60)


def test_the_next_start_forgets_what_the_last_run_left(tmp_path: Path):
    with EventStore(tmp_path, StoreConfig()) as store:
        store.append(make_event(1), PICTURES)
    later_ms = time.time_ns() // 1_000_000 + 15 * MINUTE_MS
    assert keep(tmp_path, PrivacyConfig(forget_after_min=0)).round(later_ms, 0.0) == 0
    assert keep(tmp_path, PrivacyConfig()).round(later_ms, 0.0) == 1


def test_the_quota_holds_on_the_disk(tmp_path: Path):
    picture = os.urandom(20_000)
    with EventStore(tmp_path, StoreConfig()) as store:
        Marks(tmp_path).set(make_event(1).uuid, "locked", "screen")
        keeper = keep(tmp_path, PrivacyConfig(), quota_mb=2.0)
        for number in range(1, 200):
            store.append(make_event(number, match=HIT), Pictures(picture, picture))
            if number % 20 == 0:
                keeper.round(time.time_ns() // 1_000_000, 0.0)
        keeper.round(time.time_ns() // 1_000_000, 0.0)
        left = [e.track_id for e in store.after(0, 1000)]
    assert left == [1, *range(200 - len(left) + 1, 200)], "the oldest are gone, the locked one is not"
    used = sum(p.stat().st_blocks * 512 for p in tmp_path.rglob("*"))
    assert 1.5e6 < used < 2.2e6


def test_what_a_power_cut_left_without_an_event_goes_as_well(tmp_path: Path):
    with EventStore(tmp_path, StoreConfig()) as store:
        kept = store.append(make_event(1), PICTURES)
    orphan = (tmp_path / kept.images.plate).with_name("someone_plate.jpg")
    aside = tmp_path / "events.sqlite3.corrupt-20260101T000000Z"
    for path in (orphan, aside):
        path.write_bytes(b"x")
    keep(tmp_path, PrivacyConfig()).round(time.time_ns() // 1_000_000, 0.0)
    assert orphan.exists(), "it may be of an event that is being stored"
    for path in (orphan, aside):
        os.utime(path, (time.time() - 3600,) * 2)
    keeper = keep(tmp_path, PrivacyConfig())
    keeper.round(time.time_ns() // 1_000_000, 0.0)
    assert not orphan.exists()
    assert not aside.exists()
    assert keeper.counters.orphans == 1
    assert (tmp_path / kept.images.plate).exists()


def test_it_runs_beside_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(housekeeping, "INTERVAL_S", 0.01)
    slowest = 0.0
    with EventStore(tmp_path, StoreConfig()) as store, caplog.at_level(logging.INFO):
        with keep(tmp_path, PrivacyConfig(forget_after_min=0.002)) as keeper:
            for number in range(300):
                begin = time.perf_counter()
                store.append(make_event(number, match=HIT if number % 10 == 0 else None))
                slowest = max(slowest, time.perf_counter() - begin)
            deadline = time.monotonic() + 10
            while keeper.counters.passages < 270 and time.monotonic() < deadline:
                time.sleep(0.02)
        assert [e.track_id for e in store.after(0, 1000)] == list(range(0, 300, 10))
    assert keeper.counters.failures == 0
    assert slowest < 2.0
    assert "forgotten" in caplog.text
    assert "B0007" not in caplog.text, "no plate in the log"


def test_a_store_that_cannot_be_tidied_is_told_once_and_the_drive_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(housekeeping, "INTERVAL_S", 0.01)
    (tmp_path / "events.sqlite3").mkdir()
    with keep(tmp_path, PrivacyConfig()) as keeper:
        deadline = time.monotonic() + 10
        while keeper.counters.failures < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len([r for r in caplog.records if "tried again" in r.message]) == 1


def test_the_limits_come_from_the_configuration():
    assert rules_of(StoreConfig(), PrivacyConfig()) == Rules(15 * MINUTE_MS, 30 * DAY_MS, 2e9)
