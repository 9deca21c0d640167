"""What frames over time give: each vehicle's single reads against the text fused over its track. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import TypeAlias

import numpy as np

from edge_alpr.evaluate.calibration import Statement
from edge_alpr.evaluate.figures import share
from edge_alpr.evaluate.labels import LabelledImage
from edge_alpr.evaluate.stills import match
from edge_alpr.evidence import canonical
from edge_alpr.geometry import quad_box
from edge_alpr.types import Floats, Sighting

_Vehicle: TypeAlias = tuple[str, str]
"""Ride and canonical text."""


@dataclass(frozen=True, slots=True, eq=False)
class Tracked:
    """A plate that was found in a frame: `quad` (4, 2) in its pixels, its own read, and what its track says by then."""

    quad: Floats
    track_id: int
    read: str
    score: float
    fused: str
    fused_score: float


@dataclass(frozen=True, slots=True)
class Sight:
    """A marked plate in a frame of a ride, and what was found there; None: nothing."""

    ride: str
    plate: str
    second: float
    seen: Tracked | None

    @property
    def right(self) -> bool:
        """The frame alone was read right (O=0, I=1)."""
        return self.seen is not None and canonical(self.seen.read) == canonical(self.plate)

    @property
    def fused_right(self) -> bool:
        """What the track said after the frame was right (O=0, I=1)."""
        return self.seen is not None and canonical(self.seen.fused) == canonical(self.plate)


@dataclass(frozen=True, slots=True)
class Track:
    """What a track said of a vehicle at the last frame in which it was on it, and in how many it was."""

    fused: str
    score: float
    frames: int
    right: bool


@dataclass(frozen=True, slots=True)
class OverTime:
    """One vehicle of a ride. Texts count as equal with O=0 and I=1; nothing here asks whether an event was confirmed,
    but for `told_s`.

    `frames` in which it is marked, `found` of them with a plate found there, `right_frames` read right alone,
    `fused_frames` after which its track says it right.
    `best_read` is the read of the surest single frame. `fused` is what its track said at the end, of several tracks
    the surest, of two as sure the longer. `first_right_s` and `told_s` count from its first marked
    frame to the first right fused text and to its confirmed event; None: never.
    """

    ride: str
    plate: str
    first_s: float
    frames: int
    found: int
    right_frames: int
    fused_frames: int
    best_read: str
    best_score: float
    best_right: bool
    fused: str
    fused_score: float
    fused_right: bool
    tracks: int
    first_right_s: float | None
    told_s: float | None

    @property
    def single(self) -> float | None:
        """Frames read right alone, among all."""
        return share(self.right_frames, self.frames)


@dataclass(frozen=True, slots=True)
class Totals:
    """All vehicles: how many have their best frame, and their fused text, right; and how long it took, in seconds."""

    vehicles: int
    best_right: int
    fused_right: int
    frames: int
    right_frames: int
    fused_frames: int
    median_first_right_s: float | None
    median_told_s: float | None


def tracked(sightings: Sequence[Sighting]) -> list[Tracked]:
    """The sightings of one frame that have a plate in it."""
    return [
        Tracked(now.detection.quad, s.track_id, now.read.plate, now.read.score, s.read.plate, s.read.score)
        for s, now in ((s, s.current) for s in sightings)
        if now is not None
    ]


def sights(image: LabelledImage, found: Sequence[Tracked]) -> list[Sight]:
    """Match what was found in a frame with its marks, as in single pictures; only plates with a text."""
    truths = [np.array(plate.box, np.float32) for plate in image.plates]
    pairs = match(truths, [quad_box(one.quad) for one in found])
    return [
        Sight(image.ride, plate.text, image.second, found[pairs[i].found] if i in pairs else None)
        for i, plate in enumerate(image.plates)
        if plate.known
    ]


def over_time(seen: Sequence[Sight], told: dict[_Vehicle, float]) -> tuple[OverTime, ...]:
    """Every vehicle, by ride and time. `told`: the second of its first confirmed event, by ride and canonical text."""
    groups = groupby(sorted(seen, key=lambda s: (_vehicle(s), s.second)), key=_vehicle)
    vehicles = [_vehicle_over_time(list(group), told.get(vehicle)) for vehicle, group in groups]
    return tuple(sorted(vehicles, key=lambda v: (v.ride, v.first_s, v.plate)))


def totals(vehicles: Sequence[OverTime]) -> Totals:
    """Sum up."""
    return Totals(
        vehicles=len(vehicles),
        best_right=sum(v.best_right for v in vehicles),
        fused_right=sum(v.fused_right for v in vehicles),
        frames=sum(v.frames for v in vehicles),
        right_frames=sum(v.right_frames for v in vehicles),
        fused_frames=sum(v.fused_frames for v in vehicles),
        median_first_right_s=_median([v.first_right_s for v in vehicles if v.first_right_s is not None]),
        median_told_s=_median([v.told_s for v in vehicles if v.told_s is not None]),
    )


def fused_statements(seen: Sequence[Sight]) -> list[Statement]:
    """What every track said at the end of each vehicle it was on."""
    groups = groupby(sorted(seen, key=lambda s: (_vehicle(s), s.second)), key=_vehicle)
    return [Statement(t.score, t.right) for _, group in groups for t in _tracks(list(group)) if t.fused]


def _vehicle(sight: Sight) -> _Vehicle:
    return sight.ride, canonical(sight.plate)


def _vehicle_over_time(frames: Sequence[Sight], told_s: float | None) -> OverTime:
    """`frames` of one vehicle, in order of time."""
    first = frames[0]
    reads = [(s.seen.score, s.seen.read, s.right) for s in frames if s.seen and s.seen.read]
    best = max(reads, default=(0.0, "", False), key=lambda read: read[0])
    tracks = _tracks(frames)
    end = max(tracks, default=Track("", 0.0, 0, False), key=lambda track: (track.score, track.frames))
    right_s = next((s.second - first.second for s in frames if s.fused_right), None)
    return OverTime(
        ride=first.ride,
        plate=first.plate,
        first_s=first.second,
        frames=len(frames),
        found=sum(s.seen is not None for s in frames),
        right_frames=sum(s.right for s in frames),
        fused_frames=sum(s.fused_right for s in frames),
        best_read=best[1],
        best_score=best[0],
        best_right=best[2],
        fused=end.fused,
        fused_score=end.score,
        fused_right=end.right,
        tracks=len(tracks),
        first_right_s=right_s,
        told_s=None if told_s is None else told_s - first.second,
    )


def _tracks(frames: Sequence[Sight]) -> list[Track]:
    by_track: dict[int, list[Sight]] = {}
    for sight in frames:
        if sight.seen is not None:
            by_track.setdefault(sight.seen.track_id, []).append(sight)
    return [_track(own[-1], len(own)) for own in by_track.values()]


def _track(last: Sight, frames: int) -> Track:
    seen = last.seen
    assert seen is not None
    return Track(seen.fused, seen.fused_score, frames, last.fused_right)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
