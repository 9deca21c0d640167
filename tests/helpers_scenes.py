"""A small language for drives: who is where and when, as a table; rendered, and run through the real networks.

A way is written `second x,y width > second x,y width ...`: where the middle of the plate stands in the picture, and how
wide it is, in pixels. Between two such points the vehicle goes straight in the world, so it grows as it comes near.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from helpers_scene_art import HORIZON, WIDTH, ground, vehicle

from edge_alpr.app import Models, make_pipeline
from edge_alpr.config import Config
from edge_alpr.evidence import canonical
from edge_alpr.types import Event, Frame, Luma, Match, Read

FPS = 15
BEGIN_MS = 1_700_000_000_000
Place = tuple[float, float, float]
"""Middle and width of a plate, px."""
_PLATE_M = {"car": 0.52, "motorcycle": 0.22, "lorry": 0.52}
"""How wide a plate is: who is nearer follows from it."""
_LETTERS, _DIGITS = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"


@dataclass(frozen=True)
class Mover:
    """A vehicle on its way; `plate` as it is printed, `/` between two rows, empty where it has none."""

    plate: str
    way: str
    kind: str = "car"

    def place(self, second: float) -> Place | None:
        """Where its plate is; None before its first point and after its last."""
        points = _points(self.way)
        for (start, here), (end, there) in pairwise(points):
            if start <= second <= end:
                return _between(here, there, (second - start) / (end - start))
        return None

    @property
    def ends_s(self) -> float:
        """When it is gone."""
        return _points(self.way)[-1][0]


@dataclass(frozen=True)
class Shot:
    """What is seen without a break, from `at_s` of the media clock. The camera shakes, and turns `pan` pixels a second
    to the right.
    """

    at_s: float
    movers: tuple[Mover, ...]
    pan: float = 0.0
    shake: float = 1.5

    @property
    def frames(self) -> int:
        """How many, with a last empty one."""
        return round(max(mover.ends_s for mover in self.movers) * FPS) + 2

    def picture(self, frame: int) -> Luma:
        """One picture (HEIGHT, WIDTH) uint8: who is nearer hides who is farther."""
        second = frame / FPS
        sway = self.shake * np.sin(second * 11.0), self.shake * np.sin(second * 7.3 + 1)
        picture = np.roll(ground(3, self.pan * second - sway[0], frame), round(sway[1]), axis=0)
        seen = [(mover, place) for mover in self.movers if (place := mover.place(second))]
        for mover, (x, y, wide) in sorted(seen, key=lambda one: one[1][2] / _PLATE_M[one[0].kind]):
            vehicle(picture, mover.kind, mover.plate, (x + sway[0], y + sway[1], wide))
        return picture


@dataclass(frozen=True)
class Scenario:
    """Shots in their order, and the texts of the notifications that are due: one for each passage."""

    name: str
    shots: tuple[Shot, ...]
    due: tuple[str, ...]

    def frames(self) -> Iterator[Frame]:
        """All frames; between two shots the clock jumps."""
        index = 0
        for shot in self.shots:
            for frame in range(shot.frames):
                stamp_ms = round((shot.at_s + frame / FPS) * 1000)
                yield Frame(shot.picture(frame), index, stamp_ms * 1_000_000, BEGIN_MS + stamp_ms, "camera0")
                index += 1


@dataclass
class Lists:
    """Hot lists by name, the most urgent first: from which second on each is in force, and its plates."""

    named: dict[str, tuple[float, tuple[str, ...]]]
    now_s: float = 0.0

    @property
    def version(self) -> int:
        """How many are in force."""
        return len(self._now())

    def __call__(self, read: Read, at_ms: int) -> tuple[Match, ...]:
        """Exact hits only."""
        text = canonical(read.plate)
        return tuple(Match(name, text, "exact") for name, plates in self._now() if text in map(canonical, plates))

    def _now(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(name, plates) for name, (since_s, plates) in self.named.items() if self.now_s >= since_s]


def varied(scenario: Scenario, seed: int) -> Scenario:
    """The same drive with other texts and sizes; plates that were equal or differed by a character still do."""
    rng = np.random.default_rng(seed)
    other = [chars[k] for chars in (_LETTERS, _DIGITS) for k in rng.permutation(len(chars))]
    texts = str.maketrans(_LETTERS + _DIGITS, "".join(other))
    size, shake = rng.uniform(0.8, 1.15), rng.uniform(0.5, 4.0)

    def vary(mover: Mover) -> Mover:
        way = " > ".join(f"{at} {x},{y} {wide * size}" for at, (x, y, wide) in _points(mover.way))
        return Mover(mover.plate.translate(texts), way, mover.kind)

    shots = tuple(
        replace(shot, movers=tuple(vary(mover) for mover in shot.movers), shake=shake) for shot in scenario.shots
    )
    return Scenario(scenario.name, shots, tuple(text.translate(texts) for text in scenario.due))


def play(scenario: Scenario, config: Config, models: Models, lists: Lists | None = None) -> list[Event]:
    """Every event of a fresh pipeline over the drive; `lists` are hot lists that come into force as its clock says."""
    pipeline = make_pipeline(config, replace(models, hits=lists) if lists else models)
    told = []
    for frame in scenario.frames():
        if lists:
            lists.now_s = frame.stamp_ns / 1e9
        told += pipeline.process(frame)
    return [one.event for one in told + pipeline.finish()]


def notified(events: Sequence[Event]) -> list[str]:
    """The texts that a driver was told for good, sorted."""
    ends = {event.uuid: event for event in events}
    return sorted(canonical(event.plate) for event in ends.values() if event.state == "confirmed")


def taken_back(events: Sequence[Event]) -> list[str]:
    """Texts that were told as confirmed and then withdrawn."""
    confirmed = {event.uuid for event in events if event.state == "confirmed"}
    return [event.plate for event in events if event.state == "withdrawn" and event.uuid in confirmed]


def _points(way: str) -> list[tuple[float, Place]]:
    points = []
    for point in way.split(">"):
        second, spot, wide = point.split()
        x, y = spot.split(",")
        points.append((float(second), (float(x), float(y), float(wide))))
    return points


def _between(here: Place, there: Place, share: float) -> Place:
    """The point on the straight way in the world, seen in the picture: what is linear there is x, y and 1 by width."""
    a, b = (np.array([x - WIDTH / 2, y - HORIZON, 1]) / wide for x, y, wide in (here, there))
    x, y, depth = a + (b - a) * share
    return float(x / depth) + WIDTH / 2, float(y / depth) + HORIZON, float(1 / depth)

