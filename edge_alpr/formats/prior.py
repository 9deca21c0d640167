"""What slots say when the formats of the country are known: candidates weighed by Bayes, scores still probabilities.

The prior is a mixture: free text, and the shapes of the chosen regions, each text of a shape being as likely.
With P the reader's probability of a text and d how much denser a shape's texts lie than free text, a text weighs
P(text) * (1 + sum over its shapes of (1 + 9 d)^strength - 1), divided by the sum over all texts, those outside of
the n best included. Texts that differ only in O and 0, or I and 1, are one candidate. Free text keeps its weight of
1: a foreign or personalised plate that is read surely stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from edge_alpr.config import FormatsConfig
from edge_alpr.evidence import canonical, char_scores, fold, read_from_slots, text_scores
from edge_alpr.formats.guess import Guesser
from edge_alpr.formats.table import Region, choose, load_table
from edge_alpr.formats.tiles import DOMESTIC, Sieve, Tile, tile_scores, tiles_of
from edge_alpr.types import Candidate, Floats, Read, RegionGuess

_MOST, _CRUMB = 6, 1e-4
"""Shapes looked at for one read, and the least share of the weight that one is looked at for."""

_HARDLY = 0.1
"""A spelling so much less likely than its twin is not shown, even if it is the one that fits."""

_Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Formats:
    """The formats of some regions as a prior. No regions: reads stay as they are.

    `strength` 0 to 1: the share of the counted odds (as an exponent) that is believed. `strict`: a text that fits
    no format is not to be told.
    """

    regions: tuple[Region, ...] = ()
    strength: float = 0.0
    strict: bool = False

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """The shapes of all regions."""
        return tiles_of(self.regions)

    @cached_property
    def _sieve(self) -> Sieve:
        return Sieve(self.tiles)

    @cached_property
    def _gains(self) -> _Doubles:
        densities = np.array([tile.density for tile in self.tiles])
        return np.asarray((1.0 + DOMESTIC * densities) ** self.strength - 1.0)

    @cached_property
    def _guesser(self) -> Guesser:
        return Guesser(self.regions)

    def interpret(self, slots: Floats) -> Read:
        """The read of slots (L, A + 1); without regions, or at strength 0, that of `read_from_slots`.

        If the best text fits and `strict` is set, only candidates that fit are left.
        """
        read = read_from_slots(slots)
        if self.regions and self.strength > 0 and len(slots):
            read = self._weighed(read)
        if self.strict and self.admits(read.plate):
            read = replace(read, candidates=tuple(c for c in read.candidates if self.admits(c.plate)))
        return read

    def admits(self, text: str) -> bool:
        """Whether a text may be told: always, unless `strict` is set; then only one that fits a format."""
        return not self.strict or self.fits(text)

    def fits(self, text: str) -> bool:
        """Whether a text fits a format of the regions, letter for letter."""
        return any(tile.fits(text) for tile in self.tiles)

    def withheld(self, read: Read) -> Read:
        """The read as it may be told: without a text, at score 0, where `admits` forbids it."""
        if not read.plate or self.admits(read.plate):
            return read
        return replace(read, plate="", score=0.0, char_scores=(), candidates=(Candidate("", 0.0),))

    def guess(self, read: Read) -> RegionGuess | UnsetType:
        """The likeliest of the regions; UNSET without regions, or where none is likely at all."""
        return next(iter(self._guesser(read)), UNSET) if self.regions else UNSET

    def _weighed(self, read: Read) -> Read:
        rows = np.asarray(read.slots, np.float64)
        weights = self._gains * self._sieve.masses(rows)
        whole = 1.0 + float(weights.sum())
        live = [i for i in np.argsort(-weights)[:_MOST].tolist() if weights[i] > _CRUMB * whole]
        told = {c.plate: c.score for c in read.candidates}
        missing = [text for text in self._fitted(live, rows, tuple(told)) if text not in told]
        told.update(zip(missing, text_scores(rows, missing), strict=True))
        for number in live:
            texts = [text for text in told if self.tiles[number].fits(text)]
            for text, mass in zip(texts, tile_scores(rows, self.tiles[number], texts).tolist(), strict=True):
                told[text] += float(self._gains[number]) * mass
        best = sorted(self._twins_joined(told), key=lambda item: -item[1])[:10]
        candidates = tuple(Candidate(text, min(1.0, mass / whole)) for text, mass in best)
        return Read(
            candidates[0].plate, candidates[0].score, _char_scores(read.slots, candidates), candidates, read.slots
        )

    def _twins_joined(self, told: Mapping[str, float]) -> Iterator[tuple[str, float]]:
        """Texts that differ in O and 0, I and 1 only are one, spelled as a format has it unless hardly likely so."""
        groups: dict[str, list[str]] = {}
        for text in told:
            groups.setdefault(canonical(text), []).append(text)
        for texts in groups.values():
            most = max(told[text] for text in texts)
            fitting = [t for t in texts if told[t] >= _HARDLY * most and self.fits(t)] if len(texts) > 1 else []
            yield max(fitting or texts, key=told.__getitem__), sum(told[text] for text in texts)

    def _fitted(self, live: Sequence[int], rows: _Doubles, texts: Sequence[str]) -> list[str]:
        """For each shape the text that the slots spell best, and the given texts made to fit it."""
        made: dict[str, None] = {}
        for number in live:
            best = self._sieve.best(rows, number)
            made |= dict.fromkeys(self.tiles[number].made_to_fit(text, best) for text in (best, *texts))
        return [text for text in made if text]


NO_FORMATS = Formats()
"""Reads stay as they are, and all may be told."""


def open_formats(config: FormatsConfig) -> Formats:
    """The formats that the configuration asks for. Raises `ConfigError`."""
    regions = choose(load_table(config.table), config.regions) if config.regions or config.table else ()
    return Formats(regions, config.strength, config.mode == "filter" and bool(regions))


def _char_scores(slots: Floats, candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """The probability of each character of the first candidate: of the candidates of its length that have it there,
    and beyond them what the slots say."""
    text = canonical(candidates[0].plate)
    same = [(canonical(c.plate), c.score) for c in candidates if len(c.plate) == len(text)]
    beyond = max(0.0, 1.0 - sum(score for _, score in same))
    alone = char_scores(fold(slots), text)
    return tuple(
        min(1.0, sum(score for other, score in same if other[i] == char) + beyond * alone[i])
        for i, char in enumerate(text)
    )
