"""The table for people: `edge-alpr formats`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table as Rows

from edge_alpr.errors import ConfigError
from edge_alpr.evidence import ALPHABET, NONE
from edge_alpr.formats.guess import Guesser
from edge_alpr.formats.pattern import LONGEST
from edge_alpr.formats.table import Region, fits
from edge_alpr.formats.tiles import tiles_of
from edge_alpr.types import Candidate, Read

_SHOWN = 8
"""Regions of a guess that are printed."""


def list_regions(regions: Sequence[Region], console: Console) -> None:
    """A line for each format; shares are of the region's plates."""
    rows = _rows("code", "name", "pattern", "share", "example", "groups")
    for region in sorted(regions, key=lambda one: one.code):
        entry, whole = region.entry, sum(chosen.weight for chosen in region.entry.formats)
        for number, chosen in enumerate(entry.formats):
            first = (region.code, entry.name) if not number else ("", "")
            groups = ", ".join(entry.groups) if not number else ""
            rows.add_row(
                *first, _plain(chosen.pattern), f"{chosen.weight / whole:.0%}", chosen.example, groups
            )
    console.print(rows)


def test_text(text: str, regions: Sequence[Region], console: Console) -> bool:
    """Print which formats a text fits and the likeliest regions; False where it fits none.

    Raises `ConfigError` for a text that no plate can have.
    """
    plate = text.upper().replace(" ", "").replace("-", "")
    if not 1 <= len(plate) <= LONGEST or any(char not in ALPHABET for char in plate):
        raise ConfigError(f"'{text}' is no plate: 1 to {LONGEST} letters A-Z and digits")
    rows = _rows("code", "name", "pattern", "spelled")
    for region in regions:
        for chosen, shapes in zip(region.entry.formats, region.shapes, strict=True):
            if any(fits(plate, shape) for shape in shapes):
                rows.add_row(region.code, region.entry.name, _plain(chosen.pattern), plate)
        other = {tile.made_to_fit(plate, plate) for tile in tiles_of([region]) if tile.taken(plate)} - {plate}
        for spelled in sorted(other):
            rows.add_row(region.code, region.entry.name, "O for 0 or I for 1", spelled)
    if not rows.row_count:
        console.print(f"{plate} fits no format: it counts as free text")
        return False
    console.print(rows)
    guesses = Guesser(regions)(Read(plate, 1.0, (), (Candidate(plate, 1.0),), np.zeros((0, NONE + 1), np.float32)))
    likeliest = ", ".join(f"{guess.code} {guess.score:.0%}" for guess in guesses[:_SHOWN])
    console.print(f"likeliest: {likeliest or 'somewhere else'}")
    return True


def _rows(*headings: str) -> Rows:
    rows = Rows(box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        rows.add_column(heading, overflow="fold")
    return rows


def _plain(pattern: str) -> str:
    """Rich takes square brackets for markup."""
    return pattern.replace("[", "\\[")
