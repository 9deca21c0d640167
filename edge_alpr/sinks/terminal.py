"""Events as rows for people, printed as they come."""

from __future__ import annotations

from collections.abc import Callable, Collection

from rich.console import Console, OverflowMethod
from rich.text import Text

from edge_alpr.errors import OutputClosedError
from edge_alpr.types import Event, State

_STYLES: dict[State, str] = {"possible": "yellow", "confirmed": "green", "withdrawn": "red"}
_GAP = "  "
_WORTH_A_NOTE = 0.05
"""From this probability on the second best text is named."""


class Terminal:
    """A sink that prints one row an event, with a heading above the first.

    Columns have fixed widths, so rows stay aligned without a live table; on a narrow screen the note at
    the end is cut, never the plate. Only `states` are shown.
    """

    def __init__(self, console: Console, states: Collection[State] = ("confirmed", "withdrawn")) -> None:
        self._console = console
        self._states = frozenset(states)
        self._begin_ms: Callable[[], int] | None = None
        self._headed = False

    def begin(self, epoch_ms: Callable[[], int]) -> None:
        """Ask this when the drive began (UTC, ms): it may come to be known better. Without, times count from the first
        event shown.
        """
        self._begin_ms = epoch_ms

    def tell(self, event: Event) -> None:
        """Print one event. Raises `OutputClosedError` when nobody reads the output any more."""
        if event.state not in self._states:
            return
        if self._begin_ms is None:
            first_ms = event.epoch_start
            self._begin_ms = lambda: first_ms
        if not self._headed:
            self._print(Text(_line("time", "plate", "state", "score", "reads", "width", "note"), style="dim"))
            self._headed = True
        self._print(event_row(event, self._begin_ms()))

    def _print(self, text: Text) -> None:
        text.rstrip()
        whole = not self._console.is_terminal  # a file has no right border
        overflow: OverflowMethod = "ignore" if whole else "ellipsis"
        try:
            self._console.print(text, overflow=overflow, no_wrap=True, highlight=False, soft_wrap=whole)
        except (BrokenPipeError, SystemExit) as error:  # newer rich answers a broken pipe by exiting
            raise OutputClosedError("the screen: nobody reads it any more") from error


def event_row(event: Event, begin_ms: int) -> Text:
    """One event as a styled row; `begin_ms` is the start of the drive, UTC in ms."""
    time = drive_time(event.epoch_end - begin_ms)
    width = f"{event.box.xmax - event.box.xmin} px"
    cells = (time, event.plate, event.state, _percent(event.score), str(event.reads), width, _note(event))
    row = Text(_line(*cells))
    plate_at = len(_line(time)) + len(_GAP)
    state_at = plate_at + max(len(event.plate), _WIDTHS[1]) + len(_GAP)
    row.stylize("bold", plate_at, plate_at + len(event.plate))
    row.stylize(_STYLES[event.state], state_at, state_at + len(event.state))
    return row


def drive_time(ms: int) -> str:
    """Time into the drive: `0:07.4`, from an hour on `1:02:03`."""
    sign, tenths = ("-", -ms // 100) if ms < 0 else ("", ms // 100)
    minutes, rest = divmod(tenths, 600)
    if minutes < 60:
        return f"{sign}{minutes}:{rest // 10:02}.{rest % 10}"
    return f"{sign}{minutes // 60}:{minutes % 60:02}:{rest // 10:02}"


_WIDTHS = (7, 9, 9, 5, 5, 7)
_RIGHT = (True, False, False, True, True, True)


def _line(*cells: str) -> str:
    fixed = (
        f"{cell:>{width}}" if right else f"{cell:<{width}}"
        for cell, width, right in zip(cells, _WIDTHS, _RIGHT, strict=False)
    )
    line = _GAP.join([*fixed, *cells[len(_WIDTHS) :]])
    return "".join(c if c.isprintable() else "?" for c in line)


def _percent(score: float) -> str:
    """Rounded down, so that only certainty is 100 %."""
    return f"{int(score * 100)} %"


def _note(event: Event) -> str:
    if event.match is not None:
        return f"{event.match.list}: {event.match.entry} ({event.match.kind})"
    others = [c for c in event.candidates if c.plate != event.plate and c.score >= _WORTH_A_NOTE]
    return f"or {others[0].plate} {_percent(others[0].score)}" if others else ""
