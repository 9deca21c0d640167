"""Looking into a store while it is written, and marks that several processes set."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from helpers_sinks import make_event

from edge_alpr.config import StoreConfig
from edge_alpr.errors import StoreError
from edge_alpr.sinks.marks import Marks
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.sinks.view import StoreView


def test_what_is_written_is_seen_in_order_and_newest_first(tmp_path: Path):
    with EventStore(tmp_path, StoreConfig()) as store:
        one = store.append(make_event(uuid="a", plate="B0O1"))
        with StoreView(tmp_path) as view:
            assert view.changed()
            assert not view.changed()
            two = store.append(replace(make_event(uuid="b", plate="XY2"), state="possible"))
            three = store.append(make_event(uuid="b", plate="XY2"))
            assert view.changed()
            assert view.after(0) == [one, two, three]
            assert view.after(one.seq, limit=1) == [two]
            assert view.newest(2) == [three, two]
            assert view.newest(5, before=two.seq) == [one]
            assert view.find("boo1") == [one]
            assert view.states("b") == [two, three]
            assert view.last_seq() == three.seq


def test_pictures_come_by_name_and_nothing_beside_the_store(tmp_path: Path):
    (tmp_path / "secret").write_bytes(b"x")
    folder = tmp_path / "store"
    with EventStore(folder, StoreConfig()) as store:
        kept = store.append(make_event(uuid="a"), Pictures(b"plate", b"frame"))
        with StoreView(folder) as view:
            assert view.picture(kept.images.plate) == b"plate"
            assert [view.picture(name) for name in ("", "../secret", "/etc/hostname", "pictures/none.jpg")] == [b""] * 4


def test_a_store_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(StoreError, match="there is none yet; start a drive"):
        StoreView(tmp_path)


def _mark(folder: Path, who: str) -> None:
    for number in range(20):
        Marks(folder).set(f"u{number}", "acknowledged", who)


def test_marks_of_several_processes_are_kept_once(tmp_path: Path):
    spawn = multiprocessing.get_context("spawn")
    people = [spawn.Process(target=_mark, args=(tmp_path, who)) for who in ("screen", "button", "command")]
    for person in people:
        person.start()
    for person in people:
        person.join()
        assert person.exitcode == 0
    marks = Marks(tmp_path)
    assert sorted(mark.uuid for mark in marks.named("acknowledged")) == sorted(f"u{n}" for n in range(20))


def test_a_mark_is_set_cleared_and_forgotten(tmp_path: Path):
    marks = Marks(tmp_path)
    assert marks.of("u") == []
    marks.set("u", "wrong", "button")
    marks.set("u", "locked", "screen")
    assert {(mark.name, mark.who) for mark in marks.of("u")} == {("wrong", "button"), ("locked", "screen")}
    assert len(marks.since(marks.of("u")[0].epoch_ms)) == 2
    marks.clear("u", "wrong")
    assert [mark.name for mark in marks.of("u")] == ["locked"]
    marks.forget(["u"])
    assert marks.of("u") == []


def test_marks_that_another_process_is_about_to_make_are_none_yet(tmp_path: Path) -> None:
    (tmp_path / "marks.sqlite3").touch()
    assert Marks(tmp_path).named("wrong") == []
