"""Lists, hits and faults for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_alpr.config import HotListsConfig
from edge_alpr.hotlist.folder import Loaded
from edge_alpr.hotlist.match import LoadedList, Matcher
from edge_alpr.types import Event, Match

_MOST_FAULTS = 10
_COLUMNS = ("list", "entries", "priority", "age", "expires", "signed by", "passed over", "file")


def show_lists(loaded: Loaded, config: HotListsConfig, at_ms: int, console: Console) -> None:
    """A row for each list, what is wrong below, and what a hit needs."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in ("entries", "priority", "passed over") else "left")
    for one in sorted(loaded.lists, key=lambda one: -one.info.priority):
        table.add_row(*_cells(one, config, at_ms))
    if loaded.lists:
        console.print(table)
    for reason in loaded.troubles.values():
        say(console, f"not usable: {reason}", "red")
    if loaded.lists:
        show_threshold(Matcher(config, loaded.lists), console)


def _cells(one: LoadedList, config: HotListsConfig, at_ms: int) -> Iterable[Text]:
    over, stale = one.expired(at_ms), one.stale(at_ms, config.stale_after_h)
    expires = _day(one.info.expires_s) if one.info.expires_s else "never"
    return (
        Text(one.info.name, style="bold"),
        Text(f"{len(one):,}"),
        Text(str(one.info.priority)),
        Text(_age(one.age_s(at_ms)) + (", stale" if stale else ""), style="yellow" if stale else ""),
        Text(expires + (", over" if over else ""), style="yellow" if over else ""),
        Text(one.signed_by or "nobody"),
        Text(f"{one.fault_count:,}", style="yellow" if one.fault_count else ""),
        Text(one.path.name),
    )


def show_faults(one: LoadedList, console: Console, most: int = _MOST_FAULTS) -> None:
    """The first lines of a list that are passed over, with their numbers."""
    for fault in one.faults[:most]:
        say(console, f"{one.path}:{fault.line}: {fault.reason}", "yellow")
    if one.fault_count > most:
        say(console, f"{one.path}: {one.fault_count - most:,} more lines are passed over", "yellow")


def show_threshold(matcher: Matcher, console: Console) -> None:
    """What a hit needs, and why."""
    config = matcher.config
    many = matcher.expected_false_alerts
    text = (
        f"A read must give an entry {_percent(matcher.least_chance)} to be told: at most {_count(many)} false alerts "
        f"in 8 hours with {config.plates_per_hour:g} plates an hour, of {config.plates_in_use:,.0f} in use."
    )
    say(console, text, "dim")
    if matcher.too_long:
        wanted = f"{config.false_alerts:g} of hotlists.false_alerts"
        say(console, f"More than the {wanted}: the lists are too long for it.", "yellow")


def show_match(plate: str, matches: Sequence[Match], console: Console) -> None:
    """One line for each hit of a text, the characters that differ underlined."""
    for match in matches:
        line = marked(plate, match.chars_differ)
        line.append(f"  {match.list}: {match.entry}  {match.kind}, {_percent(match.score)}", style="")
        line.append(f"  {match.note}" if match.note else "", style="dim")
        console.print(line, soft_wrap=True)
    if not matches:
        say(console, f"{plate}  on no list")


def marked(plate: str, places: Sequence[int]) -> Text:
    """A plate with some characters underlined; `_` after its end where one is missing there."""
    text = Text(plate + ("_" if len(plate) in places else ""), style="bold")
    for place in places:
        text.stylize("underline red", place, place + 1)
    return text


def show_past(found: Iterable[tuple[Event, Match]], console: Console, most: int = 20) -> None:
    """The passages that hit, newest first."""
    count = 0
    for count, (event, match) in enumerate(found, 1):
        if count > most:
            continue
        line = Text(f"seen before: {event.timestamp}  ", style="")
        line.append_text(marked(event.plate, match.chars_differ))
        line.append(f"  {match.entry}  {match.kind}, {_percent(match.score)}, {event.uuid}", style="")
        console.print(line, soft_wrap=True)
    more = f"seen before: {count - most} more" if count > most else "not seen before"
    if count > most or not count:
        say(console, more)


def say(console: Console, text: str, style: str = "") -> None:
    """A line as it is."""
    console.print(Text(text, style=style), soft_wrap=True)


def _count(number: float) -> str:
    return f"{number:.2g}" if number < 10 else f"{number:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{int(share * 100)} %"


def _age(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M")
