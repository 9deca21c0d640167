"""The watch on drift: simulated years of driving, and the file and the doctor's line that come of real counts."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_alpr.app import make_pipeline, open_models
from edge_alpr.camera import open_source
from edge_alpr.config import Config, LearningConfig, StoreConfig
from edge_alpr.doctor import examine
from edge_alpr.doctor.examine import Probe
from edge_alpr.doctor.learning import drift as probe
from edge_alpr.ops import ledger
from edge_alpr.ops.background import Background, Job
from edge_alpr.ops.drift import (
    MOST_SHAPES,
    MOST_WEEKS,
    Ledger,
    Week,
    count_shape,
    judge,
    shape_of,
    trimmed,
    week_of,
)
from edge_alpr.ops.hard import Ending
from edge_alpr.ops.learning import Learning
from edge_alpr.ops.watch import DriftWatch

WEEK_MS = 7 * 86_400_000
FIRST_WEEK = 2900
GOOD = Ending("confirmed", "B123XYZ", 0.98, 12, 0.9, 120.0, 2.0, False)


def now(week: int) -> int:
    """A moment in a week, as `judge` takes it."""
    return (week * 7 - 3) * 86_400_000 + 3_600_000


@dataclass(frozen=True)
class Road:
    """What a week of driving is drawn from. Weather moves the shares of whole weeks by `wobble`."""

    unread: float = 0.12
    withdrawn: float = 0.05
    agreement: float = 0.85
    score: float = 0.97
    unseen: float = 0.002
    wobble: float = 0.02
    track_of_vehicle: float = 1.5
    """Tracks that one vehicle makes, which go all alike."""


def drawn(road: Road, tracks: int, dice: np.random.Generator) -> Week:
    """A week with about so many tracks."""
    weather = dice.normal(0, road.wobble)
    vehicles = max(1, round(dice.poisson(tracks) / road.track_of_vehicle))
    each = 1 + dice.poisson(road.track_of_vehicle - 1, vehicles)
    total = int(each.sum())

    def hits(share: float, size: np.ndarray) -> int:
        return int(size[dice.random(len(size)) < min(max(share, 0.0), 1.0)].sum())

    unread = hits(road.unread + weather, each)
    confirmed = total - unread
    heard = max(1, round(confirmed * 1.1))
    agreement = np.clip(dice.normal(road.agreement - weather / 2, 0.15, total), 0, 1)
    score = np.clip(dice.normal(road.score - abs(weather) / 5, 0.03, confirmed), 0, 1)
    unseen = min(confirmed, hits(road.unseen, each))
    counts = dice.multinomial(confirmed - unseen, [0.6, 0.3, 0.1])
    shapes = dict(zip(("LDDLLL", "LLDDLLL", "LDDDLLL"), counts, strict=True))
    for number in dice.integers(0, 8, unseen):
        count_shape(shapes, f"D{'L' * (number + 1)}")
    shapes = {shape: int(count) for shape, count in shapes.items() if count}
    return Week(
        tracks=total, unread=unread, heard=heard, withdrawn=min(heard, hits(road.withdrawn + weather / 4, each)),
        agreeing=total, agreement=float(agreement.sum()), agreement2=float((agreement**2).sum()),
        confirmed=confirmed, score=float(score.sum()), score2=float((score**2).sum()), shapes=shapes,
    )  # fmt: skip


def alarms(roads: Callable[[int], Road], weeks: int, tracks: int, seed: int) -> list[tuple[int, tuple[str, ...]]]:
    """The weeks (from 0) after which the doctor says attention, and why; it is asked as each week ends."""
    dice = np.random.default_rng(seed)
    book, told = Ledger(weeks={}), []
    for number in range(weeks):
        book.weeks[FIRST_WEEK + number] = drawn(roads(number), tracks, dice)
        said = judge(book, now(FIRST_WEEK + number + 1))
        if said.verdict == "attention":
            told.append((number, said.reasons))
    return told


@pytest.mark.parametrize("tracks", [80, 300, 3000])
def test_on_a_road_that_stays_a_false_alarm_comes_in_less_than_one_year_of_a_hundred(tracks: int):
    years = 80  # 2000 years of each gave 1 with an alarm
    wrong = [seed for seed in range(years) if alarms(lambda week: Road(), 56, tracks, seed)]
    assert len(wrong) <= 1, f"{len(wrong)} of {years} years"


CHANGES = {
    "a dirty lens": replace(Road(), unread=0.40, agreement=0.70, score=0.93),
    "a new plate format that is read well": replace(Road(), unseen=0.15),
    "a new plate format that is not read": replace(Road(), unread=0.40),
    "reads that contradict each other": replace(Road(), agreement=0.70),
    "events taken back": replace(Road(), withdrawn=0.20),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("tracks", [300, 1000])
def test_a_change_is_told_within_two_weeks(name: str, tracks: int):
    late = 0
    for seed in range(30):
        told = alarms(lambda week: CHANGES[name] if week >= 10 else Road(), 12, tracks, seed)
        late += not any(10 <= week <= 11 for week, _ in told)
    assert late <= 1, f"{late} of 30 not told within two weeks"


def test_it_says_what_got_worse():
    said = alarms(lambda week: CHANGES["a dirty lens"] if week >= 10 else Road(), 12, 500, 1)[-1][1]
    assert any("unreadable plates: " in reason and "before" in reason for reason in said)
    said = alarms(lambda week: CHANGES["a new plate format that is read well"] if week >= 10 else Road(), 12, 500, 1)
    assert all(reasons[0].startswith("unseen plate formats") for _, reasons in said)


def test_when_the_lens_is_clean_again_it_is_ok_again():
    told = alarms(lambda week: CHANGES["a dirty lens"] if week == 10 else Road(), 14, 500, 2)
    assert {week for week, _ in told} <= {10, 11}
    assert told


def test_getting_better_is_no_alarm():
    better = replace(Road(), unread=0.01, agreement=0.99, score=0.999, withdrawn=0.0)
    assert alarms(lambda week: better if week >= 10 else replace(Road(), unread=0.4), 20, 500, 3) == []


def test_little_driving_gives_no_verdict():
    dice = np.random.default_rng(1)
    book = Ledger(weeks={FIRST_WEEK + n: drawn(Road(), 20, dice) for n in range(6)})
    said = judge(book, now(FIRST_WEEK + 6))
    assert said.verdict == "not enough data yet"
    assert judge(Ledger(weeks={}), now(FIRST_WEEK)).verdict == "not enough data yet"
    book = Ledger(weeks={FIRST_WEEK + n: drawn(Road(), 200, dice) for n in range(4)})
    assert "a later week" in judge(book, now(FIRST_WEEK + 4)).reasons[0]


def test_the_week_under_way_is_not_judged():
    dice = np.random.default_rng(1)
    book = Ledger(weeks={FIRST_WEEK + n: drawn(Road(), 500, dice) for n in range(8)})
    book.weeks[FIRST_WEEK + 8] = drawn(CHANGES["a dirty lens"], 500, dice)
    assert judge(book, now(FIRST_WEEK + 8)).verdict == "ok"
    assert judge(book, now(FIRST_WEEK + 9)).verdict == "attention"


def test_weeks_begin_on_monday():
    monday = 1_767_571_200_000  # 2026-01-05 00:00 UTC
    assert week_of(monday) == week_of(monday + WEEK_MS - 1) == week_of(monday - 1) + 1
    assert week_of(now(FIRST_WEEK)) == FIRST_WEEK


def test_shapes_are_all_that_is_kept_of_a_text_and_they_are_bounded():
    assert shape_of("B123XYZ") == "LDDDLLL"
    assert len(shape_of("A" * 40)) <= 12
    shapes: dict[str, int] = {}
    for number in range(500):
        count_shape(shapes, f"shape {number}")
    assert len(shapes) == MOST_SHAPES + 1
    assert sum(shapes.values()) == 500


def test_the_ledger_is_bounded_and_keeps_its_reference():
    dice = np.random.default_rng(1)
    book = trimmed(Ledger(weeks={FIRST_WEEK + n: drawn(Road(), 200, dice) for n in range(300)}))
    assert len(book.weeks) == MOST_WEEKS + 4
    assert set(range(FIRST_WEEK, FIRST_WEEK + 4)) <= set(book.weeks)
    assert len(msgspec.json.encode(book)) < 30_000


# the file

MODELS = {"detector": "onnxruntime-cpu:1f3a", "reader": "onnxruntime-cpu:77b0"}


def config_at(folder: Path, **learning) -> Config:
    return Config(store=StoreConfig(path=str(folder)), learning=LearningConfig(**learning))


class AtOnce(Background):
    """Does each job before it goes on, so that a test sees what was written."""

    def do(self, job: Job) -> bool:
        job()
        return True


def failed(error: Exception) -> None:
    raise error


def watching(config: Config, models: dict[str, str] = MODELS) -> DriftWatch:
    return DriftWatch(config, models, AtOnce(failed))


def line(config: Config) -> tuple[str, str, str]:
    (finding,) = examine(config, [Probe("models fit the road", probe)])
    return finding.status, finding.what, finding.remedy


def watched(folder: Path, weeks: int, ending: Callable[[int, random.Random], Ending]) -> Config:
    """Weeks of tracks through the real watch, the last one a week ago."""
    config, dice = config_at(folder), random.Random(1)
    watch = watching(config)
    today = time.time_ns() // 1_000_000
    for week in range(weeks):
        for _ in range(150):
            watch.end(ending(week, dice), today - (weeks - week) * WEEK_MS)
    watch.save()
    return config


def usual(week: int, dice: random.Random) -> Ending:
    if dice.random() < 0.1:
        return replace(GOOD, state=None, score=0.3, plate="B12", agreement=0.4)
    digits = "".join(map(str, dice.choices(range(10), k=3)))
    return replace(GOOD, plate=f"{digits}XYZ", agreement=0.8 + 0.2 * dice.random())


def test_the_doctor_is_content_with_usual_weeks(tmp_path: Path):
    status, what, remedy = line(watched(tmp_path, 8, usual))
    assert (status, remedy) == ("ok", "")
    assert "300 tracks" in what


def test_the_doctor_says_what_no_longer_fits_and_what_to_do(tmp_path: Path):
    def foreign(week: int, dice: random.Random) -> Ending:
        ending = usual(week, dice)
        return replace(ending, plate=ending.plate[::-1]) if week >= 7 and dice.random() < 0.5 else ending

    status, what, remedy = line(watched(tmp_path, 8, foreign))
    assert status == "limited"
    assert what.startswith("attention: unseen plate formats: ")
    assert "edge-alpr label" in remedy
    assert str(tmp_path / "drift.json") in remedy


def test_the_doctor_before_the_first_drive_and_where_nobody_watches(tmp_path: Path):
    assert line(config_at(tmp_path))[:2] == ("ok", "not enough data yet: no drive with a live camera was counted")
    assert "not watched" in line(config_at(tmp_path, watch_drift=False))[1]


def test_no_text_is_kept(tmp_path: Path):
    watched(tmp_path, 2, lambda week, dice: replace(GOOD, plate="SECRET1"))
    text = (tmp_path / "drift.json").read_text()
    assert "SECRET1" not in text
    assert "LLLLLLD" in text
    assert (tmp_path / "drift.json").stat().st_mode & 0o077 == 0


def test_counts_go_on_over_restarts_and_begin_anew_with_other_models(tmp_path: Path):
    config = config_at(tmp_path)
    for _ in range(2):
        watch = watching(config)
        watch.end(GOOD, now(FIRST_WEEK))
        watch.save()
    gpu = {kind: name.replace("cpu", "gpu") for kind, name in MODELS.items()}
    assert watching(config, gpu).ledger.weeks[FIRST_WEEK].tracks == 2
    assert watching(config, {**MODELS, "reader": "onnxruntime-cpu:beef"}).ledger.weeks == {}


def test_a_clock_that_was_never_set_counts_in_no_week(tmp_path: Path):
    watch = watching(config_at(tmp_path))
    watch.end(GOOD, 1000)
    assert (watch.ledger.undated, watch.ledger.weeks) == (1, {})


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"weeks": 3}', b'{"version": 1, "surprise": true}'])
def test_a_damaged_file_is_begun_anew(content: bytes, tmp_path: Path):
    (tmp_path / "drift.json").write_bytes(content)
    assert line(config_at(tmp_path))[0] == "ok"
    watch = watching(config_at(tmp_path))
    watch.end(GOOD, now(FIRST_WEEK))
    watch.save()
    assert ledger.load(tmp_path / "drift.json") == watch.ledger


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "store").write_text("a file")
    watch = watching(config_at(tmp_path / "store"))
    for _ in range(3):
        watch.end(GOOD, now(FIRST_WEEK))
        watch.save()
    assert sum("cannot be written" in record.message for record in caplog.records) == 1


def test_numbers_stay_finite(tmp_path: Path):
    book = Ledger(weeks={FIRST_WEEK + n: Week(tracks=200, unread=200, shapes={}) for n in range(6)})
    assert judge(book, now(FIRST_WEEK + 6)).verdict == "ok"
    assert not math.isnan(json.loads(msgspec.json.encode(book))["weeks"][str(FIRST_WEEK)]["score"])


# the whole way

def test_a_drive_with_a_camera_is_counted_and_a_recording_is_not(tmp_path: Path):
    config = config_at(tmp_path)
    models = open_models(config)
    for live in (False, True):
        learning, pipeline = Learning(config, models.identities, live), make_pipeline(config, models)
        confirmed = 0
        with open_source(config.source) as source:
            for number, frame in enumerate(source):
                news = pipeline.process(frame)
                learning.take(pipeline.ended, news)
                confirmed += sum(told.event.state == "confirmed" for told in news)
                if number == 70:
                    break
        news = pipeline.finish()
        learning.take(pipeline.ended, news)
        learning.close()
        confirmed += sum(told.event.state == "confirmed" for told in news)
        assert (tmp_path / "drift.json").exists() == live
        assert learning.keeper.files.counters.lost == 0
    book = ledger.load(tmp_path / "drift.json")
    (week,) = book.weeks.values()
    assert confirmed > 0
    assert week.confirmed == sum(week.shapes.values()) == confirmed
    assert week.unread <= 1


def test_a_disk_that_hangs_costs_jobs_and_not_frames():
    gate, done, troubles = threading.Event(), [], []
    background = Background(troubles.append, limit=3)
    assert background.do(gate.wait)
    taken = [background.do(lambda: done.append(1)) for _ in range(10)]
    assert taken.count(True) in (2, 3)  # the first job may have been begun already
    gate.set()
    while not background.do(lambda: 1 / 0):
        time.sleep(0.01)
    background.close()
    background.close()
    assert len(done) == taken.count(True)
    assert [type(error) for error in troubles] == [ZeroDivisionError]
