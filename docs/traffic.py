"""The traffic of a shift, drawn: cars that pass a camera whose clock runs faster than the real one."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from typing_extensions import Self

from edge_alpr.bench.rendered import ground, vehicle
from edge_alpr.types import Frame, Luma, SourceCounters, SourceInfo

SIZE, PLATE_PX, STEP_PX = (1280, 720), 110, 2
PLACES = ((220, 330), (640, 330), (1060, 330), (220, 600), (640, 600), (1060, 600))
IN_VIEW_S, GAP_S, AGAIN_S = 8.0, 5.0, 3600.0
"""How long a car is seen, how long its place stays empty then, and how soon it may come again; simulated seconds."""
LETTERS, DIGITS = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"


@dataclass(frozen=True)
class Shift:
    """What is asked for."""

    hours: float
    speed: float
    fps: float
    cars: float
    away: float
    every: float

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.hours * 3600 / self.speed

    @property
    def plates(self) -> list[str]:
        """All that drive about, the same each time: twice as many as pass in an hour."""
        return plates(round(2 * self.cars))

    @property
    def listed(self) -> list[str]:
        """The first tenth of them."""
        return self.plates[: len(self.plates) // 10]


def plates(number: int) -> list[str]:
    """So many texts."""
    chance = random.Random(7)

    def some(of: str, count: int) -> str:
        return "".join(chance.choice(of) for _ in range(count))

    return [some(LETTERS, 2) + some(DIGITS, 2) + some(LETTERS, 3) for _ in range(number)]


@dataclass
class Road:
    """Who is in view at a moment, in simulated seconds; moments only go on."""

    shift: Shift
    passed: int = 0
    listed: int = 0
    there: dict[int, tuple[str, float]] = field(default_factory=dict)
    """By place: text, and since when."""

    def __post_init__(self) -> None:
        """The same cars each time."""
        self._chance, self._seen = random.Random(3), dict[str, float]()
        self._texts, self._wanted = self.shift.plates, frozenset(self.shift.listed)

    def at(self, now_s: float) -> None:
        """Let cars go, and perhaps one come."""
        shift, chance = self.shift, self._chance
        self.there = {place: car for place, car in self.there.items() if now_s - car[1] < IN_VIEW_S + GAP_S}
        free = [place for place in range(len(PLACES)) if place not in self.there]
        if free and chance.random() < shift.cars / 3600 / shift.fps:
            text = chance.choice([text for text in self._texts if now_s - self._seen.get(text, -AGAIN_S) >= AGAIN_S])
            self._seen[text], self.there[chance.choice(free)] = now_s, (text, now_s)
            self.passed, self.listed = self.passed + 1, self.listed + (text in self._wanted)

    def drawn(self, back: Luma, now_s: float) -> Luma:
        """A picture of it."""
        picture = back.copy()
        for place, (text, since_s) in self.there.items():
            if now_s - since_s < IN_VIEW_S:
                moved = round((now_s - since_s) * STEP_PX)
                vehicle(picture, (PLACES[place][0] + moved, PLACES[place][1] + moved), PLATE_PX, text)
        return picture


@dataclass
class Traffic:
    """A `FrameSource`: a live camera whose stamps run `speed` times the monotonic clock. No frame is dropped."""

    shift: Shift
    road: Road = field(init=False)
    late_s: float = 0.0
    """The latest frame, against when it was due."""
    info: SourceInfo = field(default_factory=lambda: SourceInfo("a shift, drawn", live=True))
    counters: SourceCounters = field(default_factory=SourceCounters)
    closed: bool = False

    def __post_init__(self) -> None:
        """An empty road."""
        self.road = Road(self.shift)

    def __iter__(self) -> Iterator[Frame]:
        shift, begin_ns, back = self.shift, time.monotonic_ns(), ground(*SIZE)
        for index in range(round(shift.hours * 3600 * shift.fps)):
            now_s = index / shift.fps
            self.road.at(now_s)
            picture = self.road.drawn(back, now_s)
            due_s = begin_ns / 1e9 + now_s / shift.speed
            time.sleep(max(0.0, due_s - time.monotonic()))
            self.late_s = max(self.late_s, time.monotonic() - due_s)
            if self.closed:
                return
            self.counters.frames += 1
            yield Frame(picture, index, begin_ns + round(now_s * 1e9), time.time_ns() // 1_000_000)

    def close(self) -> None:
        """End the iteration."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
