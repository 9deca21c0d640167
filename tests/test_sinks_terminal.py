from __future__ import annotations

import io

import pytest
from helpers_sinks import START_MS, make_event, start_child
from rich.console import Console

from edge_alpr.sinks.terminal import Terminal, drive_time
from edge_alpr.types import Candidate, Event, Match

EVENTS = (
    make_event(1, candidates=(Candidate("B0001XO", 0.97), Candidate("B0001X0", 0.02))),
    make_event(2, plate="M1", state="withdrawn", score=0.3, reads=1, candidates=()),
    make_event(3, plate="LONGPLATE1234", score=0.999, candidates=(Candidate("LONGPLATE1Z34", 0.2),)),
    make_event(4, match=Match(list="stolen", entry="B 4 XO", kind="equivalent"), score=1.0),
    make_event(5, state="possible"),
)

PIPE = """
import sys
from rich.console import Console
from helpers_sinks import make_event
from edge_alpr.errors import OutputClosedError
from edge_alpr.sinks.terminal import Terminal
sink = Terminal(Console())
try:
    for number in range(100_000):
        sink.tell(make_event(number))
except OutputClosedError as error:
    print(error, file=sys.stderr)
"""


def shown(events: tuple[Event, ...] = EVENTS, **options: object) -> str:
    file = io.StringIO()
    sink = Terminal(Console(file=file, **options))  # type: ignore[arg-type]
    sink.begin(lambda: START_MS)
    for event in events:
        sink.tell(event)
    return file.getvalue()


def test_rows_are_aligned_under_one_heading() -> None:
    assert shown().splitlines() == [
        "   time  plate      state      score  reads    width  note",
        " 0:01.4  B0001XO    confirmed   97 %     12   120 px",
        " 0:02.4  M1         withdrawn   30 %      1   120 px",
        " 0:03.4  LONGPLATE1234  confirmed   99 %     12   120 px  or LONGPLATE1Z34 20 %",
        " 0:04.4  B0004XO    confirmed  100 %     12   120 px  stolen: B 4 XO (equivalent)",
    ]


def test_a_narrow_screen_cuts_the_note_and_nothing_else() -> None:
    lines = shown(force_terminal=True, no_color=True, width=60, legacy_windows=False, color_system=None)
    rows = lines.splitlines()
    assert len(rows) == 5
    assert all(len(row) <= 60 for row in rows)
    assert rows[4] == " 0:04.4  B0004XO    confirmed  100 %     12   120 px  stole…"


def test_a_file_has_no_right_border() -> None:
    assert "stolen: B 4 XO (equivalent)" in shown(width=40)


def test_states_have_colours_and_the_plate_is_bold_on_a_screen() -> None:
    text = shown(force_terminal=True, color_system="standard", width=100)
    assert "\x1b[1mB0001XO\x1b[0m" in text
    assert "\x1b[32mconfirmed\x1b[0m" in text
    assert "\x1b[31mwithdrawn\x1b[0m" in text


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(force_terminal=True, color_system="standard", width=100)
    assert "\x1b[3" not in text
    assert "\x1b[1mB0001XO" in text


def test_what_is_no_screen_gets_no_control_codes() -> None:
    assert "\x1b" not in shown((make_event(match=Match("list\x1b[31m", "a[bold]b", "exact")),))


def test_states_can_be_chosen_and_time_counts_from_the_first_without_a_beginning() -> None:
    file = io.StringIO()
    sink = Terminal(Console(file=file), states=("possible",))
    for event in EVENTS:
        sink.tell(event)
    assert [line.split()[:3] for line in file.getvalue().splitlines()[1:]] == [["0:00.4", "B0005XO", "possible"]]


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0:00.0"), (7_449, "0:07.4"), (59_999, "0:59.9"), (3_599_999, "59:59.9"), (3_723_000, "1:02:03"),
     (-1_500, "-0:01.5")],
)  # fmt: skip
def test_time_into_the_drive(ms: int, text: str) -> None:
    assert drive_time(ms) == text


def test_a_reader_that_leaves_is_a_typed_outcome() -> None:
    with start_child(PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == "the screen: nobody reads it any more\n"
        assert child.wait(timeout=30) == 0
