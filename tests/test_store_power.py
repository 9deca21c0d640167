"""The plug is pulled: what was acknowledged is there afterwards."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from helpers_sinks import make_event, start_child

from edge_alpr.config import StoreConfig
from edge_alpr.sinks.store import EventStore
from edge_alpr.types import Event

CONFIG = StoreConfig()
ROUNDS = 4

APPEND = """
import itertools, os, sys
from pathlib import Path
from helpers_sinks import make_event
from edge_alpr.config import StoreConfig
from edge_alpr.sinks.store import EventStore, Pictures
store = EventStore(Path(sys.argv[1]), StoreConfig())
for number in itertools.count(int(sys.argv[2])):
    data = str(number).encode() * 2000
    event = store.append(make_event(number), Pictures(data, data))
    os.write(1, f"{event.uuid} {event.seq} {number}\\n".encode())
"""


def test_every_acknowledged_event_survives_a_kill(tmp_path: Path) -> None:
    acknowledged: list[list[str]] = []
    randomly = random.Random(2)
    for turn in range(ROUNDS):
        with start_child(APPEND, tmp_path, 100_000 * turn) as child:
            assert child.stdout is not None
            for _ in range(randomly.randint(5, 40)):
                acknowledged.append(child.stdout.readline().split())
            child.send_signal(signal.SIGKILL)
            acknowledged += [line.split() for line in child.stdout if line.endswith("\n")]
    with EventStore(tmp_path, CONFIG) as store:
        stored = store.after(0, 1_000_000)
        assert store.recovered.stores == 0
    by_uuid = {e.uuid: e for e in stored}
    assert len(acknowledged) > 5 * ROUNDS
    for uuid, seq, number in acknowledged:
        event = by_uuid[uuid]
        assert event.seq == int(seq)
        assert (tmp_path / event.images.plate).read_bytes() == number.encode() * 2000
        assert (tmp_path / event.images.frame).read_bytes() == number.encode() * 2000
    seqs = [e.seq for e in stored]
    assert seqs == sorted(set(seqs))
    assert len(stored) <= len(acknowledged) + ROUNDS, "at most one a round was stored and not yet acknowledged"


class PowerCutError(BaseException):
    """The plug."""


def test_a_power_cut_at_any_moment_of_the_repair_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repaired = 0
    for moment in range(1, 100):
        folder = tmp_path / str(moment)
        events = damaged_store(folder)
        cut_off = open_until(moment, folder, monkeypatch)
        with EventStore(folder, CONFIG) as store:
            assert store.after(0) == events, moment
            repaired += store.recovered.events
        assert [f.read_bytes() for f in folder.glob("events.sqlite3.corrupt-*-wal")] == [b"kept"]
        assert not list(folder.glob("events.sqlite3.salvaged-*"))
        with EventStore(folder, CONFIG) as store:
            assert store.recovered.stores == 0
        if not cut_off:
            break
    assert 6 < moment < 99
    assert repaired > 20 * 4, "a repair that the next opening completes is told of as well"


def damaged_store(folder: Path) -> list[Event]:
    with EventStore(folder, CONFIG) as store:
        events = [store.append(make_event(number)) for number in range(20)]
    file = folder / "events.sqlite3"
    file.write_bytes(b"\0" * 100 + file.read_bytes()[100:])
    (folder / "events.sqlite3-wal").write_bytes(b"kept")
    return events


def open_until(moment: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Open a store and pull the plug before its n-th change of a name or the n-th wait for the disk."""
    left = moment

    def cut() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise PowerCutError

    with monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            real = getattr(owner, name)
            patch.setattr(owner, name, lambda *a, real=real, **k: (cut(), real(*a, **k))[1])
        try:
            EventStore(folder, CONFIG).close()
        except PowerCutError:
            return True
    return False
