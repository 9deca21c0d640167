from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from helpers_sinks import make_event, one_line, remount, small_disk, start_child

from edge_alpr.errors import EventError, SinkError
from edge_alpr.sinks.jsonl import JsonLines
from edge_alpr.sinks.wire import decode_event, encode_event
from edge_alpr.types import Event, RegionGuess

ALWAYS = [f.name for f in fields(Event) if f.name != "region"]
"""`region` is there only where `[formats] regions` is set."""
CHILD = """
import sys
from helpers_sinks import make_event
from edge_alpr.errors import OutputClosedError
from edge_alpr.sinks.jsonl import JsonLines
sink = JsonLines("-")
try:
    for number in range(100_000):
        sink.tell(make_event(number))
except OutputClosedError as error:
    print(error, file=sys.stderr)
    print("what is said afterwards must not fail either", flush=True)
"""


def test_a_line_is_the_contract_object(tmp_path: Path) -> None:
    event = make_event(gps={"lat": 52.5})
    with JsonLines(str(tmp_path / "deep" / "er" / "drive.jsonl")) as sink:
        sink.tell(event)
        sink.tell(make_event(2, state="withdrawn"))
        first, second = (tmp_path / "deep" / "er" / "drive.jsonl").read_text().splitlines()  # already flushed
    value = json.loads(first)
    assert list(value) == ALWAYS
    assert value["box"] == {"xmin": 500, "ymin": 300, "xmax": 620, "ymax": 330}
    assert value["candidates"][0] == {"plate": event.plate, "score": 0.97}
    assert value["coordinates"][0] == {"x": 500.5, "y": 301.0}
    assert value["match"] is None
    assert value["images"] == {"plate": "", "frame": ""}
    assert decode_event(first) == event
    assert json.loads(second)["state"] == "withdrawn"


def test_a_guessed_region_is_one_more_key_with_a_score_that_is_checked() -> None:
    event = make_event(region=RegionGuess("ro", "Romania", 0.97))
    body = encode_event(event)
    assert list(json.loads(body)) == [*ALWAYS, "region"]
    assert json.loads(body)["region"] == {"code": "ro", "name": "Romania", "score": 0.97}
    assert decode_event(body) == event
    with pytest.raises(EventError, match=r"region\.score is 1\.5"):
        encode_event(make_event(region=RegionGuess("ro", "Romania", 1.5)))


def test_the_example_in_the_documentation_is_an_event() -> None:
    text = (Path(__file__).parents[1] / "docs" / "events.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith('{"version"')]
    assert lines
    for line in lines:
        assert list(json.loads(line)) == ALWAYS
        assert decode_event(line).seq > 0
    for name in (f.name for f in fields(Event)):
        assert any(f"`{name}{shape}`" in text for shape in ("", "[]", "{}")), name


def test_lines_are_appended_and_a_torn_one_is_ended_first(tmp_path: Path) -> None:
    file = tmp_path / "drive.jsonl"
    file.write_text('{"version":1,"uu')
    for number in (1, 2):
        with JsonLines(str(file)) as sink:
            sink.tell(make_event(number))
    torn, *lines = file.read_text().splitlines()
    assert torn == '{"version":1,"uu'
    assert [decode_event(line).track_id for line in lines] == [1, 2]


def test_only_the_states_asked_for_are_written(tmp_path: Path) -> None:
    with JsonLines(str(tmp_path / "f"), states=("confirmed",)) as sink:
        for state in ("possible", "confirmed", "withdrawn"):
            sink.tell(make_event(state=state))
    assert [json.loads(line)["state"] for line in (tmp_path / "f").open()] == ["confirmed"]


def test_nan_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with JsonLines(str(tmp_path / "f")) as sink, pytest.raises(EventError) as caught:
        sink.tell(make_event(score=float("nan")))
    assert "breaks its contract" in one_line(caught.value)
    assert (tmp_path / "f").read_bytes() == b""


def test_a_target_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target, remedy in ((tmp_path, "name a file"), (tmp_path / "file" / "x", "name another file")):
        with pytest.raises(SinkError) as caught:
            JsonLines(str(target))
        assert remedy in one_line(caught.value)


def test_a_full_disk_leaves_whole_lines_only_and_goes_on_afterwards(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk, JsonLines(str(disk / "f")) as sink:
        told = 0
        with pytest.raises(SinkError) as caught:
            for told in range(1000):
                sink.tell(make_event(told))
        assert "the disk is full; make room" in one_line(caught.value)
        remount(disk, "size=1m")
        sink.tell(make_event(told))
        lines = (disk / "f").read_text().splitlines()
    assert [decode_event(line).track_id for line in lines] == list(range(told + 1))
    assert told > 20


def test_a_device_that_is_full_is_one_clear_line() -> None:
    with JsonLines("/dev/full") as sink, pytest.raises(SinkError, match="the disk is full"):
        sink.tell(make_event())


def test_standard_output_gets_one_line_an_event(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sink = JsonLines("-")
    sink.tell(make_event(1))
    sink.tell(make_event(2))
    lines = capfdbinary.readouterr().out.splitlines()
    assert [decode_event(line).track_id for line in lines] == [1, 2]
    assert not sys.stdout.closed


def test_a_reader_of_standard_output_that_leaves_ends_it_quietly() -> None:
    with start_child(CHILD) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert decode_event(child.stdout.readline()).track_id == 0
        child.stdout.close()
        complaint = child.stderr.read()
        assert child.wait(timeout=30) == 0
    assert complaint == "standard output: nobody reads it any more\n"
