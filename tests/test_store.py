from __future__ import annotations

import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_sinks import make_event, one_line
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.config import StoreConfig
from edge_alpr.errors import EventError, StoreError
from edge_alpr.sinks import schema
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.sinks.wire import encode_event
from edge_alpr.types import Candidate, Images

CONFIG = StoreConfig()
PICTURES = Pictures(plate=b"\xff\xd8plate", frame=b"\xff\xd8scene")


def sql(folder: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / "events.sqlite3")
    try:
        with connection:
            return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_an_event_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    event = make_event(7, gps={"lat": 52.5, "lon": 13.4})
    with EventStore(tmp_path / "a" / "b", CONFIG) as store:
        stored = store.append(event)
    assert stored == replace(event, seq=1)
    with EventStore(tmp_path / "a" / "b", CONFIG) as store:
        assert store.after(0) == [stored]
        assert (store.count(), store.last_seq(), store.recovered.stores) == (1, 1, 0)


def test_the_store_is_durable_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with EventStore(folder, CONFIG) as store:
        store.append(make_event(), PICTURES)
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        private = [folder, *folder.rglob("*")]
        assert len(private) >= 8
        for path in private:
            assert path.stat().st_mode & 0o077 == 0, path
    assert sql(folder, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]


def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    EventStore(tmp_path, CONFIG).close()
    (tmp_path / "events.sqlite3").chmod(0o644)
    EventStore(tmp_path, CONFIG).close()
    assert (tmp_path / "events.sqlite3").stat().st_mode & 0o777 == 0o600


def test_seq_rises_over_restarts_and_deletions_whatever_the_caller_says(tmp_path: Path) -> None:
    seqs = []
    for number in range(1, 4):
        with EventStore(tmp_path, CONFIG) as store:
            seqs += [store.append(make_event(2 * number + i, seq=99)).seq for i in (0, 1)]
        sql(tmp_path, "DELETE FROM events")
    assert seqs == [1, 2, 3, 4, 5, 6]


def test_the_same_event_is_stored_once(tmp_path: Path) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        first = store.append(make_event(1), PICTURES)
        again = store.append(make_event(1, score=0.5), Pictures(b"other", b"other"))
        assert again == first
        assert (tmp_path / first.images.plate).read_bytes() == PICTURES.plate
        store.append(make_event(1, state="withdrawn"))
        store.append(make_event(1, plate="B0001X0"))
        assert store.count() == 3
        assert store.counters.duplicates == 1


def test_find_takes_o_for_0_and_i_for_1_newest_first(tmp_path: Path) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        for number, plate in enumerate(("BIO1", "OTHER", "B101", "B1O1")):
            store.append(make_event(number, plate=plate))
        assert [e.plate for e in store.find("b-i 01")] == ["B1O1", "B101", "BIO1"]
        assert [e.plate for e in store.find("B101", limit=1)] == ["B1O1"]
        assert store.find("B102") == []


def test_events_after_a_cursor_come_in_order_and_in_portions(tmp_path: Path) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        for number in range(7):
            store.append(make_event(number))
        assert [e.seq for e in store.after(2, 3)] == [3, 4, 5]
        assert [e.seq for e in store.after(5, 3)] == [6, 7]
        assert store.after(7, 3) == []


def test_cursors_last_and_never_go_back_nor_past_the_end(tmp_path: Path) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        assert store.cursor("mqtt") is None
        for number in range(5):
            store.append(make_event(number))
        store.advance("mqtt", 3)
        store.advance("mqtt", 2)
        store.advance("other", 0)
    with EventStore(tmp_path, CONFIG) as store:
        assert (store.cursor("mqtt"), store.cursor("other")) == (3, 0)
        store.advance("mqtt", 77)
        assert store.cursor("mqtt") == 5


def test_pictures_lie_by_day_and_are_named_in_the_event(tmp_path: Path) -> None:
    event = make_event(3)
    with EventStore(tmp_path, CONFIG) as store:
        stored = store.append(event, PICTURES)
        png = store.append(make_event(4), Pictures(b"png", b"", ".png"))
    day = "pictures/2026-01-02"
    assert stored.images == Images(f"{day}/{event.uuid}_plate.jpg", f"{day}/{event.uuid}_frame.jpg")
    assert (tmp_path / stored.images.plate).read_bytes() == PICTURES.plate
    assert (tmp_path / stored.images.frame).read_bytes() == PICTURES.frame
    assert png.images.plate.endswith("4_plate.png")
    assert png.images.frame == ""
    assert list((tmp_path / "pictures" / ".part").iterdir()) == []


def test_a_uuid_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store", CONFIG) as store:
        images = store.append(make_event(uuid="../../../escaped"), PICTURES).images
    assert (tmp_path / "store" / images.plate).resolve().parent.parent == tmp_path / "store" / "pictures"


