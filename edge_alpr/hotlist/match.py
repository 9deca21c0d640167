"""A read against the lists: which entries it may be, how sure, which characters differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from rapidfuzz.distance import Levenshtein

from edge_alpr.config import HotListsConfig
from edge_alpr.evidence import canonical, fold, text_scores
from edge_alpr.hotlist.chance import Errors, chances, expected_false_alerts, least_chance, posterior, prior_odds
from edge_alpr.hotlist.compiled import Compiled
from edge_alpr.hotlist.entry import LONGEST, Fault, ListInfo
from edge_alpr.hotlist.keys import Classes, Keys
from edge_alpr.hotlist.patterns import Patterns
from edge_alpr.types import Match, Read

_NEAR_TEXTS = 2
"""Of so many of the best texts the neighbours are looked up."""
_HOUR_MS = 3_600_000
_SURE_PATTERN = 0.5
"""What a read must give the texts of a pattern together."""
Nearness: TypeAlias = Literal["exact", "equivalent", "distance", "wildcard"]


@dataclass(frozen=True, eq=False)
class LoadedList:
    """A list as it lies in its folder. `issued_ms`: when it was made, UTC; `signed_by`: the key, empty without."""

    path: Path
    compiled: Compiled
    issued_ms: int
    signed_by: str = ""
    compiled_path: Path | None = None
    patterns: Patterns = field(default_factory=lambda: Patterns(()))

    @property
    def info(self) -> ListInfo:
        """Its head."""
        return self.compiled.head.info

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is passed over; only the first of very many."""
        return (*self.compiled.head.faults, *self.patterns.faults)

    @property
    def fault_count(self) -> int:
        """How many lines are passed over."""
        return self.compiled.head.fault_count + len(self.patterns.faults)

    def __len__(self) -> int:
        return len(self.compiled.index) + len(self.patterns)

    def expired(self, at_ms: int) -> bool:
        """Whether it is over."""
        return 0 < self.info.expires_s * 1000 <= at_ms

    def age_s(self, at_ms: int) -> int:
        """How old it is; 0 for one of the future."""
        return max(0, at_ms - self.issued_ms) // 1000

    def stale(self, at_ms: int, after_h: float) -> bool:
        """Whether it is too old to be relied on."""
        return 0 < after_h * _HOUR_MS < at_ms - self.issued_ms


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that a read may be: its text (canonical) and its row in the index."""

    of: LoadedList
    row: int
    text: str


class Matcher:
    """All lists in one state. Calling it takes well under a millisecond and changes nothing; any thread may."""

    def __init__(self, config: HotListsConfig, lists: Sequence[LoadedList]) -> None:
        self.config = config
        self.lists = tuple(lists)
        self._classes = Classes(config.classes)
        self._errors = Errors(self._classes)
        entries = sum(len(one.compiled.index) for one in lists)
        self.density = min(1.0, max(entries, 1) / config.plates_in_use)
        """The chance that a plate is on the lists, if they are as any others."""
        self.odds = prior_odds(entries, self.density, config.plates_per_hour, config.hits_per_shift)
        self.least_chance = least_chance(self.density, config.plates_per_hour, config.false_alerts)
        """What a read must give an entry so that it is told."""
        expected = expected_false_alerts(self.least_chance, self.density, config.plates_per_hour) if entries else 0.0
        self.expected_false_alerts = expected
        """In a shift, at most; more than stated where the lists are too long for it."""

    @property
    def too_long(self) -> bool:
        """Whether more false alerts must be expected than the configuration states."""
        return self.expected_false_alerts > 1.01 * self.config.false_alerts

    def __call__(self, read: Read, at_ms: int) -> tuple[Match, ...]:
        """The hits at that time (UTC), the most urgent first, at most one of each list."""
        valid = [one for one in self.lists if not one.expired(at_ms)]
        if not valid or not read.plate:
            return ()
        hits = [*self._texts(valid, read, at_ms), *self._patterns(valid, read, at_ms)]
        hits.sort(key=lambda hit: (-hit.priority, -hit.score))
        return tuple({hit.list: hit for hit in reversed(hits)}.values())[::-1]

    def chances(self, read: Read, texts: Sequence[str]) -> list[float]:
        """The probability that the plate is each of these canonical texts.

        Candidates keep what the read gives them, which may know of formats, less what goes to misreads; other texts
        have what the slots give them, out of what is left.
        """
        said: dict[str, float] = {}
        for candidate in read.candidates:
            text = canonical(candidate.plate)
            said[text] = said.get(text, 0.0) + candidate.score
        if not len(read.slots):
            return [said.get(text, 0.0) for text in texts]
        best = canonical(read.plate)
        soft = chances(self._errors.rows(read.slots), [best, *texts]).tolist()
        plain = text_scores(fold(read.slots), [best])[0]
        kept = min(1.0, soft[0] / plain) if plain > 0 else 1.0
        left = max(0.0, 1.0 - kept * sum(said.values()))
        return [said[text] * kept if text in said else min(q, left) for text, q in zip(texts, soft[1:], strict=True)]

    def _texts(self, lists: Sequence[LoadedList], read: Read, at_ms: int) -> Iterable[Match]:
        found = self._find(lists, read, at_ms // 1000)
        texts = list(dict.fromkeys(one.text for one in found))
        chance = dict(zip(texts, self.chances(read, texts), strict=True)) if texts else {}
        best: dict[Path, Found] = {}
        for one in sorted(found, key=lambda one: chance[one.text]):
            best[one.of.path] = one
        for one in best.values():
            score = posterior(chance[one.text], self.odds)
            if chance[one.text] >= self.least_chance and score >= self.config.min_score:
                yield self._match(one, read, score, at_ms)

    def _find(self, lists: Sequence[LoadedList], read: Read, at_s: int) -> list[Found]:
        keys = self._keys(read)
        return [
            Found(one, row, canonical(one.compiled.index.text(row)))
            for one in lists
            for row in dict.fromkeys(one.compiled.index.find(keys))
            if not 0 < int(one.compiled.index.expires[row]) <= at_s
        ]

    def _keys(self, read: Read) -> Keys:
        """The keys to look for, those of the read texts themselves first."""
        texts = [c.plate for c in read.candidates if 0 < len(c.plate) <= LONGEST]
        folded = list(dict.fromkeys(self._classes.fold(text) for text in texts))
        keys = [self._classes.few(folded)]
        if self.config.max_distance:
            keys += [self._classes.near(text) for text in folded[:_NEAR_TEXTS] if len(text) > 1]
        return np.concatenate(keys)

    def _patterns(self, lists: Sequence[LoadedList], read: Read, at_ms: int) -> Iterable[Match]:
        for one in lists:
            for number, chance in one.patterns.chances(read.candidates).items() if len(one.patterns) else ():
                entry = one.patterns.entries[number]
                if chance >= _SURE_PATTERN and not 0 < entry.expires_s * 1000 <= at_ms:
                    yield self._hit(one, Match("", entry.shown, "wildcard", (), chance, note=entry.note), at_ms)

    def _match(self, one: Found, read: Read, score: float, at_ms: int) -> Match:
        index = one.of.compiled.index
        shown, note = index.said(one.row)
        kind, places = self._nearness(read.plate, index.text(one.row))
        return self._hit(one.of, Match("", shown, kind, places, score, note=note), at_ms)

    def _nearness(self, plate: str, text: str) -> tuple[Nearness, tuple[int, ...]]:
        """How an entry differs from the plate as it is told, and where."""
        places = tuple(sorted({edit.src_pos for edit in Levenshtein.editops(plate, text)}))
        if not places:
            return "exact", ()
        return "equivalent" if self._classes.fold(plate) == self._classes.fold(text) else "distance", places

    def _hit(self, one: LoadedList, match: Match, at_ms: int) -> Match:
        """A match with what its list says."""
        info = one.info
        return replace(
            match,
            list=info.name,
            score=round(min(max(match.score, 0.0), 1.0), 4),
            priority=info.priority,
            color=info.color,
            sound=info.sound,
            list_age_s=one.age_s(at_ms),
            stale=one.stale(at_ms, self.config.stale_after_h),
        )
