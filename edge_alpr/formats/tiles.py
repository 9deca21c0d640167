"""The shapes of some regions as arrays, and how much of a reader's slots falls on each. Pure NumPy.

A place that takes 0 but not O also takes what the slots say for O, whole where the region draws both alike and a
tenth otherwise, and the other way round; so with 1 and I. The text is then spelled as the format has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_alpr.evidence import ALPHABET, NONE
from edge_alpr.formats.table import Region

TWIN = {"0": "O", "O": "0", "1": "I", "I": "1"}
_SLIP = 0.1
"""Chance that a character was taken for its twin where a region draws the two differently."""
_LENGTHS = 10.0
"""Free text is as likely to be of each length up to this, and each of its characters any of 36."""

DOMESTIC = 9.0
"""Plates of the chosen regions for each other one."""

_Doubles = NDArray[np.float64]
Place = tuple[str, tuple[float, float]]
"""The characters a place takes, and the share of a twin's mass that it takes too: of 0 and O, of 1 and I."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A shape, with how much denser its texts lie than free text of that length (1 is as dense)."""

    places: tuple[Place, ...]
    density: float

    def made_to_fit(self, text: str, best: str) -> str:
        """A text with twins spelled as they are here, and as in `best` where else it does not fit.

        Empty where the lengths differ.
        """
        if not len(text) == len(best) == len(self.places):
            return ""
        return "".join(_spelled(char, place) or b for char, b, place in zip(text, best, self.places, strict=True))

    def taken(self, text: str) -> float:
        """How far a text can be one of these: 1 if it is, less for each twin it needs, 0 if it cannot."""
        if len(text) != len(self.places):
            return 0.0
        share = 1.0
        for char, place in zip(text, self.places, strict=True):
            here = _spelled(char, place)
            share *= 1.0 if here == char else slip(place, here) if here else 0.0
            if not share:
                break
        return share

    def fits(self, text: str) -> bool:
        """Whether a text is one of these, letter for letter."""
        return len(text) == len(self.places) and all(c in p[0] for c, p in zip(text, self.places, strict=True))


def _spelled(char: str, place: Place) -> str:
    """A character as a place has it: itself, its twin, or nothing."""
    if char in place[0]:
        return char
    other = TWIN.get(char, "")
    return other if other and other in place[0] else ""


def slip(place: Place, char: str) -> float:
    """How much of the mass of `char`'s twin a place takes for `char`, which it has."""
    other = TWIN.get(char)
    if other is None or other in place[0]:
        return 0.0
    return place[1][0] if char in "0O" else place[1][1]


def tiles_of(regions: Sequence[Region]) -> tuple[Tile, ...]:
    """The shapes of all regions, the same one of two regions being one; densities count the regions' weights."""
    total = sum(region.entry.weight for region in regions)
    densities: dict[tuple[Place, ...], float] = {}
    for region in regions:
        alike = region.entry.alike
        slips = (1.0 if "O0" in alike else _SLIP, 1.0 if "I1" in alike else _SLIP)
        for places, density in _densities(region):
            key = tuple((place, slips) for place in places)
            densities[key] = densities.get(key, 0.0) + density * region.entry.weight / total
    return tuple(Tile(places, density) for places, density in densities.items())


def _densities(region: Region) -> Iterable[tuple[tuple[str, ...], float]]:
    whole = sum(chosen.weight for chosen in region.entry.formats)
    for chosen, shapes in zip(region.entry.formats, region.shapes, strict=True):
        for shape in shapes:
            free = NONE ** -len(shape.places) / _LENGTHS
            yield shape.places, chosen.weight / whole * shape.share / shape.texts / free


class Sieve:
    """Tiles laid out to be asked all at once."""

    def __init__(self, tiles: Sequence[Tile]) -> None:
        kinds: dict[Place, int] = {("", (0.0, 0.0)): 0}
        longest = max(len(tile.places) for tile in tiles)
        self._index = np.zeros((len(tiles), longest), np.intp)
        for row, tile in zip(self._index, tiles, strict=True):
            row[: len(tile.places)] = [kinds.setdefault(place, len(kinds)) for place in tile.places]
        self._lengths = np.array([len(tile.places) for tile in tiles])
        self._own = np.array([[float(char in place[0]) for char in ALPHABET] for place in kinds])
        self._slip = np.array([[slip(place, c) if c in place[0] else 0.0 for c in ALPHABET] for place in kinds])
        self._whole = self._own + self._slip[:, _TWINS]

    def masses(self, rows: _Doubles) -> _Doubles:
        """How much of the slots (L, A + 1) spells a text of each tile, (tiles,)."""
        taken = rows[:, :NONE] @ self._whole.T
        begun = np.zeros((len(self._index), self._index.shape[1] + 1))
        begun[:, 0] = 1.0
        for row, chances in zip(rows, taken, strict=True):
            extended = begun[:, :-1] * chances[self._index]
            begun *= row[NONE]
            begun[:, 1:] += extended
        return np.asarray(begun[np.arange(len(begun)), self._lengths])

    def best(self, rows: _Doubles, number: int) -> str:
        """The text of a tile that the slots spell in the likeliest way."""
        index = self._index[number, : self._lengths[number]]
        chances = self._own[index] * rows[:, None, :NONE] + self._slip[index] * rows[:, None, _TWINS]
        chars, top = chances.argmax(axis=2), chances.max(axis=2)
        mass = np.zeros(len(index) + 1)
        mass[0] = 1.0
        took = np.zeros(top.shape, bool)
        for i, row in enumerate(rows):
            skip, take = mass * row[NONE], mass[:-1] * top[i]
            took[i] = take > skip[1:]
            mass = skip
            mass[1:] = np.maximum(skip[1:], take)
        text, k = "", len(index) - 1
        for i in range(len(rows) - 1, -1, -1):
            if k >= 0 and took[i, k]:
                text, k = ALPHABET[chars[i, k]] + text, k - 1
        return text if k < 0 else ""


_TWINS = [ALPHABET.index(TWIN.get(char, char)) for char in ALPHABET]


def tile_scores(rows: _Doubles, tile: Tile, texts: Sequence[str]) -> _Doubles:
    """How much of the slots spells each of the texts, which fit the tile, twins included as it takes them."""
    if not texts:
        return np.zeros(0)
    columns = np.array([[ALPHABET.index(char) for char in text] for text in texts])
    slips = np.array([[slip(place, c) for c, place in zip(text, tile.places, strict=True)] for text in texts])
    begun = np.zeros((len(texts), len(tile.places) + 1))
    begun[:, 0] = 1.0
    twins = np.array(_TWINS)[columns]
    for row in rows:
        extended = begun[:, :-1] * (row[columns] + slips * row[twins])
        begun *= row[NONE]
        begun[:, 1:] += extended
    return np.asarray(begun[:, -1])
