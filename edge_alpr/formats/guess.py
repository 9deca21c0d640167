"""Where a plate may come from: the regions whose formats its text fits, by Bayes with the table's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_alpr.formats.table import Region
from edge_alpr.formats.tiles import DOMESTIC, Tile, tiles_of
from edge_alpr.types import Candidate, Read, RegionGuess

_LEAST = 0.01
"""Less likely regions are not told, and less likely candidates not asked."""


@dataclass(frozen=True, slots=True)
class _Stock:
    """A shape of a region, and how likely its texts are beside free text."""

    region: Region
    tile: Tile
    odds: float


class Guesser:
    """Guesses among some regions; one plate in ten is taken to come from elsewhere."""

    def __init__(self, regions: Sequence[Region]) -> None:
        total = sum(region.entry.weight for region in regions)
        self._stocks: dict[int, list[_Stock]] = {}
        for region in regions:
            for tile in tiles_of([region]):
                odds = DOMESTIC * region.entry.weight / total * tile.density
                self._stocks.setdefault(len(tile.places), []).append(_Stock(region, tile, odds))

    def __call__(self, read: Read) -> tuple[RegionGuess, ...]:
        """Regions best first, those under 1 % left out; the scores add up to 1 at most, the rest is elsewhere."""
        shares: dict[str, float] = {}
        names: dict[str, str] = {}
        for candidate in read.candidates:
            for region, share in self._of_text(candidate):
                names[region.code] = region.entry.name
                shares[region.code] = shares.get(region.code, 0.0) + share
        best = sorted(shares, key=lambda code: -shares[code])
        return tuple(RegionGuess(code, names[code], min(1.0, shares[code])) for code in best if shares[code] >= _LEAST)

    def _of_text(self, candidate: Candidate) -> list[tuple[Region, float]]:
        if candidate.score < _LEAST:
            return []
        stocks = self._stocks.get(len(candidate.plate), [])
        odds = [(stock.region, stock.odds * stock.tile.taken(candidate.plate)) for stock in stocks]
        whole = 1.0 + sum(odd for _, odd in odds)
        return [(region, candidate.score * odd / whole) for region, odd in odds if odd]
