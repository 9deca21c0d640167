"""When the driver is told: possible, confirmed, withdrawn; each vehicle passage is confirmed once.

A passage ends `cooldown_s` after its vehicle was last seen, however many tracks that took. A new text is the
same vehicle if it is equal (O=0, I=1), or so like it that a misread is likelier than a second vehicle: one edit
apart, two easily confused characters, or a part of it. Seen side by side in one frame, or both read for sure
with a difference that is no usual misread, they are two vehicles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from uuid import UUID, uuid5

from edge_alpr.config import EventConfig
from edge_alpr.evidence import canonical, fold, text_scores
from edge_alpr.formats import NO_FORMATS, Formats
from edge_alpr.hits import NO_HITS, Look, fresh
from edge_alpr.passages import (
    Neighbours,
    Passage,
    Passages,
    Relation,
    TrackKey,
    alike,
    note_neighbour,
    track_key,
    without_pictures,
)
from edge_alpr.path import Place, box_state
from edge_alpr.ports import Hits
from edge_alpr.types import Match, Sighting, State

_NAMESPACE = UUID("7d1c2c5e-5f0b-5d0e-9a4e-0c6d3a1f8b52")
_AGREEMENT = 0.5
"""Share of the reads that must say the fused text, or else there must be more of them, and surer ones."""
_SETTLE_NS = 250_000_000
"""A live track is confirmed no sooner: its first frames often show a plate half hidden or still small."""
_TURNED = 0.01
"""A confirmed text is given up when its probability is so low and another one would be confirmed."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """One step in the life of an event. `uuid` is the same in all its steps and in every replay; `seq` counts."""

    uuid: str
    state: State
    seq: int
    sighting: Sighting
    matches: tuple[Match, ...] = ()
    """The hits of the hot lists, the most urgent first."""


@dataclass(eq=False)
class _Life:
    """What was told of a live track; `events` numbers those it had before the one under way.

    `possible` is what was told as possible, `matches` are the hits told of the event under way.
    """

    sighting: Sighting
    possible: Sighting | None = None
    state: State | None = None
    passage: Passage | None = None
    events: int = 0
    neighbours: Neighbours = field(default_factory=dict)
    matches: tuple[Match, ...] = ()
    look: Look = field(default_factory=Look)


class EventMaker:
    """Turns the sightings of a frame into decisions. All cameras given to one maker share one media clock.

    A confirmed text that turns, by strong evidence, into one like it was a misread: it is withdrawn under its
    uuid and the right text is confirmed under a new one. So it is when a later track of the same vehicle shows
    the text to be wrong. Turning into quite another text means that the track went over to another vehicle:
    then the first stays confirmed. A text that never sufficed counts as evidence when the vehicle comes back.

    No cool-down hides a hit of the hot lists that was not told: a vehicle that hits since the lists changed is told
    again under its uuid when it is seen; one that looks like another and hits what that one did not is told by itself.
    """

    def __init__(
        self, config: EventConfig, device_id: str = "", formats: Formats = NO_FORMATS, hits: Hits = NO_HITS
    ) -> None:
        self._config = config
        self._formats = formats
        self._hits = hits
        self._device_id = device_id
        self._lives: dict[TrackKey, _Life] = {}
        self.passages = Passages(config.cooldown_s)
        """What is remembered of the vehicles of the last minutes."""
        self._seq = 0
        self.withheld = 0
        """Vehicles whose text was clear but not told, as it fits no format that was asked for."""

    def configure(self, config: EventConfig) -> None:
        """Other thresholds from the next frame on; what was told stays told."""
        self._config = config
        self.passages.keep_for(config.cooldown_s)

    def update(self, sightings: Sequence[Sighting]) -> list[Decision]:
        """Take one frame's sightings, ended tracks before live ones as the tracker gives them."""
        current = [sighting for sighting in sightings if sighting.current is not None]
        if current:
            self.passages.advance(max(sighting.last_stamp_ns for sighting in current))
        lives = [self._lives.setdefault(track_key(sighting), _Life(sighting)) for sighting in sightings]
        for life, sighting in zip(lives, sightings, strict=True):
            life.sighting = sighting
        self._note_neighbours([life for life in lives if life.sighting.current is not None])
        return [decision for life in lives for decision in self._take(life, life.sighting.lost)]

    def flush(self) -> list[Decision]:
        """The end of everything: what is still open ends as it is."""
        return [decision for life in list(self._lives.values()) for decision in self._take(life, ended=True)]

    def _take(self, life: _Life, ended: bool) -> list[Decision]:
        decisions = self._follow_up(life) if life.passage else []
        if not life.passage:
            decisions += self._judge(life, ended)
        if ended:
            del self._lives[track_key(life.sighting)]
        return decisions

    def _follow_up(self, life: _Life) -> list[Decision]:
        """Look again at a confirmed text: is it still what the track says?"""
        passage, sighting = life.passage, life.sighting
        assert passage is not None
        self.passages.touch(passage)
        text = canonical(sighting.read.plate)
        if text == passage.text:
            if sighting.reads > passage.sighting.reads:
                passage.sighting = without_pictures(sighting)
            return self._tell_again(life, passage, sighting)
        left = text_scores(fold(sighting.read.slots), [passage.text])[0]
        if left > _TURNED or not self._is_convincing(sighting, ended=False):
            return []
        if alike(text, passage.text):
            return [self._withdraw(passage)]
        life.passage, life.state, life.events = None, None, life.events + 1
        return []

    def _judge(self, life: _Life, ended: bool) -> list[Decision]:
        """Decide on a track of which nothing is confirmed."""
        heard = self._heard_before(life.sighting)
        sighting = heard.joined(life.sighting, self._formats.interpret) if heard else life.sighting
        relations = self._relations(sighting)
        if same := [passage for passage, relation in relations if relation is Relation.SAME]:
            self.passages.touch(same[0])
            return self._tell_hit(life, same, sighting, ended) or self._drop(life)
        if self._is_convincing(sighting, ended):
            wrong = [passage for passage, _ in relations]
            return [self._withdraw(passage) for passage in wrong] + [
                self._confirm(life, sighting, heard)
            ]
        if ended and self._is_sure_hit(life, sighting):
            return [self._confirm(life, sighting, heard)]
        if ended:
            self.withheld += heard is None and self._is_withheld(sighting)
            self._remember(life, sighting, heard)
            return self._drop(life)
        if self._is_news(life, sighting) and self._is_possible(sighting) and not self._is_told_elsewhere(sighting):
            life.possible = without_pictures(sighting)
            return [self._tell(life, "possible", sighting)]
        return []

    def _is_news(self, life: _Life, sighting: Sighting) -> bool:
        """Whether a text that is possible is to be told: once, and again when it hits."""
        return life.state is None or (
            life.state == "possible" and fresh(life.look.at(sighting, self._hits), life.matches)
        )

    def _is_sure_hit(self, life: _Life, sighting: Sighting) -> bool:
        """Whether an ended track of an unclear text is yet surely a vehicle of the lists."""
        enough = self._is_whole(sighting) and sighting.reads >= self._config.confirm_reads
        matches = life.look.at(sighting, self._hits) if enough and self._formats.admits(sighting.read.plate) else ()
        return any(match.score >= self._config.confirm_score for match in matches)

    def _tell_again(self, life: _Life, passage: Passage, sighting: Sighting) -> list[Decision]:
        """Tell a confirmed vehicle under its uuid once more where the lists have changed so that it hits."""
        if passage.lists == self._hits.version:
            return []
        matches = life.look.at(sighting, self._hits)
        if not fresh(matches, passage.matches):
            return []
        passage.matches, passage.lists = matches, self._hits.version
        self._seq += 1
        return [Decision(passage.uuid, "confirmed", self._seq, sighting, matches)]

    def _tell_hit(self, life: _Life, same: Sequence[Passage], sighting: Sighting, ended: bool) -> list[Decision]:
        """What is to be told of a vehicle that is taken for one told before, but hits what that one did not."""
        told = [match for passage in same for match in passage.matches]
        if not fresh(life.look.at(sighting, self._hits), told):
            return []
        text = canonical(sighting.read.plate)
        for passage in same:
            if passage.text == text:
                again = self._tell_again(life, passage, sighting)
                return again + self._drop(life) if again else []
        return [self._confirm(life, sighting, None)] if self._is_convincing(sighting, ended) else []

    def _relations(self, sighting: Sighting) -> list[tuple[Passage, Relation]]:
        """The confirmed passages that are this vehicle."""
        told = ((passage, passage.relation(sighting)) for passage in self.passages if passage.uuid)
        return [(passage, relation) for passage, relation in told if relation is not Relation.OTHER]

    def _heard_before(self, sighting: Sighting) -> Passage | None:
        """An earlier passage of this vehicle that never got confirmed."""
        if len(sighting.read.plate) < self._config.min_length:
            return None
        heard = (passage for passage in self.passages if not passage.uuid)
        return next((passage for passage in heard if passage.relation(sighting) is not Relation.OTHER), None)

    def _is_whole(self, sighting: Sighting) -> bool:
        return len(sighting.read.plate) >= self._config.min_length and not sighting.best.crop.clipped

    def _is_possible(self, sighting: Sighting) -> bool:
        admitted = self._formats.admits(sighting.read.plate)
        return admitted and self._is_whole(sighting) and sighting.read.score >= self._config.possible_score

    def _is_told_elsewhere(self, sighting: Sighting) -> bool:
        """Whether a live track of another camera, with a text like this one, was told as possible."""
        possible = (life.sighting for life in self._lives.values() if life.state == "possible")
        others = (other for other in possible if other.camera_id != sighting.camera_id)
        return any(alike(canonical(other.read.plate), canonical(sighting.read.plate)) for other in others)

    def _is_convincing(self, sighting: Sighting, ended: bool) -> bool:
        """Whether the text may be confirmed: it is clear, and one of those that may be told."""
        return self._formats.admits(sighting.read.plate) and self._is_clear(sighting, ended)

    def _is_withheld(self, sighting: Sighting) -> bool:
        return not self._formats.admits(sighting.read.plate) and self._is_clear(sighting, ended=True)

    def _is_clear(self, sighting: Sighting, ended: bool) -> bool:
        """Whether the evidence for the text suffices; an ended track may have it from one clear read."""
        settled = ended or sighting.last_stamp_ns - sighting.first_stamp_ns >= _SETTLE_NS
        if not (settled and self._is_whole(sighting)):
            return False
        score, agreeing = sighting.read.score, round(sighting.agreement * sighting.reads)
        if sighting.agreement < _AGREEMENT:  # a plate read from afar for long, then well
            return agreeing >= 2 * self._config.confirm_reads and score >= 1 - (1 - self._config.single_score) / 3
        if agreeing >= self._config.confirm_reads:
            return score >= self._config.confirm_score
        plate = sighting.read.plate  # one look: rubbish and the rest of a hidden plate are short, signs lack digits
        whole = len(plate) > self._config.min_length and any(char.isdigit() for char in plate)
        return ended and whole and score >= self._config.single_score

    def _confirm(self, life: _Life, sighting: Sighting, heard: Passage | None) -> Decision:
        if heard:
            self.passages.remove(heard)
        decision = self._tell(life, "confirmed", sighting)
        life.passage = self.passages.add(sighting, decision.uuid, life.neighbours)
        life.passage.matches, life.passage.lists = decision.matches, self._hits.version
        return decision

    def _remember(self, life: _Life, sighting: Sighting, heard: Passage | None) -> None:
        """Keep what an ended track says though it does not suffice."""
        if not self._is_whole(sighting):
            return
        if heard:
            self.passages.remove(heard)
        self.passages.add(sighting, "", life.neighbours)

    def _drop(self, life: _Life) -> list[Decision]:
        if life.state != "possible" or life.possible is None:
            return []
        admitted = self._formats.admits(life.sighting.read.plate)
        return [self._tell(life, "withdrawn", life.sighting if admitted else life.possible)]

    def _withdraw(self, passage: Passage) -> Decision:
        """Take a confirmed event back; its track, if it lives, is judged anew."""
        self.passages.remove(passage)
        for life in self._lives.values():
            if life.passage is passage:
                life.passage, life.state = None, "withdrawn"
        self._seq += 1
        return Decision(passage.uuid, "withdrawn", self._seq, passage.sighting, passage.matches)

    def _tell(self, life: _Life, state: State, sighting: Sighting) -> Decision:
        if life.state == "withdrawn":  # what was taken back stays so: this is a new event
            life.events += 1
        if state != "withdrawn":  # what is taken back, is as it was told
            life.matches = life.look.at(sighting, self._hits)
        life.state = state
        self._seq += 1
        return Decision(self._uuid(life), state, self._seq, sighting, life.matches)

    def _uuid(self, life: _Life) -> str:
        first = life.sighting
        parts = (self._device_id, first.camera_id, first.epoch_start, first.track_id, life.events)
        return str(uuid5(_NAMESPACE, "/".join(map(str, parts))))

    def _note_neighbours(self, lives: Sequence[_Life]) -> None:
        """Plates of one frame further apart than they are wide belong to different vehicles."""
        placed = [(life, _place(life.sighting)) for life in lives]
        for (one, here), (other, there) in combinations(placed, 2):
            if one.sighting.camera_id == other.sighting.camera_id:
                apart = math.dist(here[:2], there[:2]) > max(here[2], there[2])
                note_neighbour(one.neighbours, track_key(other.sighting), apart)
                note_neighbour(other.neighbours, track_key(one.sighting), apart)


def _place(sighting: Sighting) -> Place:
    return box_state((sighting.current or sighting.best).detection.quad)
