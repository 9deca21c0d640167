"""Changing lists: pure functions from the bytes of a list to its new bytes; all that is not changed stays as it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from edge_alpr.errors import HotListError
from edge_alpr.hotlist.entry import Entry, ListInfo, make_entry, plain_text, with_head
from edge_alpr.hotlist.parse import ENTRIES, UNNAMED, columns_of, decode, delimiter_of, parse
from edge_alpr.hotlist.patterns import Patterns

NEW = b"plate,note,expires\n"
"""An empty list."""


def with_heads(data: bytes, suffix: str, heads: Mapping[str, str]) -> bytes:
    """The list with these values in its head. Raises `HotListError` where one cannot be."""
    for key, value in heads.items():
        wrong = with_head(ListInfo("-"), key, value)
        if isinstance(wrong, str):
            raise HotListError(wrong)
    if suffix == ".json":
        table = _table(data)
        return _json({**{key: value for key, value in table.items() if key not in heads}, **heads})
    lines = decode(data)[0].splitlines(keepends=True)
    begin = next((place for place, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    old = [line for line in lines[:begin] if line[1:].partition(":")[0].strip().lower() not in heads]
    new = [f"# {key}: {_one_line(value)}\n" for key, value in heads.items()]
    return "".join([*new, *old, *lines[begin:]]).encode()


def with_entry(data: bytes, suffix: str, plate: str, note: str = "", expires: str = "") -> bytes:
    """The list with one more entry. Raises `HotListError` where it is none."""
    made = make_entry(plate, 0, expires=expires, note=note)
    if not isinstance(made, Entry):
        raise HotListError(made.reason)
    if made.kind != "text" and (faults := Patterns([made]).faults):
        raise HotListError(faults[0].reason)
    values = {"plate": plate.strip(), "note": _one_line(note), "expires": expires.strip()}
    if suffix == ".json":
        table = _table(data)
        table[ENTRIES[0]] = [*table[ENTRIES[0]], {key: value for key, value in values.items() if value}]
        return _json(table)
    text = decode(data)[0]
    text += "" if not text or text.endswith("\n") else "\n"
    return (text + _row(text, values)).encode()


def without(data: bytes, suffix: str, plates: Collection[str], at_s: int) -> tuple[bytes, list[Entry]]:
    """The list without entries of these plates, and without those over at `at_s`; and the entries that went."""
    wanted = {plain_text(plate) for plate in plates} | {plate.strip() for plate in plates}
    gone = [
        item
        for item in parse(data, suffix, "")[1]
        if isinstance(item, Entry) and (item.text in wanted or item.shown in wanted or 0 < item.expires_s <= at_s)
    ]
    lines = {entry.line for entry in gone}
    if suffix == ".json":
        table = _table(data)
        table[ENTRIES[0]] = [item for number, item in enumerate(table[ENTRIES[0]], 1) if number not in lines]
        return (_json(table) if gone else data), gone
    kept = [line for number, line in enumerate(io.StringIO(decode(data)[0], newline=""), 1) if number not in lines]
    return ("".join(kept).encode() if gone else data), gone


def _row(text: str, values: Mapping[str, str]) -> str:
    """One more line with the columns of a CSV list."""
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    delimiter = delimiter_of(first)
    columns = columns_of(first, delimiter) or UNNAMED
    missing = [key for key, value in values.items() if value and key not in columns]
    if missing:
        raise HotListError(f"the list has no column '{missing[0]}'; name one in its first line")
    cells = [""] * (max(columns.values()) + 1)
    for key, place in columns.items():
        cells[place] = values.get(key, "")
    row = io.StringIO()
    csv.writer(row, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return row.getvalue()


def _table(data: bytes) -> dict[str, Any]:
    """A JSON list as a table with its entries under one name. Raises `HotListError`."""
    parse(data, ".json", "")
    value: Any = msgspec.json.decode(decode(data)[0])
    if isinstance(value, list):
        return {ENTRIES[0]: value}
    entries = next(value[key] for key in ENTRIES if key in value)
    return {**{key: other for key, other in value.items() if key not in ENTRIES}, ENTRIES[0]: entries}


def _json(table: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def slug(name: str) -> str:
    """A file's name for a list."""
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in name.strip().lower())
    if not kept.strip("-"):
        raise HotListError(f"'{name}' cannot be a list's name; use letters and digits")
    return kept


def first_words(entries: Sequence[Entry], most: int = 5) -> str:
    """Some of the entries for a message."""
    shown = ", ".join(entry.shown or entry.text for entry in entries[:most])
    return shown + (f" and {len(entries) - most} more" if len(entries) > most else "")
