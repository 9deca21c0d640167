"""Vehicles of the last minutes: which text was told of them, and whether a new one is the same vehicle.

Pure memory on the media clock, bounded in time and number; it keeps no pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from rapidfuzz.distance import Levenshtein

from edge_alpr.evidence import Interpret, canonical, fold, read_from_slots, text_scores
from edge_alpr.fusion import Fusion, quality
from edge_alpr.types import Match, Sighting

TrackKey = tuple[str, int]
"""Camera and track id."""
Neighbours = dict[TrackKey, bool]
"""Tracks seen in the same frame, and whether ever in another place (another vehicle) or only on top of it."""

_CONFUSABLE = ("0ODQ", "1I", "2Z", "5S", "8B", "6G", "UV", "MNHW", "EF", "CG")
"""Characters taken for one another on a bad picture."""
_DECISIVE = 3.0
"""Evidence in nats that makes one of two like texts the right one."""
_SURE_READS, _SURE_AGREEMENT, _SURE_SCORE = 3, 0.6, 0.95
"""What two like texts must each have to be taken as two vehicles though never seen side by side."""
_PLAIN_READS, _PLAIN_AGREEMENT, _PLAIN_SCORE = 6, 0.95, 0.99
"""The same for texts that differ only in characters that are taken for one another; the score is of each character."""
_ENOUGH_READS = 5
"""More reads of one track make its text no surer beside another one."""
_LEAST = 1e-4
"""No text is less probable than this, however sure the slots are."""
_LEAST_PART = 3
"""Characters that a hidden plate's rest shares with the whole one, or else it says nothing."""
_BESIDE_NS = 10_000_000_000
"""Stamps of several cameras are never so far apart, with all their delays."""
_MOST = 512
_MOST_NEIGHBOURS = 128


class Relation(Enum):
    """What a sighting is to a passage."""

    OTHER = "another vehicle"
    SAME = "the same vehicle"
    BETTER = "the same vehicle, and the sighting has its text right where the passage had it wrong"


@dataclass(eq=False)
class Passage:
    """One vehicle going by. `sighting` is its fused read without pictures, `last_ns` when it was last seen.

    `uuid` is the confirmed event, empty where the evidence never sufficed: such a text still counts when the
    vehicle comes back. `text` is canonical.
    """

    sighting: Sighting
    last_ns: int
    uuid: str
    text: str
    neighbours: Neighbours
    matches: tuple[Match, ...] = ()
    """The hits that its event was told with, of the lists' version `lists`."""
    lists: int = 0

    def relation(self, sighting: Sighting) -> Relation:
        """Whether the sighting is this vehicle, and if the texts differ, which one is right."""
        mine, theirs = self.text, canonical(sighting.read.plate)
        if mine == theirs:
            return Relation.SAME
        apart = self.neighbours.get(track_key(sighting))
        if apart or not (alike(mine, theirs) or (self.uuid and _are_part_and_whole(self.sighting, sighting))):
            return Relation.OTHER
        if abs(len(mine) - len(theirs)) > 1:  # one was cut off or half hidden
            return Relation.BETTER if len(theirs) > len(mine) else Relation.SAME
        if apart is None and _are_two(self.sighting, sighting):
            return Relation.OTHER
        return Relation.BETTER if preference(self.sighting, sighting) > _DECISIVE else Relation.SAME

    def joined(self, sighting: Sighting, interpret: Interpret = read_from_slots) -> Sighting:
        """The sighting with the evidence of this earlier passage of the same vehicle added to its own."""
        fusion = Fusion()
        for part in (self.sighting, sighting):
            fusion.add(part.read.slots, quality(part.best.crop, part.best.read))
        read, reads = fusion.read(interpret), self.sighting.reads + sighting.reads
        agreeing = sum(
            part.agreement * part.reads
            for part in (self.sighting, sighting)
            if canonical(part.read.plate) == canonical(read.plate)
        )
        first_ns = min(self.sighting.first_stamp_ns, sighting.first_stamp_ns)
        agreement = agreeing / reads if reads else 0.0
        return replace(sighting, read=read, reads=reads, agreement=agreement, first_stamp_ns=first_ns)


