"""Rows that something has changed: who reads the store passes them over, or says so in a typed error."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from helpers_fuzz import FUZZ_S, fuzz
from helpers_sinks import make_event
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_alpr.config import Config, StoreConfig
from edge_alpr.display.history import look_back
from edge_alpr.errors import EdgeAlprError
from edge_alpr.records.desk import FORMATS, Desk, described, open_desk
from edge_alpr.records.report import make_report
from edge_alpr.records.select import Wanted, chosen
from edge_alpr.records.tables import to_table
from edge_alpr.sinks.housekeeping import Housekeeping
from edge_alpr.sinks.store import FILE, EventStore, Pictures
from edge_alpr.sinks.view import StoreView
from edge_alpr.sinks.wire import encode_event
from edge_alpr.types import Event, Match
from edge_alpr.uplink.shapes import DIALECTS, tracked_object_update
from edge_alpr.uplink.source import Source

ROWS = 6
COLUMNS = {
    "events": ("seq", "uuid", "state", "plate", "canonical", "epoch_ms", "camera", "body"),
    "passages": ("uuid", "seq", "stored_ms", "hit", "bytes"),
    "settings": ("name", "value"),
    "deleted": ("day", "reason", "passages", "pictures"),
    "cursors": ("sink", "seq"),
    "sqlite_sequence": ("seq",),
}


@dataclass(frozen=True)
class Raw:
    """Bytes that SQLite takes for text, whatever they are."""

    data: bytes


Value: TypeAlias = "int | float | str | bytes | Raw | None"
Change: TypeAlias = "tuple[str, str, int, Value]"
"""Table, column, row, and what it is to hold."""

NESTED = "[" * 5000 + "]" * 5000
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=True), st.text(max_size=12),
    st.sampled_from(["\0", "\ud800", "../../etc/passwd", "pictures/../..", "=1+1", "<script>", "x" * 5000, "[/]"]),
    st.sampled_from([10**400, 2**63, -(2**63), 1e308, "2026-01-02T10:00:01Z", [], {}, [{}], {"": {}}]),
)  # fmt: skip
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=30), st.binary(max_size=30).map(Raw),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["", "null", "{}", "[]", NESTED, "EALPRE1\n", b"EALPRE1\n" + bytes(40), Raw(b"\xff\xfe")]),
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value within a value."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def hit(number: int) -> Event:
    match = Match("stolen", f"B{number:04d}XO", "exact", chars_differ=(1,), note="red van") if number % 2 else None
    return make_event(number, match=match, also=("ours",), gps={"lat": 44.43, "lon": 26.1}, clock_error_ms=3.5)


def body(number: int) -> Any:
    return json.loads(encode_event(hit(number)))


@st.composite
def bodies(draw: st.DrawFn) -> Value:
    """The text of an event with some of its values changed, left out or added, or some of its bytes."""
    event = body(draw(st.integers(1, ROWS)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(event))))
        holder = event
        for key in path[:-1]:
            holder = holder[key]
        if draw(st.integers(0, 4)):
            holder[path[-1]] = deepcopy(draw(SCALARS))  # the next change may go into it
        else:
            del holder[path[-1]]
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 5)) == 0:
        text = text.replace('"gps":', f'"gps":{NESTED},"more":', 1)
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return Raw(bytes(data))


CHANGE: st.SearchStrategy[Change] = st.one_of(
    st.tuples(st.just("events"), st.just("body"), st.integers(0, ROWS), bodies()),
    st.sampled_from([(table, name) for table, names in COLUMNS.items() for name in names]).flatmap(
        lambda place: st.tuples(st.just(place[0]), st.just(place[1]), st.integers(0, ROWS), VALUES)
    ),
)
CHANGES = st.lists(CHANGE, min_size=1, max_size=4)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, closed, and in it the key that signs."""
    folder = tmp_path_factory.mktemp("sound") / "store"
    with EventStore(folder, StoreConfig()) as store:
        for number in range(1, ROWS + 1):
            store.append(hit(number), Pictures(b"\xff\xd8plate", b"\xff\xd8frame"))
        store.advance("mqtt", 3)
    Housekeeping(folder, StoreConfig(), Config().privacy).round(int(time.time() * 1000), time.monotonic())
    return folder


