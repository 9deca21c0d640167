"""Reading lists: CSV and JSON as people send them. What cannot be used is a `Fault`, and the rest is read.

A CSV list may begin with lines `# priority: 5` (name, priority, color, sound, source, issued, expires), then a line
that names its columns. Each line stands for itself, so a quote that never ends spoils one line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from edge_alpr.errors import HotListError
from edge_alpr.hotlist.entry import Entry, Fault, ListInfo, make_entry, with_head

MOST_BYTES = 512 << 20
LONGEST_LINE = 4096
COLUMNS = {
    "plate": ("plate", "number", "registration", "reg", "vrm", "license_plate", "entry", "pattern", "text"),
    "kind": ("kind", "type", "match"),
    "expires": ("expires", "expiry", "until", "valid_until"),
    "note": ("note", "notes", "comment", "description", "reason"),
}
UNNAMED = {"plate": 0, "note": 1, "expires": 2}
"""The columns of a list that does not name them."""
ENTRIES = ("entries", "plates")
"""Where a JSON list that is a table has its entries."""
Item: TypeAlias = Entry | Fault


def parse(data: bytes, suffix: str, name: str) -> tuple[ListInfo, Iterator[Item]]:
    """The head of a list and all that follows; `suffix` is `.csv` or `.json`, `name` that of a list without one.

    Raises `HotListError` where it is no list at all.
    """
    if len(data) > MOST_BYTES:
        raise HotListError(f"{len(data) >> 20} MB; a list has at most {MOST_BYTES >> 20}: split it")
    text, faults = decode(data)
    info, items = PARSERS[suffix](text, ListInfo(name))
    return info, _chain(faults, items)


def decode(data: bytes) -> tuple[str, list[Fault]]:
    """Text of any usual encoding; a fault where it is not UTF-8."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), []
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return data.decode("latin-1"), [Fault(line, "not UTF-8: the whole list is read as Latin-1")]


def _chain(faults: Sequence[Fault], items: Iterator[Item]) -> Iterator[Item]:
    yield from faults
    yield from items


def _parse_csv(text: str, info: ListInfo) -> tuple[ListInfo, Iterator[Item]]:
    lines = io.StringIO(text, newline=None)
    faults: list[Fault] = []
    number, line = 0, ""
    for line in lines:
        number += 1
        if not line.strip():
            continue
        if not line.startswith("#"):
            break
        info = _noted(info, line[1:], number, faults)
    else:
        return info, iter(faults)
    return info, _chain(faults, _rows(lines, line, number))


def _noted(info: ListInfo, comment: str, number: int, faults: list[Fault]) -> ListInfo:
    key, colon, value = comment.partition(":")
    made = with_head(info, key.strip().lower(), value) if colon else info
    if isinstance(made, str):
        faults.append(Fault(number, made))
        return info
    return made


def _rows(lines: io.StringIO, first: str, number: int) -> Iterator[Item]:
    delimiter = delimiter_of(first)
    columns = columns_of(first, delimiter)
    if columns is None:
        columns = UNNAMED
        yield _row(first, number, delimiter, columns)
    for place, line in enumerate(lines, number + 1):
        if line[:1] != "#" and not line.isspace():
            yield _row(line, place, delimiter, columns)


def delimiter_of(line: str) -> str:
    """What stands between the cells: comma, semicolon or tab, whichever there is most of."""
    return max(",;\t", key=line.count)


def columns_of(line: str, delimiter: str) -> dict[str, int] | None:
    """Where the columns are that we know; None where the line names no plates."""
    cells = [cell.strip().lower().replace(" ", "_") for cell in _split(line, delimiter) or ()]
    found = {
        column: next(place for place, cell in enumerate(cells) if cell in names)
        for column, names in COLUMNS.items()
        if set(cells) & set(names)
    }
    return found if "plate" in found else None


def _row(line: str, number: int, delimiter: str, columns: Mapping[str, int]) -> Item:
    if len(line) > LONGEST_LINE or "\0" in line:
        return Fault(number, "a NUL byte" if "\0" in line else f"longer than {LONGEST_LINE} characters")
    cells = _split(line, delimiter)
    if cells is None:
        return Fault(number, "a quote is not closed, or stands where none may")
    count = len(cells)
    return _entry({column: cells[place] for column, place in columns.items() if place < count}, number)


def _entry(values: Mapping[str, str], number: int) -> Item:
    note = values.get("note", "").strip()
    if not note.isprintable():
        note = "".join(char for char in note if char.isprintable())
    return make_entry(
        values.get("plate", ""), number, values.get("kind", "").strip(), values.get("expires", "").strip(), note
    )


def _split(line: str, delimiter: str) -> list[str] | None:
    """The cells of a line; None where its quotes are wrong."""
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return None


def _parse_json(text: str, info: ListInfo) -> tuple[ListInfo, Iterator[Item]]:
    try:
        data: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise HotListError(f"not valid JSON: {error}") from error
    faults: list[Fault] = []
    entries = data
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str | int):
                info = _noted(info, f"{key}:{value}", 0, faults)
        entries = next((data[key] for key in ENTRIES if key in data), None)
    if not isinstance(entries, list):
        raise HotListError('neither a list of entries nor {"entries": […]}')
    return info, _chain(faults, _json_items(entries))


def _json_items(entries: Sequence[Any]) -> Iterator[Item]:
    for number, item in enumerate(entries, 1):
        if isinstance(item, str):
            yield make_entry(item[:LONGEST_LINE], number)
        elif isinstance(item, dict):
            yield _entry(json_values(item), number)
        else:
            yield Fault(number, "neither a text nor a table with a plate")


def json_values(item: Mapping[str, Any]) -> dict[str, str]:
    """The values of an entry that we know, by our names for them."""
    return {
        column: next(str(item[name])[:LONGEST_LINE] for name in names if item.get(name) is not None)
        for column, names in COLUMNS.items()
        if any(item.get(name) is not None for name in names)
    }


PARSERS = {".csv": _parse_csv, ".json": _parse_json}
"""By the ends of the files' names."""
