"""The table of plate formats: countries and states as TOML, shipped and the user's own. Strict."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge_alpr.errors import ConfigError
from edge_alpr.formats.pattern import Shape, parse_pattern, spelled_out

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Weight = Annotated[float, Meta(gt=0)]
Code = Annotated[str, Meta(pattern="^[A-Z0-9]{1,6}$")]
_ENTRY = "^[a-z]{2}(-[a-z0-9]{1,3})?$"


class Format(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One format: its pattern, a text that fits, and how common it is beside the region's others."""

    pattern: str
    example: Annotated[str, Meta(pattern="^[A-Z0-9]{1,10}$")]
    weight: Weight = 1.0


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A country or state as the file has it."""

    name: str
    formats: Annotated[tuple[Format, ...], Meta(min_length=1)]
    weight: Weight = 1.0
    """Million vehicles, about: how likely a plate is from here when nothing else is known."""
    letters: str = "A-Z"
    """What `L` stands for."""
    groups: tuple[str, ...] = ()
    alike: tuple[Literal["O0", "I1"], ...] = ()
    """Characters drawn the same."""
    lists: dict[str, Annotated[tuple[Code, ...], Meta(min_length=1)]] = {}
    """Codes for `<name>` in patterns."""


@dataclass(frozen=True, slots=True)
class Region:
    """A country or state, its patterns parsed: for each format its shapes."""

    code: str
    entry: Entry
    shapes: tuple[tuple[Shape, ...], ...]


Table = Mapping[str, Region]
"""Regions by code."""


@cache
def shipped() -> Table:
    """The table that comes with the package."""
    folder = resources.files("edge_alpr.formats")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {code: region for f in files for code, region in parse_table(f.read_text("utf-8"), f.name).items()}


def load_table(path: str) -> Table:
    """The shipped table with the entries of the user's file added or in place of them; empty: shipped only.

    Raises `ConfigError`.
    """
    if not path:
        return shipped()
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}; see [formats] table") from error
    return {**shipped(), **parse_table(text, str(file))}


def parse_table(text: str, origin: str) -> dict[str, Region]:
    """Regions from TOML text. Raises `ConfigError` that names the line or the key."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin}: not valid TOML: {error}") from error
    return {code: _region(code, values, origin) for code, values in data.items()}


def _region(code: str, values: Any, origin: str) -> Region:
    try:
        msgspec.convert(code, Annotated[str, Meta(pattern=_ENTRY)])
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: [{code}]: a region is a code such as ro or us-ca") from error
    try:
        entry = msgspec.convert(values, Entry)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$.")
        raise ConfigError(f"{origin}: [{code}] {key + ': ' if key else ''}{what.replace('`', '')}") from error
    try:
        letters = spelled_out(entry.letters)
    except ValueError as error:
        raise ConfigError(f"{origin}: [{code}] letters: {error}") from error
    shapes = (_shapes(entry, number, letters, f"{origin}: [{code}]") for number in range(len(entry.formats)))
    return Region(code, entry, tuple(shapes))


def _shapes(entry: Entry, number: int, letters: str, origin: str) -> tuple[Shape, ...]:
    chosen = entry.formats[number]
    try:
        shapes = parse_pattern(chosen.pattern, letters, entry.lists)
    except ValueError as error:
        raise ConfigError(f"{origin} formats[{number}].pattern: {error}") from error
    if not any(fits(chosen.example, shape) for shape in shapes):
        raise ConfigError(f"{origin} formats[{number}].example: '{chosen.example}' does not fit '{chosen.pattern}'")
    return shapes


def fits(text: str, shape: Shape) -> bool:
    """Whether a text has this shape, O told from 0 and I from 1."""
    return len(text) == len(shape.places) and all(c in place for c, place in zip(text, shape.places, strict=True))


def choose(table: Table, wanted: Iterable[str]) -> tuple[Region, ...]:
    """The regions of codes (`ro`, `us-ca`), of countries with states (`us`) and of groups (`eu`), each once.

    Raises `ConfigError` for one that the table does not have.
    """
    groups = {name for region in table.values() for name in region.entry.groups}
    countries = {code.partition("-")[0] for code in table if "-" in code}
    found: dict[str, Region] = {}
    for name in wanted:
        regions = {
            code: region
            for code, region in table.items()
            if name in (code, code.partition("-")[0], *region.entry.groups)
        }
        if not regions:
            known = sorted({*table, *groups, *countries})
            near = get_close_matches(name, known, 5) or sorted(groups)
            raise ConfigError(
                f"formats: no region '{name}'; like it: {', '.join(near)}; all of them: edge-alpr formats"
            )
        found |= regions
    return tuple(found.values())