def apply(file: Path, changes: list[Change]) -> None:
    """What SQLite itself refuses (a second row of a key, a null) is left out."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for table, column, row, value in changes:
            key = "uuid" if table == "passages" else "name" if table == "settings" else "rowid"
            holder = "CAST(? AS TEXT)" if isinstance(value, Raw) else "?"
            plain = value.data if isinstance(value, Raw) else value
            key = {"deleted": "day"}.get(table, key)
            where = f"{key} IN (SELECT {key} FROM {table} LIMIT 1 OFFSET ?)"
            with suppress(sqlite3.IntegrityError, sqlite3.DataError, OverflowError):
                connection.execute(f"UPDATE {table} SET {column} = {holder} WHERE {where}", (plain, row))


def look(folder: Path, _: Config) -> None:
    """As screen and sound do: in portions, and it comes to an end."""
    with StoreView(folder, StoreConfig()) as view:
        cursor = -(2**63)
        for _ in range(ROWS + 2):
            events = view.after(cursor, 2)
            if not events:
                break
            assert [event.seq for event in events] == sorted(event.seq for event in events)
            assert events[0].seq > cursor
            cursor = events[-1].seq
        else:
            pytest.fail("reading the store has no end")
        for event in view.newest(ROWS):
            view.states(event.uuid)
            view.find(event.plate)
            view.picture(event.images.plate)
        assert view.changed()
        view.last_seq()


def look_back_at_it(folder: Path, config: Config) -> None:
    look_back(config.store)
    look_back(config.store, "hits", "B")


def sum_up(folder: Path, config: Config) -> None:
    with open_desk(config) as desk:
        make_report(desk.view, config)


def export(folder: Path, config: Config) -> None:
    with open_desk(config) as desk:
        events = chosen(desk.view, Wanted(hits=True)) + chosen(desk.view, Wanted(since_ms=0))
        to_table(events, desk.marked())
        for event in events:
            described(desk, event)
        _each_format(desk, events)


def _each_format(desk: Desk, events: list[Event]) -> None:
    for kind in FORMATS:
        desk.export(events, kind, "x")


def send(folder: Path, config: Config) -> None:
    source = Source(config)
    try:
        assert source.changed()
        for _, event in source.after(0, ROWS + 1):
            if event is not None:
                tracked_object_update(event)
                for dialect in DIALECTS.values():
                    dialect.encode(event)
    finally:
        source.close()


def forget(folder: Path, config: Config) -> None:
    Housekeeping(folder, config.store, config.privacy).round(int(time.time() * 1000) + 10**10, time.monotonic())


def drive_on(folder: Path, config: Config) -> None:
    with EventStore(folder, config.store) as store:
        store.append(make_event(1))
        told = store.append(make_event(99))
        assert told in store.after(told.seq - 1)
        store.find("B0001XO")
        store.advance("mqtt", store.cursor("mqtt") or 0)
        store.count()


STEPS: tuple[Callable[[Path, Config], None], ...] = (
    look, look_back_at_it, sum_up, export, send, drive_on, look, forget,
)  # fmt: skip


def check(changes: list[Change], origin: Path, place: Path) -> None:
    folder = place / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(origin, folder)
    apply(folder / FILE, changes)
    store = StoreConfig(path=str(folder), key_file=str(place / "key"), signing_key=str(place / "signing-key"))
    for step in STEPS:
        with suppress(EdgeAlprError):
            step(folder, Config(store=store))


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(changes=CHANGES)
@example(changes=[("events", "body", 1, Raw(b"\xff"))])
@example(changes=[("events", "body", 1, NESTED)])
@example(changes=[("events", "body", 1, Raw(json.dumps({**body(2), "seq": 9}).encode()))])
@example(changes=[("events", "seq", 5, -5)])
def test_no_row_breaks_who_reads_the_store(changes: list[Change], sound: Path, tmp_path_factory: Any) -> None:
    check(changes, sound, tmp_path_factory.getbasetemp())


def test_one_damaged_row_hides_no_other(sound: Path, tmp_path: Path) -> None:
    for number, value in enumerate((Raw(b"\xff"), NESTED, b"\0", None, 5, "{}", Raw(b'{"uuid":"\xed\xa0\x80"}'))):
        folder = tmp_path / str(number)
        shutil.copytree(sound, folder)
        apply(folder / FILE, [("events", "body", 1, value)])
        with StoreView(folder) as view:
            assert len(view.after(0)) == ROWS - (value is not None), "SQLite refuses a null"
        with EventStore(folder, StoreConfig()) as store:
            assert len(store.after(0)) == ROWS - (value is not None)


def test_a_row_has_the_number_that_it_is_stored_under(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "store")
    apply(tmp_path / "store" / FILE, [("events", "body", 1, Raw(json.dumps({**body(2), "seq": 1}).encode()))])
    with StoreView(tmp_path / "store") as view:
        assert [event.seq for event in view.after(0)] == list(range(1, ROWS + 1))


@pytest.mark.skipif(not FUZZ_S, reason="set EDGE_ALPR_FUZZ_S to fuzz for so many seconds")
def test_long_fuzzing_of_stored_rows(sound: Path, tmp_path: Path) -> None:
    fuzz(CHANGES, lambda changes: check(changes, sound, tmp_path), "stores with changed rows", 500)
