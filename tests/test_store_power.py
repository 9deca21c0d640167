"""The plug is pulled during a repair. At any other write: test_store_cut.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers_sinks import make_event

from edge_alpr.config import StoreConfig
from edge_alpr.sinks.store import EventStore
from edge_alpr.types import Event

CONFIG = StoreConfig()


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
