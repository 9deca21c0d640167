"""Hard examples: which are kept, how many, sealed how, and what a power cut, a wrong key or a full disk does."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from helpers_sinks import make_event, one_line, remount, small_disk, start_child
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.config import Config, LearningConfig, SourceConfig, StoreConfig
from edge_alpr.drive import Drive, Screen
from edge_alpr.errors import KeyFileError, LabelError, SealError, WrongKeyError
from edge_alpr.ops.examples import Example, Examples, name_of
from edge_alpr.ops.hard import Ending, Entry, Quota, Thresholds, choose_deletions, hardness, why_hard
from edge_alpr.ops.keeper import Keeper
from edge_alpr.sinks.sealing import open_key, open_or_make_key, seal, unseal
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.stages.keep import patch, patch_quad
from edge_alpr.types import Candidate, Detection

pytest.importorskip("cryptography", reason="hard examples take the extra `learn`")

NOW_MS = time.time_ns() // 1_000_000
PATCH = np.tile(np.arange(200, dtype=np.uint8), (60, 1))
WIDE = Quota(1000, 1 << 30, 30.0)
LIMITS = Thresholds(possible=0.5, confirm=0.85, agreement=0.6)


def png(picture: np.ndarray = PATCH) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def example(number: int = 1, **changes) -> Example:
    base = Example(
        uuid=f"0193e5a0-0000-7000-8000-{number:012d}",
        epoch_ms=NOW_MS - 1000 * number,
        camera_id="camera0",
        reasons=("withdrawn",),
        hardness=4500,
        state="withdrawn",
        plate="B123XYZ",
        score=0.6,
        agreement=0.5,
        reads=4,
        candidates=(Candidate("B123XYZ", 0.6), Candidate("B128XYZ", 0.3)),
        quad=((20.0, 15.0), (170.0, 15.0), (170.0, 45.0), (20.0, 45.0)),
        picture=png(),
        models={"detector": "onnxruntime-cpu:1f3a", "reader": "onnxruntime-cpu:77b0"},
    )
    return msgspec.structs.replace(base, **changes)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.example"))


# what is hard

GOOD = Ending("confirmed", "B123XYZ", 0.99, 12, 0.9, 120.0, 2.0, False)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, ()),
        ({"agreement": 0.4}, ("disagreeing",)),
        ({"agreement": 0.4, "reads": 2}, ()),
        ({"agreement": 0.4, "width_px": 20.0}, ()),
        ({"state": "withdrawn"}, ("withdrawn",)),
        ({"state": None, "score": 0.6}, ("unsure", "unread")),
        ({"state": "withdrawn", "score": 0.6, "agreement": 0.3}, ("withdrawn", "disagreeing", "unsure")),
        ({"state": None, "score": 0.2}, ("unread",)),
        ({"state": None, "score": 0.2, "seconds": 0.1}, ()),
        ({"state": None, "score": 0.2, "clipped": True}, ()),
        ({"state": None, "score": 0.95}, ()),  # the same vehicle again: told under its first track
    ],
)
def test_why_a_track_is_hard(changes: dict, reasons: tuple[str, ...]):
    assert why_hard(replace(GOOD, **changes), LIMITS) == reasons


def test_a_weightier_reason_counts_more_than_any_doubt():
    order = [hardness((r,), s, 1.0) for r in ("unread", "unsure", "disagreeing", "withdrawn") for s in (1.0, 0.0)]
    assert order == sorted(order)
    assert hardness(("corrected",), 1.0, 1.0) > order[-1]


entries = st.lists(
    st.builds(
        Entry,
        uuid=st.uuids().map(str),
        hardness=st.integers(0, 9999),
        epoch_ms=st.integers(NOW_MS - 60 * 86_400_000, NOW_MS + 1000),
        size=st.integers(1, 5_000),
    ),
    max_size=40,
    unique_by=lambda entry: entry.uuid,
)
quotas = st.builds(Quota, count=st.integers(1, 30), size=st.integers(1, 60_000), days=st.floats(0.01, 90))


@given(entries, quotas)
def test_what_is_left_keeps_the_limits_and_nothing_goes_needlessly(kept: list[Entry], quota: Quota):
    gone = choose_deletions(kept, quota, NOW_MS)
    left = [entry for entry in kept if entry not in gone]
    young = [entry for entry in gone if entry.epoch_ms >= NOW_MS - quota.days * 86_400_000]
    assert len(left) <= quota.count
    assert sum(entry.size for entry in left) <= quota.size
    assert all(entry.epoch_ms >= NOW_MS - quota.days * 86_400_000 for entry in left)
    assert len(set(gone)) == len(gone)
    if young:  # the last one given up was one too many
        back = [*left, young[-1]]
        assert len(back) > quota.count or sum(entry.size for entry in back) > quota.size
        worth = [(entry.hardness, entry.epoch_ms) for entry in young]
        assert all(max(worth) <= (entry.hardness, entry.epoch_ms) for entry in left)


# sealed files

def test_an_example_comes_back_whole_and_nothing_of_it_is_readable_on_disk(tmp_path: Path):
    key = open_or_make_key(tmp_path / "keys" / "key")
    kept = Examples(tmp_path / "examples", WIDE)
    assert kept.add(example(), key)
    assert list(kept.readable(open_key(tmp_path / "keys" / "key"))) == [example()]
    (file,) = files(kept.folder)
    assert b"B123XYZ" not in file.read_bytes()
    assert b"PNG" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "key").stat().st_mode) == 0o600


def test_two_files_of_one_content_share_nothing(tmp_path: Path):
    key = open_or_make_key(tmp_path / "key")
    one, two = seal(key, "a", b"x" * 64), seal(key, "a", b"x" * 64)
    assert one[16:] != two[16:]
    assert unseal(key, "a", one) == unseal(key, "a", two)


@given(data=st.data())
def test_a_file_changed_anywhere_or_cut_anywhere_does_not_open(tmp_path_factory, data: st.DataObject):
    folder = tmp_path_factory.getbasetemp()
    key = open_or_make_key(folder / "the-key")
    sealed = seal(key, "name", b"B123XYZ" * 5)
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = sealed[:at] + bytes([sealed[at] ^ (1 << data.draw(st.integers(0, 7)))]) + sealed[at + 1 :]
    for bad in (flipped, sealed[:at]):
        with pytest.raises(SealError):
            unseal(key, "name", bad)
    with pytest.raises(SealError):
        unseal(key, "name2", sealed)


def test_bad_files_are_passed_over_and_counted(tmp_path: Path):
    key, other = open_or_make_key(tmp_path / "key"), open_or_make_key(tmp_path / "other")
    kept = Examples(tmp_path / "examples", WIDE)
    for number in range(1, 6):
        assert kept.add(example(number), other if number == 5 else key)
    by_number = {int(path.name[-10:-8]): path for path in files(kept.folder)}
    torn, tampered, renamed = by_number[1], by_number[2], by_number[3]
    torn.write_bytes(torn.read_bytes()[:100])
    changed = bytearray(tampered.read_bytes())
    changed[-1] ^= 1
    tampered.write_bytes(changed)
    renamed.rename(renamed.with_name("9" + renamed.name[1:]))  # would be shown first
    (kept.folder / "4500-1700000000000-mine.example").write_text("a foreign file")
    (kept.folder / "holiday.jpg").write_text("not even named so")
    (kept.folder / "4500-1700000000001-large.example").touch()
    os.truncate(kept.folder / "4500-1700000000001-large.example", 9 << 20)
    assert list(kept.readable(key)) == [example(4)]
    assert (kept.counters.damaged, kept.counters.other_key) == (5, 1)


def test_a_wrong_key_is_told_from_damage(tmp_path: Path):
    sealed = seal(open_or_make_key(tmp_path / "key"), "name", b"content")
    with pytest.raises(WrongKeyError) as caught:
        unseal(open_or_make_key(tmp_path / "other"), "name", sealed)
    assert "learning.key_file" in one_line(caught.value)


def test_a_key_open_to_others_damaged_or_missing_is_refused(tmp_path: Path):
    open_or_make_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    (tmp_path / "short").write_text("abc")
    (tmp_path / "short").chmod(0o600)
    for name, word in (("key", "chmod 600"), ("short", "64 hexadecimal"), ("none", "restore")):
        with pytest.raises(KeyFileError) as caught:
            open_key(tmp_path / name)
        assert word in one_line(caught.value)
    assert open_or_make_key(tmp_path / "new").id == open_or_make_key(tmp_path / "new").id


RACE = """
import sys
from pathlib import Path
from edge_alpr.sinks.sealing import open_or_make_key
sys.stdin.read(1)
print(open_or_make_key(Path(sys.argv[1])).id.hex())
"""


def test_processes_that_make_the_key_at_once_agree_on_one(tmp_path: Path):
    racers = [start_child(RACE, tmp_path / "key") for _ in range(4)]
    assert len({racer.communicate("x")[0] for racer in racers}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


# bounded

def test_the_folder_stays_within_its_limits_and_the_hardest_stay(tmp_path: Path):
    key = open_or_make_key(tmp_path / "key")
    kept = Examples(tmp_path / "examples", Quota(5, 1 << 30, 30.0))
    for number in range(1, 21):
        kept.add(example(number, hardness=100 * (number * 7 % 20)), key)
        assert len(files(kept.folder)) <= 5
    assert [entry.hardness for entry in kept.entries()] == [1900, 1800, 1700, 1600, 1500]
    assert kept.counters.dropped == 15


def test_old_ones_expire_also_when_the_leave_is_taken_back(tmp_path: Path):
    key = open_or_make_key(tmp_path / "key")
    Examples(tmp_path / "examples", Quota(5, 1 << 30, 1e6)).add(example(1, epoch_ms=NOW_MS - 86_400_000 * 31), key)
    Keeper(config_at(tmp_path, keep_hard_examples=False), {})
    assert files(tmp_path / "examples") == []


def test_a_later_state_of_an_event_takes_the_place_of_the_earlier(tmp_path: Path):
    key = open_or_make_key(tmp_path / "key")
    kept = Examples(tmp_path / "examples", WIDE)
    kept.add(example(1), key)
    kept.add(example(1, hardness=9999, correction="B128XYZ"), key)
    assert [found.correction for found in kept.readable(key)] == ["B128XYZ"]


def test_a_half_written_file_is_cleared_later(tmp_path: Path):
    kept = Examples(tmp_path, WIDE)
    (tmp_path / ".123.part").write_bytes(b"half")
    kept.tidy()
    assert (tmp_path / ".123.part").exists()  # its writer may be alive
    os.utime(tmp_path / ".123.part", (1, 1))
    kept.tidy()
    assert list(tmp_path.iterdir()) == []


# the power goes, the disk fills up

CRASHING = """
import os, random, signal, sys, time
from pathlib import Path
import msgspec
from edge_alpr.ops.examples import Example, Examples
from edge_alpr.ops.hard import Quota
from edge_alpr.sinks.sealing import open_or_make_key
from test_hard_examples import NOW_MS, example, png
import numpy as np

