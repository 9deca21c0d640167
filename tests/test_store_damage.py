"""A damaged file is put aside, and every row whose text is still there is saved."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers_sinks import make_event, one_line

from edge_alpr.config import StoreConfig
from edge_alpr.errors import StoreCorruptError, StoreError
from edge_alpr.sinks import salvage, trouble
from edge_alpr.sinks.store import EventStore
from edge_alpr.sinks.wire import encode_event
from edge_alpr.types import Candidate, Event

CONFIG = StoreConfig()
PAGE = 4096
COUNT = 200


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A store with rows in the file and in the write-ahead log, as a power cut leaves it."""
    folder = tmp_path_factory.mktemp("sound")
    with EventStore(folder / "live", CONFIG) as store:
        events = [store.append(make_event(number)) for number in range(COUNT)]
        store.advance("mqtt", 150)
        shutil.copytree(folder / "live", folder / "copy")
    assert (folder / "copy" / "events.sqlite3-wal").stat().st_size > 10 * PAGE
    assert (folder / "copy" / "events.sqlite3").stat().st_size > 40 * PAGE
    return folder / "copy", events


def header(data: bytearray) -> None:
    data[:100] = bytes(100)


def first_page(data: bytearray) -> None:
    data[:PAGE] = b"\xa5" * PAGE


def cut_in_half(data: bytearray) -> None:
    del data[len(data) // 2 :]


def cut_within_a_page(data: bytearray) -> None:
    del data[len(data) - 1000 :]


def random_pages(seed: int) -> Callable[[bytearray], None]:
    def damage(data: bytearray) -> None:
        randomly = random.Random(seed)
        for _ in range(randomly.randint(1, 20)):
            at = randomly.randrange(len(data) // 512) * 512
            data[at : at + 512] = randomly.randbytes(512)

    return damage


def text_file(data: bytearray) -> None:
    data[:] = b"not a database at all, but somebody's notes\n" * 100


KINDS = [header, first_page, cut_in_half, cut_within_a_page, text_file, *map(random_pages, range(8))]


@pytest.mark.parametrize("damage", KINDS)
def test_every_row_still_there_is_saved(
    tmp_path: Path, sound: tuple[Path, list[Event]], damage: Callable[[bytearray], None],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    origin, events = sound
    folder = tmp_path / "store"
    shutil.copytree(origin, folder)
    file = folder / "events.sqlite3"
    data = bytearray(file.read_bytes())
    damage(data)
    file.write_bytes(data)
    remains = bytes(data) + (folder / "events.sqlite3-wal").read_bytes()
    there = [e for e in events if encode_event(e) in remains]
    with caplog.at_level(logging.WARNING), EventStore(folder, CONFIG) as store:
        saved = store.after(0, 10_000)
        next_seq = store.append(make_event(9999)).seq
        recovered = store.recovered
    if recovered.stores == 0:  # the damage hit only what the write-ahead log holds anew
        assert saved == events
        return
    assert [e for e in there if e not in saved] == []
    assert [e for e in saved if e not in events] == []
    assert next_seq > COUNT, "a number that was told is not given again"
    assert recovered.events == len(saved)
    assert (folder / recovered.aside).read_bytes() == bytes(data)
    assert (folder / f"{recovered.aside}-wal").read_bytes() == (origin / "events.sqlite3-wal").read_bytes()
    assert f"{recovered.events} events were saved" in caplog.text


def test_cursors_are_saved_with_the_rows(tmp_path: Path, sound: tuple[Path, list[Event]]) -> None:
    folder = tmp_path / "store"
    shutil.copytree(sound[0], folder)
    with EventStore(folder, CONFIG) as store:
        store.close()
    connection = sqlite3.connect(folder / "events.sqlite3")
    page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_epoch'").fetchone()[0]
    connection.close()
    with (folder / "events.sqlite3").open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xff" * PAGE)
    with EventStore(folder, CONFIG) as store:
        assert store.recovered.events == COUNT
        assert store.cursor("mqtt") == 150
        assert store.after(0, 1000) == sound[1]
        assert store.last_seq() == COUNT + salvage.SEQ_GAP


def test_two_rows_with_one_number_are_both_saved(tmp_path: Path) -> None:
    rows = [make_event(number, seq=5) for number in (1, 2)]
    (tmp_path / "events.sqlite3").write_bytes(b"\0".join(map(encode_event, [*rows, *rows])))
    with EventStore(tmp_path, CONFIG) as store:
        assert [(e.uuid, e.seq) for e in store.after(0)] == [(rows[0].uuid, 5), (rows[1].uuid, 6)]


def test_rows_on_the_border_of_what_is_read_at_once_are_saved_and_torn_ones_are_not(tmp_path: Path) -> None:
    line = encode_event(make_event(1, seq=1))
    for start in range(salvage._BLOCK - len(line) - 2, salvage._BLOCK + 2, 97):
        folder = tmp_path / str(start)
        folder.mkdir()
        torn = encode_event(make_event(2, seq=2))[:-40]
        data = b"x" * start + line + torn + b"\xff" * 300
        (folder / "events.sqlite3").write_bytes(data)
        with EventStore(folder, CONFIG) as store:
            assert [e.uuid for e in store.after(0)] == [make_event(1).uuid]


def test_rows_too_long_for_a_page_are_saved_on_both_sides_of_the_damage(tmp_path: Path) -> None:
    many = tuple(Candidate(f"AB{i:05d}", 0.01) for i in range(400))
    with EventStore(tmp_path, CONFIG) as store:
        for number in range(60):
            store.append(make_event(number, candidates=many))
    file = tmp_path / "events.sqlite3"
    connection = sqlite3.connect(file)
    query = "SELECT seq FROM events WHERE seq = 30"
    assert connection.execute(query).fetchone() == (30,)
    connection.close()
    data = bytearray(file.read_bytes())
    at = data.index(make_event(29).uuid.encode() + b'","state') // PAGE * PAGE
    data[at : at + PAGE] = b"\xff" * PAGE
    file.write_bytes(data)
    with EventStore(tmp_path, CONFIG) as store:
        seqs = [e.seq for e in store.after(0, 100)]
    assert 1 in seqs
    assert 60 in seqs
    assert len(seqs) >= 50


def test_damage_met_in_mid_drive_is_a_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StoreCorruptError) as caught, trouble.translated(tmp_path / "events.sqlite3"):
        raise sqlite3.DatabaseError("database disk image is malformed")
    assert "start again, opening repairs it" in one_line(caught.value)


def test_a_repair_that_cannot_be_written_leaves_the_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        events = [store.append(make_event(number)) for number in range(5)]
    file = tmp_path / "events.sqlite3"
    file.write_bytes(bytes(100) + file.read_bytes()[100:])
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(salvage, "_insert", full)
        with pytest.raises(StoreError) as caught:
            EventStore(tmp_path, CONFIG)
    assert "the disk is full" in one_line(caught.value)
    assert file.read_bytes() == before
    assert not list(tmp_path.glob("*.part*"))
    with EventStore(tmp_path, CONFIG) as store:
        assert store.after(0) == events
