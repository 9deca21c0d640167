from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_sinks import make_event
from rich.console import Console

from edge_alpr.config import StoreConfig
from edge_alpr.errors import OutputClosedError, SinkError, StoreError
from edge_alpr.sinks.dispatch import Dispatcher, Start, Subscriber
from edge_alpr.sinks.jsonl import JsonLines
from edge_alpr.sinks.store import EventStore, Pictures
from edge_alpr.sinks.terminal import Terminal
from edge_alpr.sinks.wire import decode_event
from edge_alpr.types import Event


class Listener:
    """A sink that remembers, and fails while `broken`."""

    def __init__(self, store: EventStore | None = None) -> None:
        self.heard: list[int] = []
        self.broken: Exception | None = None
        self._store = store

    def tell(self, event: Event) -> None:
        if self.broken:
            raise self.broken
        if self._store:
            assert self._store.find(event.plate), "told before it was stored"
        self.heard.append(event.seq)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with EventStore(tmp_path, StoreConfig()) as opened:
        yield opened


def publish(dispatcher: Dispatcher, *numbers: int) -> None:
    for number in numbers:
        dispatcher.publish(make_event(number))


def test_every_sink_hears_every_event_once_after_it_is_stored(store: EventStore) -> None:
    one, two = Listener(store), Listener(store)
    dispatcher = Dispatcher(store, {"a": Subscriber(one, Start.OLDEST), "b": Subscriber(two, Start.NOW)})
    stored = dispatcher.publish(make_event(1), Pictures(b"p", b"f"))
    publish(dispatcher, 1, 2)
    assert stored.images.plate
    assert one.heard == two.heard == [1, 2]
    assert dispatcher.deliveries["a"].told == 2


def test_a_sink_that_fails_hears_all_of_it_later_in_order_and_the_others_go_on(
    store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    weak, strong = Listener(), Listener()
    dispatcher = Dispatcher(store, {"weak": Subscriber(weak, Start.OLDEST), "strong": Subscriber(strong, Start.NOW)})
    publish(dispatcher, 1)
    weak.broken = SinkError("the server is away")
    with caplog.at_level(logging.WARNING):
        publish(dispatcher, 2, 3, 4)
    assert len(caplog.records) == 1, "one line an outage"
    assert (weak.heard, strong.heard) == ([1], [1, 2, 3, 4])
    assert store.cursor("weak") == 1
    weak.broken = None
    publish(dispatcher, 5)
    assert weak.heard == [1, 2, 3, 4, 5]
    assert dispatcher.deliveries["weak"].failures == 3
    weak.broken = TypeError("a bug")
    publish(dispatcher, 6)
    assert strong.heard[-1] == 6
    assert [r.message for r in caplog.records if "tried again" in r.message][1:] != []


def test_what_was_not_told_is_told_in_the_next_run(store: EventStore) -> None:
    weak = Listener()
    weak.broken = OSError("unplugged")
    publish(Dispatcher(store, {"weak": Subscriber(weak, Start.JOINED)}), 1, 2)
    weak.broken = None
    dispatcher = Dispatcher(store, {"weak": Subscriber(weak, Start.JOINED)})
    dispatcher.catch_up()
    assert weak.heard == [1, 2]
    Dispatcher(store, {"weak": Subscriber(weak, Start.JOINED)}).catch_up()
    assert weak.heard == [1, 2]


def test_each_sink_begins_where_it_says(store: EventStore) -> None:
    publish(Dispatcher(store, {}), 1, 2)
    listeners = {start: Listener() for start in Start}
    for numbers in ((3,), (4, 5)):  # two runs
        dispatcher = Dispatcher(store, {s.value: Subscriber(sink, s) for s, sink in listeners.items()})
        dispatcher.catch_up()
        publish(dispatcher, *numbers)
        publish(Dispatcher(store, {}), numbers[-1] + 10)  # a run without them
    assert listeners[Start.OLDEST].heard == [1, 2, 3, 4, 5, 6]
    assert listeners[Start.JOINED].heard == [3, 4, 5, 6]
    assert listeners[Start.NOW].heard == [3, 5, 6]
    assert store.cursor("now") is None


def test_a_backlog_longer_than_one_portion_is_told_whole(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_alpr.sinks.dispatch._BATCH", 3)
    publish(Dispatcher(store, {}), *range(10))
    late = Listener()
    Dispatcher(store, {"late": Subscriber(late, Start.OLDEST)}).catch_up()
    assert late.heard == list(range(1, 11))


def test_nobody_is_told_of_an_event_that_could_not_be_stored(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Listener()
    dispatcher = Dispatcher(store, {"a": Subscriber(sink, Start.OLDEST)})

    def full(*_: object) -> Event:
        raise StoreError("the disk is full")

    monkeypatch.setattr(store, "_insert", full)
    with pytest.raises(StoreError):
        dispatcher.publish(make_event())
    assert sink.heard == []


def test_output_that_nobody_reads_is_passed_on_after_the_others_were_told(store: EventStore) -> None:
    pipe, other = Listener(), Listener()
    pipe.broken = OutputClosedError("gone")
    dispatcher = Dispatcher(store, {"pipe": Subscriber(pipe, Start.NOW), "other": Subscriber(other, Start.NOW)})
    with pytest.raises(OutputClosedError):
        dispatcher.publish(make_event())
    assert (other.heard, store.count()) == ([1], 1)


def test_file_and_screen_together(store: EventStore, tmp_path: Path) -> None:
    screen = io.StringIO()
    with JsonLines(str(tmp_path / "drive.jsonl")) as file:
        dispatcher = Dispatcher(
            store,
            {
                "terminal": Subscriber(Terminal(Console(file=screen)), Start.NOW),
                "jsonl": Subscriber(file, Start.JOINED),
            },
        )
        told = [dispatcher.publish(make_event(number)) for number in range(3)]
    assert [decode_event(line) for line in (tmp_path / "drive.jsonl").open("rb")] == told
    assert len(screen.getvalue().splitlines()) == 4