def test_pictures_are_left_out_when_the_configuration_says_so(tmp_path: Path) -> None:
    with EventStore(tmp_path, StoreConfig(keep_images=False)) as store:
        assert store.append(make_event(), PICTURES).images == Images()
        assert store.counters.pictures_lost == 0
    assert not (tmp_path / "pictures").exists()


def test_lost_pictures_do_not_lose_the_event_and_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pictures").write_text("in the way")
    with EventStore(tmp_path, CONFIG) as store, caplog.at_level(logging.WARNING):
        assert store.append(make_event(1), PICTURES).images == Images()
        assert store.append(make_event(2), PICTURES).images == Images()
        assert store.counters.pictures_lost == 2
        assert len(caplog.records) == 1
        assert "without its pictures" in caplog.text
        (tmp_path / "pictures").unlink()
        assert store.append(make_event(3), PICTURES).images != Images()
        assert store.count() == 3


def test_what_a_power_cut_left_of_a_picture_is_cleared(tmp_path: Path) -> None:
    staging = tmp_path / "pictures" / ".part"
    staging.mkdir(parents=True)
    (staging / "half.jpg").write_bytes(b"\xff\xd8")
    EventStore(tmp_path, CONFIG).close()
    assert list(staging.iterdir()) == []


OUT_OF_RANGE = st.floats().filter(lambda x: not 0 <= x <= 1)


FIELDS = ["score", "agreement", "char_scores", "candidates"]


@given(OUT_OF_RANGE | st.sampled_from([float("nan"), 1.0000001, -0.1]), st.sampled_from(FIELDS))
def test_a_score_that_is_none_is_refused(bad: float, where: str) -> None:
    values = {"char_scores": (0.5, bad), "candidates": (Candidate("AB1", 0.5), Candidate("AB2", bad))}
    with pytest.raises(EventError) as caught:
        encode_event(make_event(**{where: values.get(where, bad)}))
    assert "breaks its contract" in one_line(caught.value)


def test_nothing_is_stored_of_a_refused_event(tmp_path: Path) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        for bad in ({"score": float("nan")}, {"gps": {"lat": float("inf")}}, {"plate": "\ud800"}, {"reads": "3"}):
            with pytest.raises(EventError):
                store.append(make_event(**bad), PICTURES)
        assert store.count() == 0
    assert not (tmp_path / "pictures").exists()


def test_numpy_numbers_are_stored_as_numbers(tmp_path: Path) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        stored = store.append(make_event(score=np.float64(0.5), reads=np.int64(3)))
    assert (stored.score, type(stored.score), type(stored.reads)) == (0.5, float, int)


def test_an_older_store_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        stored = store.append(make_event())
    later = (*schema.MIGRATIONS, ("ALTER TABLE events ADD COLUMN told INTEGER NOT NULL DEFAULT 0",))
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    with EventStore(tmp_path, CONFIG) as store:
        assert store.after(0) == [stored]
        store.append(make_event(2))
    assert sql(tmp_path, "PRAGMA user_version") == [(len(later),)]
    assert sql(tmp_path, "SELECT told FROM events") == [(0,), (0,)]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    EventStore(tmp_path, CONFIG).close()
    broken = (*schema.MIGRATIONS, ("CREATE TABLE half (a)", "CREATE TABLE half (a)"))
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(StoreError):
        EventStore(tmp_path, CONFIG)
    assert sql(tmp_path, "PRAGMA user_version") == [(len(broken) - 1,)]
    assert sql(tmp_path, "SELECT name FROM sqlite_master WHERE name = 'half'") == []


def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        store.append(make_event())
    sql(tmp_path, "PRAGMA user_version = 9")
    before = (tmp_path / "events.sqlite3").read_bytes()
    with pytest.raises(StoreError) as caught:
        EventStore(tmp_path, CONFIG)
    assert "newer edge-alpr (schema 9, this one knows 2); update" in one_line(caught.value)
    assert (tmp_path / "events.sqlite3").read_bytes() == before


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    sql(tmp_path, "CREATE TABLE songs (title)")
    before = (tmp_path / "events.sqlite3").read_bytes()
    with pytest.raises(StoreError) as caught:
        EventStore(tmp_path, CONFIG)
    assert "another program" in one_line(caught.value)
    assert (tmp_path / "events.sqlite3").read_bytes() == before


def test_a_damaged_row_is_passed_over_counted_and_can_be_stored_again(tmp_path: Path) -> None:
    with EventStore(tmp_path, CONFIG) as store:
        for number in (1, 2, 3):
            store.append(make_event(number))
    sql(tmp_path, "UPDATE events SET body = 'xx' WHERE seq < 3")
    with EventStore(tmp_path, CONFIG) as store:
        assert [e.seq for e in store.after(0, 1)] == [3]
        assert store.counters.unreadable == 2
        assert store.append(make_event(1)).seq == 4
        assert [e.seq for e in store.after(0)] == [3, 4]


def test_closing_twice_is_fine_and_a_closed_store_is_a_programming_error(tmp_path: Path) -> None:
    store = EventStore(tmp_path, CONFIG)
    store.close()
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.count()
