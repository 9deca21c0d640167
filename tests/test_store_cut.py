"""Power cuts at any write, and kills at any moment, with pictures, deletions and encryption: nothing told is lost.

EDGE_ALPR_CUTS=500 makes so many of each; without it there are few, to keep the suite quick. Numbers: docs/store.md.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from helpers_powercut import Disk, record
from helpers_sinks import make_event

from edge_alpr.config import PrivacyConfig, StoreConfig
from edge_alpr.privacy import is_hit
from edge_alpr.sinks.housekeeping import Housekeeping
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.types import Match

CUTS = int(os.environ.get("EDGE_ALPR_CUTS", "20"))
QUARTER_S = 15 * 60.0


def config_of(world: Path, encrypt: bool) -> StoreConfig:
    return StoreConfig(path=str(world / "store"), encrypt=encrypt, key_file=str(world / "keys" / "key"))


def picture(number: int, kind: str) -> bytes:
    return f"{kind}{number:06d}".encode() * 150


def drive(world: Path, encrypt: bool, first: int, tell: int, events: int) -> None:
    """Store events with pictures, every third a hit; forget the others now and then. Each thing done is told."""
    config = config_of(world, encrypt)
    with EventStore(world / "store", config) as store:
        keeper = Housekeeping(world / "store", config, PrivacyConfig())
        for number in range(first, first + events):
            match = Match("stolen", "X", "exact") if number % 3 == 0 else None
            os.write(tell, f"try {number}\n".encode())
            event = store.append(make_event(number, match=match), Pictures(picture(number, "p"), picture(number, "f")))
            os.write(tell, f"stored {number} {event.seq}\n".encode())
            if number % 10 == 9:
                os.write(tell, f"forget {event.seq}\n".encode())
                begin = 2 * (1 + (number - first) // 10)
                for quarter in (begin, begin + 1):
                    keeper.round(time.time_ns() // 1_000_000, quarter * QUARTER_S)
                os.write(tell, f"forgotten {event.seq}\n".encode())


def check(world: Path, encrypt: bool, told: bytes, cuts: int = 1) -> int:
    """Open what is left after so many cuts and hold it against what was told; how many events are there."""
    tried, stored, begun, done = [], {}, 0, 0
    for line in told.decode().splitlines():
        word, *numbers = line.split()
        if word == "try":
            tried.append(int(numbers[0]))
        elif word == "stored":
            stored[int(numbers[0])] = int(numbers[1])
        elif word == "forget":
            begun = int(numbers[0])
        else:
            done = int(numbers[0])
    folder = world / "store"
    with EventStore(folder, config_of(world, encrypt)) as store:
        assert store.recovered.stores == 0
        there = store.after(0, 1_000_000)
        assert store.counters.unreadable == 0
        numbers = [event.track_id for event in there]
        assert len(set(numbers)) == len(numbers), "none twice"
        assert set(numbers) <= set(tried)
        assert sum(number not in stored for number in numbers) <= cuts, "at most the one at hand was not told"
        by_number = {event.track_id: event for event in there}
        for number, seq in stored.items():
            if number % 3 == 0 or seq > begun:
                event = by_number[number]
                assert (event.seq, is_hit(event)) == (seq, number % 3 == 0)
                for name, kind in ((event.images.plate, "p"), (event.images.frame, "f")):
                    assert store._vault.picture(folder, name) == picture(number, kind), name
            elif seq <= done:
                assert number not in by_number, "what was forgotten does not come back"
                assert not list(folder.glob(f"pictures/*/{make_event(number).uuid}*"))
        last = store.append(make_event(999_999)).seq
        assert last > max(stored.values(), default=0)
    with closing(sqlite3.connect(folder / "events.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return len(there)


DRIVE = """
import os, sys
from pathlib import Path
from test_store_cut import drive
world, encrypt = Path(sys.argv[1]), sys.argv[2] == "True"
tell = os.open(world / "ack", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for part in range(3):
    drive(world, encrypt, 20 * part, tell, 20)
"""


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
def test_a_power_cut_at_any_write_loses_nothing_that_was_told(tmp_path: Path, encrypt: bool) -> None:
    notes = record(tmp_path / "world", DRIVE, tmp_path / "world", encrypt)
    randomly = random.Random(7)
    cuts = sorted(randomly.randint(1, len(notes)) for _ in range(CUTS))
    disk, done, most = Disk(), 0, 0
    for cut in [*cuts, len(notes)]:
        for note in notes[done:cut]:
            disk.apply(note)
        done = cut
        left = tmp_path / "left"
        disk.crash(randomly, left)
        most = max(most, check(left, encrypt, disk.acknowledged))
        shutil.rmtree(left)
    assert most >= 20, "the hits of all three drives"


def test_a_power_cut_while_the_store_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    code = DRIVE.replace("range(3)", "range(1)").replace("tell, 20", "tell, 0")
    notes, disk, randomly = record(tmp_path / "world", code, tmp_path / "world", False), Disk(), random.Random(1)
    for number, note in enumerate(notes):
        disk.apply(note)
        if number % 2 or CUTS >= 500:
            disk.crash(randomly, tmp_path / str(number))
            check(tmp_path / str(number), False, b"")
    assert len(notes) > 20


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
def test_a_kill_at_any_moment_loses_nothing_that_was_told(tmp_path: Path, encrypt: bool) -> None:
    randomly, told = random.Random(3), b""
    EventStore(tmp_path / "store", config_of(tmp_path, encrypt)).close()
    for turn in range(CUTS):
        told += _killed(tmp_path, encrypt, 1000 * turn, randomly.uniform(0.0, 0.15))
        if turn % 10 == 9 or turn == CUTS - 1:
            check(tmp_path, encrypt, told, 1 + turn % 10)
            told = b""
            shutil.rmtree(tmp_path / "store")


def _killed(world: Path, encrypt: bool, first: int, after_s: float) -> bytes:
    """A drive of its own process, killed so long after its first event; what it told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            drive(world, encrypt, first, writing, 10_000)
        finally:
            os._exit(1)
    os.close(writing)
    told = b""
    select.select([reading], [], [], 60)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while part := os.read(reading, 1 << 16):
        told += part
    os.close(reading)
    return told[: told.rfind(b"\n") + 1]