folder, times = Path(sys.argv[1]), int(sys.argv[2])
key = open_or_make_key(folder / "key")
noise = np.random.default_rng(1).integers(0, 255, (200, 640), np.uint8)
picture = png(noise)
chance = random.Random(5)
for round in range(times):
    child = os.fork()
    if not child:
        kept = Examples(folder / "examples", Quota(30, 1 << 30, 30.0))
        for number in range(100_000):
            kept.add(example(round * 100_000 + number, hardness=number % 9999, picture=picture, epoch_ms=NOW_MS), key)
    time.sleep(chance.uniform(0.002, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kept = Examples(folder / "examples", Quota(30, 1 << 30, 30.0))
    read = list(kept.readable(key))
    whole = all(found.picture == picture for found in read)
    parts = len(list((folder / "examples").glob(".*.part")))
    print(len(read), len(kept.entries()), kept.counters.damaged, whole, parts)
"""


def test_killed_while_writing_nothing_unreadable_is_left_as_an_example(tmp_path: Path):
    child = start_child(CRASHING, tmp_path, 60)
    out, err = child.communicate(timeout=120)
    rounds = [line.split() for line in out.splitlines()]
    assert len(rounds) == 60, err
    for read, listed, damaged, whole, _ in rounds:
        assert (damaged, whole) == ("0", "True")
        assert read == listed
        assert int(read) <= 30
    assert int(rounds[-1][0]) > 0
    assert int(rounds[-1][4]) > 0, "no kill hit a write; the test shows nothing"


def config_at(folder: Path, **learning) -> Config:
    settings = {"keep_hard_examples": True, "folder": str(folder / "examples"), "key_file": str(folder / "key")}
    return Config(
        store=StoreConfig(path=str(folder / "store")), learning=LearningConfig(**{**settings, **learning})
    )


def test_a_full_disk_costs_examples_and_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    key = open_or_make_key(tmp_path / "key")
    noise = png(np.random.default_rng(1).integers(0, 255, (300, 640), np.uint8))
    with small_disk(tmp_path / "disk", 1024) as disk:
        kept = Examples(disk / "examples", WIDE)
        written = [kept.add(example(number, picture=noise), key) for number in range(12)]
        assert True in written
        assert False in written
        assert kept.counters.lost == written.count(False)
        assert len(list(kept.readable(key))) == written.count(True)
        assert kept.counters.damaged == 0
        assert list(kept.folder.glob(".*")) == []
        remount(disk, "ro")
        assert not kept.add(example(50), key)
    assert len([r for r in caplog.records if "the drive goes on" in r.message]) == 1


def drive(config: Config) -> Drive:
    """The sample drive's first frames."""
    settings = msgspec.structs.replace(config, source=SourceConfig(uri="sample://drive"))
    done = Drive(settings, Screen(progress=lambda frames: done.stop() if frames == 120 else None))
    done.run()
    return done


# the whole way

def test_by_default_a_drive_keeps_nothing(tmp_path: Path):
    drive(config_at(tmp_path, keep_hard_examples=False, low_agreement=1.0))
    assert not (tmp_path / "examples").exists()
    assert not (tmp_path / "key").exists()


def test_a_drive_keeps_its_hard_examples(tmp_path: Path):
    done = drive(config_at(tmp_path, low_agreement=1.0))  # the sample drive is easy: call any dissent hard
    assert done.summary.confirmed > 0
    assert done.summary.examples_kept > 0
    assert done.summary.examples_lost == 0
    kept = list(Examples(tmp_path / "examples", WIDE).readable(open_key(tmp_path / "key")))
    assert len(kept) == done.summary.examples_kept
    for found in kept:
        picture = cv2.imdecode(np.frombuffer(found.picture, np.uint8), cv2.IMREAD_GRAYSCALE)
        quad = np.array(found.quad)
        assert (quad.mean(axis=0) > 0).all()  # a corner may be beyond the frame's edge
        assert (quad.mean(axis=0) < picture.shape[::-1]).all()
        assert set(found.models) == {"detector", "reader"}
        assert found.reasons


@pytest.mark.parametrize("trouble", ["a file where the folder is", "key is damaged", "key cannot be made"])
def test_a_drive_goes_on_where_examples_cannot_be_kept(trouble: str, tmp_path: Path):
    if trouble.startswith("a file"):
        (tmp_path / "examples").write_text("mine")
    if trouble.endswith("damaged"):
        (tmp_path / "key").write_text("?")
    if trouble.endswith("made"):
        (tmp_path / "folder").write_text("mine")
    key_file = str(tmp_path / "folder" / "key") if trouble.endswith("made") else str(tmp_path / "key")
    done = drive(config_at(tmp_path, low_agreement=1.0, key_file=key_file))
    assert done.summary.confirmed > 0
    assert done.summary.examples_lost > 0


@pytest.mark.parametrize("x", [5.0, 300.0, 1150.0])
def test_the_quad_lies_in_the_patch_where_it_lay_in_the_frame(x: float):
    frame = np.zeros((720, 1280), np.uint8)
    for width in (60, 700):
        quad = np.array([[x, 300], [x + width, 310], [x + width, 340], [x, 330]], np.float32)
        image = frame.copy()
        cv2.fillConvexPoly(image, np.round(quad).astype(np.int32), 255)
        cut = patch(image, Detection(quad, 1.0))
        drawn = np.zeros_like(cut)
        moved = patch_quad(quad, 1280, 720)
        cv2.fillConvexPoly(drawn, np.round(moved).astype(np.int32), 255)
        union = ((drawn > 0) | (cut > 127)).sum()
        assert ((drawn > 0) & (cut > 127)).sum() / union > 0.9


# corrected by the driver

def test_the_driver_corrects_a_stored_event(tmp_path: Path):
    config = config_at(tmp_path)
    with EventStore(tmp_path / "store", config.store) as store:
        store.append(make_event(1), Pictures(png(), b""))
        store.append(make_event(2, state="possible"))
        keeper = Keeper(config, {})  # while the store is in use
        marked = keeper.mark_wrong(make_event(1).uuid, "b 128-xyz")
        with pytest.raises(LabelError, match="no picture"):
            keeper.mark_wrong(make_event(2).uuid)
    assert (marked.correction, marked.reasons, marked.plate) == ("B128XYZ", ("corrected",), "B0001XO")
    (found,) = Examples(tmp_path / "examples", WIDE).readable(open_key(tmp_path / "key"))
    assert found == marked
    again = Keeper(config, {}).mark_wrong(make_event(1).uuid, None)
    assert again.correction == ""
    assert len(files(tmp_path / "examples")) == 1


def test_what_cannot_be_corrected_is_told_in_one_line(tmp_path: Path):
    keeper = Keeper(config_at(tmp_path), {})
    for uuid, text in (("none", None), ("none", "ÄÖ!")):
        with pytest.raises(LabelError) as caught:
            keeper.mark_wrong(uuid, text)
        one_line(caught.value)
    with pytest.raises(LabelError, match=r"learning\.keep_hard_examples"):
        Keeper(config_at(tmp_path, keep_hard_examples=False), {}).mark_wrong("none", None)


def test_names_read_back():
    entry = Entry("0193e5a0-0000-7000-8000-000000000001", 42, 1700000000000, 9)
    assert name_of(entry) == "0042-1700000000000-0193e5a0-0000-7000-8000-000000000001.example"