class Passages:
    """The passages within the cool-down. A media clock that goes back is taken as no time passing.

    A little back is another camera's frame, taken a little earlier: the clock stays.
    """

    def __init__(self, cooldown_s: float) -> None:
        self._cooldown_ns = cooldown_s * 1e9
        self._passages: list[Passage] = []
        self._now_ns: int | None = None
        self.forgotten = 0
        """Passages dropped before their time because there were too many."""

    def __iter__(self) -> Iterator[Passage]:
        return iter(tuple(self._passages))

    def __len__(self) -> int:
        return len(self._passages)

    def keep_for(self, cooldown_s: float) -> None:
        """Another cool-down, from the next frame on."""
        self._cooldown_ns = cooldown_s * 1e9

    def advance(self, stamp_ns: int) -> None:
        """The media clock now; passages older than the cool-down are forgotten."""
        if self._now_ns is not None and stamp_ns < self._now_ns:
            if self._now_ns - stamp_ns < _BESIDE_NS:
                return
            for passage in self._passages:
                passage.last_ns += stamp_ns - self._now_ns
        self._now_ns = stamp_ns
        oldest_ns = stamp_ns - self._cooldown_ns
        self._passages = [passage for passage in self._passages if passage.last_ns >= oldest_ns]

    def add(self, sighting: Sighting, uuid: str, neighbours: Neighbours) -> Passage:
        """Remember a passage."""
        last_ns = sighting.last_stamp_ns if self._now_ns is None else min(sighting.last_stamp_ns, self._now_ns)
        text = canonical(sighting.read.plate)
        passage = Passage(without_pictures(sighting), last_ns, uuid, text, neighbours)
        self._passages.append(passage)
        if len(self._passages) > _MOST:
            self.remove(min(self._passages, key=lambda one: (bool(one.uuid), one.last_ns)))
            self.forgotten += 1
        return passage

    def touch(self, passage: Passage) -> None:
        """The vehicle was seen now: its cool-down begins again."""
        passage.last_ns = passage.last_ns if self._now_ns is None else self._now_ns

    def remove(self, passage: Passage) -> None:
        """Forget a passage that turned out to be something else; no matter if it is forgotten already."""
        self._passages = [one for one in self._passages if one is not passage]


def without_pictures(sighting: Sighting) -> Sighting:
    """The sighting to be kept for long: pictures of the scene are large."""
    return replace(sighting, best=replace(sighting.best, patch=None, scene=None), current=None)


def track_key(sighting: Sighting) -> TrackKey:
    """Which track a sighting belongs to."""
    return sighting.camera_id, sighting.track_id


def note_neighbour(known: Neighbours, key: TrackKey, apart: bool) -> None:
    """Note a track seen in the same frame; the oldest is dropped where there are very many."""
    known[key] = known.pop(key, False) or apart
    if len(known) > _MOST_NEIGHBOURS:
        del known[next(iter(known))]


def alike(a: str, b: str) -> bool:
    """Whether two canonical texts may be one plate: part of each other, one edit apart, or two easy misreads."""
    if a in b or b in a:
        return True
    if abs(len(a) - len(b)) > 1:
        return False
    distance = Levenshtein.distance(a, b, score_cutoff=2)
    return distance <= 1 or (distance == 2 and only_confusable(a, b))


def only_confusable(a: str, b: str) -> bool:
    """Whether texts of one length differ only in characters that are easily taken for one another."""
    return len(a) == len(b) and all(
        x == y or any(x in group and y in group for group in _CONFUSABLE) for x, y in zip(a, b, strict=True)
    )


def preference(old: Sighting, new: Sighting) -> float:
    """How far both sightings together speak for the new one's text rather than the old one's, in nats.

    They weigh by the reads that agree, up to a few, and by the quality of the best one.
    """
    texts = [canonical(old.read.plate), canonical(new.read.plate)]
    worth = [
        quality(sighting.best.crop, sighting.best.read)
        * min(max(sighting.agreement * sighting.reads, 1.0), _ENOUGH_READS)
        for sighting in (old, new)
    ]
    chances = [text_scores(fold(sighting.read.slots), texts) for sighting in (old, new)]
    odds = [math.log(max(c[1], _LEAST) / max(c[0], _LEAST)) for c in chances]
    return sum(w * odd for w, odd in zip(worth, odds, strict=True)) / max(worth)


def _are_two(old: Sighting, new: Sighting) -> bool:
    """Whether both texts are sure, of one length, and differ as misreads usually do not."""
    mine, theirs = canonical(old.read.plate), canonical(new.read.plate)
    if len(mine) != len(theirs) or not (_is_sure(old) and _is_sure(new)):
        return False
    return not only_confusable(mine, theirs) or (_is_plain(old) and _is_plain(new))


def _are_part_and_whole(one: Sighting, other: Sighting) -> bool:
    """Whether the shorter text, itself unsure, is what was left of the other plate behind something in front of it.

    The character at the edge of what hides it is half seen, and read as another.
    """
    part, whole = sorted((one, other), key=lambda sighting: len(canonical(sighting.read.plate)))
    return not _is_sure(part) and is_rest(canonical(part.read.plate), canonical(whole.read.plate))


def is_rest(part: str, whole: str) -> bool:
    """Whether a canonical text is the beginning or the end of a longer one but for the character where it was cut."""
    if len(part) <= _LEAST_PART or len(part) >= len(whole):
        return False
    return whole.startswith(part[:-1]) or whole.endswith(part[1:])


def _is_plain(sighting: Sighting) -> bool:
    """Whether so many reads agree, each character sure, that not even an easy misread is likely."""
    return (
        sighting.reads >= _PLAIN_READS
        and sighting.agreement >= _PLAIN_AGREEMENT
        and min(sighting.read.char_scores, default=0.0) >= _PLAIN_SCORE
    )


def _is_sure(sighting: Sighting) -> bool:
    return (
        sighting.reads >= _SURE_READS
        and sighting.agreement >= _SURE_AGREEMENT
        and sighting.read.score >= _SURE_SCORE
    )
