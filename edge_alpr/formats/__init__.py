"""Plate formats of countries and states, as a prior over texts: never part of the networks, off unless asked for."""

from __future__ import annotations

from functools import cache

from edge_alpr.formats.guess import Guesser
from edge_alpr.formats.prior import NO_FORMATS, Formats, open_formats
from edge_alpr.formats.table import Region, Table, choose, load_table, shipped
from edge_alpr.types import Read, RegionGuess

__all__ = [
    "NO_FORMATS",
    "Formats",
    "Guesser",
    "Region",
    "RegionGuess",
    "Table",
    "choose",
    "guess",
    "load_table",
    "open_formats",
    "shipped",
]


def guess(read: Read) -> tuple[RegionGuess, ...]:
    """Where a plate may come from, of all regions of the shipped table; best first, scores add up to 1 at most."""
    return _of_the_world()(read)


@cache
def _of_the_world() -> Guesser:
    return Guesser(tuple(shipped().values()))
