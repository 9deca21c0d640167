"""Scoring what was told in a replayed ride against its labelled frames. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from rapidfuzz.distance import Levenshtein

from edge_alpr.evaluate.calibration import Calibration, Statement, calibrate
from edge_alpr.evaluate.labels import LabelledImage
from edge_alpr.evaluate.overtime import OverTime, Sight, Totals, fused_statements, over_time, totals
from edge_alpr.evidence import canonical

_Vehicle: TypeAlias = tuple[str, str]
"""Ride and canonical text."""
SURE = 0.95
"""Events stated at this score or above are counted apart."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A vehicle seen in a ride, with no gap longer than the cool-down between two of its frames."""

    ride: str
    plate: str
    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A confirmed event of the product, at a second of the ride. One that was withdrawn is none."""

    plate: str
    ride: str
    second: float
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """A passage, and how many confirmed events its vehicle got nearer to it than to its other passages."""

    passage: Passage
    events: int


@dataclass(frozen=True, slots=True)
class WrongText:
    """A confirmed text that nobody saw in the ride, the likest text that was, and the characters between."""

    event: Confirmed
    nearest: str
    chars_differ: int


@dataclass(frozen=True, slots=True)
class RideReport:
    """What the driver was told of the vehicles that were there. Texts count as equal with O=0 and I=1.

    `events` are all confirmed ones, right where somebody saw the text in the ride; `tracks` what the tracks said at
    the end of each vehicle; `over_time` compares single frames with fused texts, by vehicle.
    """

    told: tuple[Told, ...]
    wrong: tuple[WrongText, ...]
    events: tuple[Statement, ...] = ()
    tracks: tuple[Statement, ...] = ()
    over_time: tuple[OverTime, ...] = ()

    @property
    def vehicles(self) -> tuple[_Vehicle, ...]:
        """Every vehicle: ride and text."""
        return tuple(dict.fromkeys((t.passage.ride, t.passage.plate) for t in self.told))

    @property
    def found(self) -> tuple[_Vehicle, ...]:
        """Vehicles with a confirmed event."""
        heard = {(t.passage.ride, t.passage.plate) for t in self.told if t.events}
        return tuple(vehicle for vehicle in self.vehicles if vehicle in heard)

    @property
    def missed(self) -> tuple[_Vehicle, ...]:
        """Vehicles without one."""
        return tuple(vehicle for vehicle in self.vehicles if vehicle not in self.found)

    @property
    def found_passages(self) -> tuple[Told, ...]:
        """Passages of the vehicles found."""
        found = set(self.found)
        return tuple(t for t in self.told if (t.passage.ride, t.passage.plate) in found)

    @property
    def notifications(self) -> int:
        """Confirmed events of the vehicles found."""
        return sum(t.events for t in self.found_passages)

    @property
    def per_passage(self) -> float | None:
        """Confirmed events of vehicles found for each of their passages; None where none was found."""
        passages = len(self.found_passages)
        return self.notifications / passages if passages else None

    @property
    def totals(self) -> Totals:
        """Single frames against fused texts, summed up."""
        return totals(self.over_time)

    @property
    def event_calibration(self) -> Calibration:
        """Whether the score of an event is its chance to be right."""
        return calibrate(self.events)

    @property
    def track_calibration(self) -> Calibration:
        """The same of fused texts, confirmed or not."""
        return calibrate(self.tracks)

    @property
    def sure_events(self) -> tuple[Statement, ...]:
        """Events stated at `SURE` or above."""
        return tuple(event for event in self.events if event.score >= SURE)

    @property
    def silent(self) -> tuple[Passage, ...]:
        """Passages of vehicles found that went by without an event."""
        return tuple(t.passage for t in self.found_passages if not t.events)

    @property
    def repeated(self) -> tuple[Told, ...]:
        """Passages told more than once."""
        return tuple(t for t in self.told if t.events > 1)


def passages(images: Sequence[LabelledImage], cooldown_s: float) -> list[Passage]:
    """The passages of all vehicles in the frames of rides, by ride and time; a text is a vehicle (O=0, I=1)."""
    seen: dict[_Vehicle, list[tuple[float, str]]] = {}
    for image in images:
        for plate in image.plates:
            if image.ride and plate.known:
                vehicle = (image.ride, canonical(plate.text))
                seen.setdefault(vehicle, []).append((image.second, plate.text))
    found = [
        Passage(ride, times[0][1], first, last)
        for (ride, _), times in seen.items()
        for first, last in _stretches([second for second, _ in times], cooldown_s)
    ]
    return sorted(found, key=lambda passage: (passage.ride, passage.first_s, passage.plate))


def score_events(
    events: Sequence[Confirmed],
    images: Sequence[LabelledImage],
    cooldown_s: float,
    known: Sequence[LabelledImage] | None = None,
    seen: Sequence[Sight] = (),
) -> RideReport:
    """Score the confirmed events of rides against their frames.

    `images` are the frames whose vehicles are asked for; `known` all labelled frames of these rides, of every
    split (`images` where it is None): a confirmed text is wrong where it is on none of them. `seen` is what became
    of every marked plate in the frames.
    """
    texts: dict[str, dict[str, str]] = {}
    for image in images if known is None else [*images, *known]:
        marks = texts.setdefault(image.ride, {})
        marks.update({canonical(plate.text): plate.text for plate in image.plates if plate.text})
    right = [canonical(e.plate) in texts.get(e.ride, {}) for e in events]
    return RideReport(
        told=_told(passages(images, cooldown_s), events),
        wrong=tuple(_wrong(e, texts.get(e.ride, {})) for e, ok in zip(events, right, strict=True) if not ok),
        events=tuple(Statement(event.score, ok) for event, ok in zip(events, right, strict=True)),
        tracks=tuple(fused_statements(seen)),
        over_time=over_time(seen, _first_told(events)),
    )


def _first_told(events: Sequence[Confirmed]) -> dict[_Vehicle, float]:
    """The second of the first event of each vehicle."""
    first: dict[_Vehicle, float] = {}
    for event in events:
        vehicle = (event.ride, canonical(event.plate))
        first[vehicle] = min(event.second, first.get(vehicle, event.second))
    return first


def _stretches(seconds: Sequence[float], gap_s: float) -> list[tuple[float, float]]:
    """Cut times into stretches (first, last) wherever two that follow each other lie more than `gap_s` apart."""
    times = sorted(seconds)
    cuts = [(a, b) for a, b in pairwise(times) if b - a > gap_s]
    return list(zip([times[0], *(b for _, b in cuts)], [*(a for a, _ in cuts), times[-1]], strict=True))


def _told(found: Sequence[Passage], events: Sequence[Confirmed]) -> tuple[Told, ...]:
    """Give every event to the passage of its vehicle that is nearest in time, the earlier of two as near."""
    counts = [0] * len(found)
    for event in events:
        own = [i for i, passage in enumerate(found) if _same_vehicle(passage, event)]
        if own:
            counts[min(own, key=lambda i: _distance_s(found[i], event.second))] += 1
    return tuple(Told(passage, count) for passage, count in zip(found, counts, strict=True))


def _same_vehicle(passage: Passage, event: Confirmed) -> bool:
    return passage.ride == event.ride and canonical(passage.plate) == canonical(event.plate)


def _distance_s(passage: Passage, second: float) -> float:
    return max(passage.first_s - second, second - passage.last_s, 0.0)


def _wrong(event: Confirmed, texts: dict[str, str]) -> WrongText:
    """`texts`: canonical text to the text as labelled, of the event's ride."""
    text = canonical(event.plate)
    nearest = min(texts, key=lambda known: Levenshtein.distance(known, text), default="")
    return WrongText(event, texts.get(nearest, ""), int(Levenshtein.distance(nearest, text)))
