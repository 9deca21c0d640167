"""Disks and files that fail: one clear line, nothing stored is lost, and the store goes on afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers_sinks import AS_ROOT, make_event, one_line, remount, small_disk, start_child

from edge_alpr.config import StoreConfig
from edge_alpr.errors import StoreError, StoreFullError
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.types import Event, Images

CONFIG = StoreConfig()
PICTURES = Pictures(plate=b"p" * 10_000, frame=b"f" * 30_000)
NOBODY = 65534

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""
OPEN = """
import sys
from pathlib import Path
from edge_alpr.config import StoreConfig
from edge_alpr.sinks.store import EventStore
with EventStore(Path(sys.argv[1]), StoreConfig()):
    print("open", flush=True)
    sys.stdin.read()
"""
FILL = """
import resource, sys
from pathlib import Path
from helpers_sinks import make_event
from edge_alpr.config import StoreConfig
from edge_alpr.errors import StoreError
from edge_alpr.sinks.store import EventStore
store = EventStore(Path(sys.argv[1]), StoreConfig())
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
try:
    for number in range(10_000):
        print(store.append(make_event(number)).uuid, flush=True)
except StoreError as error:
    print(error, file=sys.stderr)
"""


def refused(folder: Path, timeout_s: float = 0.1) -> str:
    with pytest.raises(StoreError) as caught:
        EventStore(folder, CONFIG, timeout_s)
    return one_line(caught.value)


def filled(folder: Path, count: int = 3) -> None:
    with EventStore(folder, CONFIG) as store:
        for number in range(count):
            store.append(make_event(number))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's power to pass over permissions."""
    if not AS_ROOT:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "set store.path to a folder" in refused(tmp_path / "file")
    assert "set store.path to a folder" in refused(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "events.sqlite3").mkdir()
    assert "a folder where a file is needed" in refused(tmp_path)


def test_no_permission_for_the_folder(tmp_path: Path) -> None:
    filled(tmp_path / "store")
    (tmp_path / "store").chmod(0o500)
    with as_nobody():
        assert ("no permission; run as" if AS_ROOT else "the right to write") in refused(tmp_path / "store")
        assert "no permission" in refused(tmp_path / "store" / "below")
    (tmp_path / "store").chmod(0o700)
    with EventStore(tmp_path / "store", CONFIG) as store:
        assert store.count() == 3


def test_no_permission_for_the_file(tmp_path: Path) -> None:
    filled(tmp_path)
    file = tmp_path / "events.sqlite3"
    file.chmod(0o400)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o777)
    (tmp_path / "events.sqlite3.lock").chmod(0o666)
    with as_nobody():
        assert "no permission" in refused(tmp_path)
    file.chmod(0o600)
    with EventStore(tmp_path, CONFIG) as store:
        assert store.count() == 3


def test_a_read_only_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2048) as disk:
        filled(disk / "store")
        remount(disk, "ro")
        assert "read-only; mount the disk writable" in refused(disk / "store")
        assert "read-only" in refused(disk / "new")
        remount(disk, "rw")
        with EventStore(disk / "store", CONFIG) as store:
            assert store.count() == 3


def test_locked_by_a_foreign_process(tmp_path: Path) -> None:
    filled(tmp_path)
    store = EventStore(tmp_path, CONFIG, 0.1)
    with start_child(HOLD, tmp_path / "events.sqlite3") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(StoreError) as caught:
            store.append(make_event(10))
        assert "another process keeps it locked; end that one" in one_line(caught.value)
        store.close()
        assert "another process keeps it locked" in refused(tmp_path)
        child.communicate("")
    with EventStore(tmp_path, CONFIG) as store:
        assert store.append(make_event(10)).seq == 4


def test_a_second_writer_is_refused_by_name_until_the_first_has_gone(tmp_path: Path) -> None:
    with start_child(OPEN, tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        assert f"another edge-alpr (process {child.pid}) uses it" in refused(tmp_path)
        child.kill()
    filled(tmp_path)
    with EventStore(tmp_path, CONFIG):
        assert f"process {os.getpid()}" in refused(tmp_path)


def test_a_disk_that_fills_up_keeps_what_it_has_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4096) as disk, EventStore(disk, CONFIG) as store:
        stored, refusals = [], []
        for number in range(1000):
            try:
                stored.append(store.append(make_event(number), PICTURES))
            except StoreFullError as error:
                refusals.append(one_line(error))
                if len(refusals) == 3:
                    break
        assert "the disk is full; make room" in refusals[0]
        without = [e for e in stored if not e.images.plate]
        assert len(without) > 5, "pictures give way before events do"
        assert store.counters.pictures_lost >= len(without)
        assert store.after(0, 2000) == stored
        for event in stored:
            if event.images.plate:
                assert (disk / event.images.plate).read_bytes() == PICTURES.plate
                assert (disk / event.images.frame).read_bytes() == PICTURES.frame
        named = {name for e in stored for name in (e.images.plate, e.images.frame) if name}
        assert {str(f.relative_to(disk)) for f in disk.glob("pictures/*/*.jpg")} == named
        remount(disk, "size=16m")
        last = store.append(make_event(5000), PICTURES)
        assert last.seq == stored[-1].seq + 1
        assert last.images.plate
        assert store.after(0, 2000) == [*stored, last]


def test_a_nearly_full_disk_takes_events_but_no_pictures(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4096) as disk, EventStore(disk, CONFIG) as store:
        assert store.append(make_event(1), PICTURES).images.plate
        (disk / "filler").write_bytes(bytes((4096 - 400) * 1024 - used(disk)))
        assert store.append(make_event(2), PICTURES).images == Images()
        assert len(list(disk.glob("pictures/*/*.jpg"))) == 2


def used(disk: Path) -> int:
    return (os.statvfs(disk).f_blocks - os.statvfs(disk).f_bfree) * os.statvfs(disk).f_frsize


@pytest.mark.parametrize("error", [StoreFullError("the disk is full"), StoreError("locked")])
def test_pictures_that_leave_no_room_for_their_event_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: StoreError
) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        insert, tries = store._insert, []

        def insert_at_the_second_try(event: Event, size: int) -> Event:
            tries.append(event)
            if len(tries) == 1:
                assert (tmp_path / event.images.plate).is_file()
                raise error
            return insert(event, size)

        monkeypatch.setattr(store, "_insert", insert_at_the_second_try)
        if isinstance(error, StoreFullError):
            assert store.append(make_event(), PICTURES).images == Images()
        else:
            with pytest.raises(StoreError):
                store.append(make_event(), PICTURES)
        assert store.count() == len(tries) - 1
        assert list(tmp_path.glob("pictures/*/*.jpg")) == []


def test_a_full_disk_at_the_start(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        filled(disk / "store")
        with (disk / "filler").open("wb", 0) as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(b"x" * 512)
        assert "the disk is full; make room" in refused(disk / "store")
        assert "the disk is full; make room" in refused(disk / "new")
        (disk / "filler").unlink()
        with EventStore(disk / "store", CONFIG) as store:
            assert store.count() == 3


def test_a_file_that_may_not_grow_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    with start_child(FILL, tmp_path) as child:
        acknowledged, complaint = child.communicate(timeout=60)
    assert complaint.count("\n") == 1
    assert complaint.startswith("event store")
    assert len(acknowledged.split()) > 10
    with EventStore(tmp_path, CONFIG) as store:
        assert [e.uuid for e in store.after(0, 10_000)] == acknowledged.split()
