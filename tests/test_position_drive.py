"""Drives over the real networks while the clock jumps and the car moves: what their events say of place and time."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import pytest
from helpers_camera import Around, opened
from helpers_nmea import Moment, drive
from rich.console import Console

from edge_alpr.config import Config, GovernorConfig, ModelsConfig, PositionConfig, StoreConfig
from edge_alpr.drive import Drive, Probe, Screen
from edge_alpr.pipeline import iso_utc
from edge_alpr.position import Position
from edge_alpr.position.kernel import SystemClock
from edge_alpr.position.reports import Heard
from edge_alpr.sinks.store import EventStore
from edge_alpr.types import Event, Frame, SourceInfo

S = 10**9
ROUND_NS = 30 * S
"""From one round past the same cars to the next."""
LONG_PAST_NS = -1_780_000_000 * S


FRAMES = 200
JUMP = 129
"""The plate JX73K46 is in view since frame 117, and told only later; others are told before."""


@dataclass
class Car:
    """Its clock is `wrong_ns` off and kept within `within_ms`; its receiver, if on, is heard with each frame."""

    wrong_ns: int = 0
    within_ms: float | None = None
    receiver_on: bool = False
    true_ns: int = field(default_factory=lambda: time.time_ns() - time.monotonic_ns())
    now_ns: int = field(default_factory=time.monotonic_ns)
    position: Position | None = None
    place: Moment | None = None
    rows: str = ""
    """What the screen shows."""

    def __post_init__(self) -> None:
        self.begin_ns = self.now_ns

    def open(self, config: PositionConfig) -> Position:
        clocks = SystemClock(
            lambda: self.now_ns,
            lambda: self.true_ns + self.now_ns + self.wrong_ns,
            lambda: self.within_ms,
            lambda: None,
        )
        self.position = Position(config, clocks)
        return self.position

    def passes(self, stamp_ns: int, moment: Moment) -> None:
        self.now_ns, self.place = stamp_ns, moment
        if self.receiver_on and self.position is not None:
            at = iso_utc((self.true_ns + stamp_ns) // 1_000_000)
            report = {"class": "TPV", "mode": 3, "time": at, "lat": moment.lat, "lon": moment.lon}
            motion = {"speed": moment.speed_kmh / 3.6, "track": moment.heading}
            self.position.receiver.take(json.dumps(report | motion).encode(), Heard(stamp_ns, 0))


class Rounds(Around):
    """A camera that passes the first cars of the sample twice: not in real time, but stamped with monotonic time.

    `then` happens in mid-passage of the first round.
    """

    def __init__(self, car: Car, then: Callable[[Car], None]) -> None:
        super().__init__(opened("sample://drive"))
        self._car, self._then = car, then
        self._begin_ns = car.begin_ns

    @property
    def info(self) -> SourceInfo:
        return replace(self.inner.info, live=True)

    def __iter__(self) -> Iterator[Frame]:
        moments = list(drive(60))
        for turn in range(2):
            with opened("sample://drive") as source:
                for frame in islice(source, FRAMES):
                    if (turn, frame.index) == (0, JUMP):
                        self._then(self._car)
                    since_ns = turn * ROUND_NS + frame.stamp_ns
                    stamp_ns = self._begin_ns + since_ns
                    self._car.passes(stamp_ns, moments[since_ns // S])
                    if frame.index % 3:
                        frame.release()
                        continue
                    wall_ns = self._car.true_ns + stamp_ns + self._car.wrong_ns  # what a camera puts on its frames
                    yield replace(frame, stamp_ns=stamp_ns, epoch_ms=wall_ns // 1_000_000)


def drives(folder: Path, car: Car, then: Callable[[Car], None] = lambda car: None) -> list[Event]:
    """What the store has of it afterwards."""
    config = Config(
        models=ModelsConfig(tier="small", threads=1),
        store=StoreConfig(path=str(folder / "store"), keep_images=False),
        governor=GovernorConfig(enabled=False),
    )
    shown = io.StringIO()
    screen = Screen(Console(file=shown, width=120))
    Drive(config, screen, Probe(lambda _: Rounds(car, then), position=car.open)).run()
    car.rows = shown.getvalue()
    with EventStore(folder / "store", config.store) as store:
        return store.after(0)


def told(events: list[Event]) -> list[tuple[str, str, int]]:
    """The order of states and plates, and how long each was seen in ms."""
    return [(event.state, event.plate, event.epoch_end - event.epoch_start) for event in events]


def wrong_ms(event: Event, usual: Event, car: Car, reference: Car) -> int:
    """How far an event's time is off, going by the same one of a drive whose clock was right."""
    begun = (car.true_ns + car.begin_ns, reference.true_ns + reference.begin_ns)
    return (event.epoch_end - begun[0] // 1_000_000) - (usual.epoch_end - begun[1] // 1_000_000)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Car, list[Event]]:
    car = Car(within_ms=5.0, receiver_on=True)
    return car, drives(tmp_path_factory.mktemp("usual"), car)


def test_each_car_is_told_once_though_it_is_passed_twice(usual: tuple[Car, list[Event]]) -> None:
    confirmed = [event.plate for event in usual[1] if event.state == "confirmed"]
    assert len(confirmed) >= 4 and len(set(confirmed)) == len(confirmed)
    assert {(event.clock_source, event.clock_error_ms) for event in usual[1]} == {("ntp", 5.0)}


def first_fix(car: Car) -> None:
    car.receiver_on = True


def set_back_by_ntp(car: Car) -> None:
    car.wrong_ns, car.within_ms = 0, 20.0


def thrown_forwards(car: Car) -> None:
    car.wrong_ns, car.within_ms = 86_400 * S, None


CLOCKS = {
    "never set, then a first fix": (Car(wrong_ns=LONG_PAST_NS), first_fix, "gps"),
    "an hour ahead, set back by NTP": (Car(wrong_ns=3600 * S), set_back_by_ntp, "ntp"),
    "right, then thrown forwards by a day": (Car(within_ms=5.0), thrown_forwards, "ntp"),
}


@pytest.mark.parametrize("case", CLOCKS)
def test_a_clock_that_jumps_changes_no_event_but_its_time(
    case: str, usual: tuple[Car, list[Event]], tmp_path: Path
) -> None:
    made, then, source = CLOCKS[case]
    car, (reference, expected) = replace(made), usual
    events = drives(tmp_path, car, then)
    assert [one[:2] for one in told(events)] == [one[:2] for one in told(expected)], "order, states and cool-down"
    assert car.rows == reference.rows, "times into the drive"
    assert all(abs(a[2] - b[2]) <= 1 for a, b in zip(told(events), told(expected), strict=True)), "durations"
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    off = [wrong_ms(event, same, car, reference) for event, same in zip(events, expected, strict=True)]
    after = [event.clock_source == source for event in events]
    assert sum(after) >= 4 and after == sorted(after)
    assert all(abs(ms) <= 2 for ms, right in zip(off, after, strict=True) if right)
    assert all(abs(ms) > 3_000_000 for ms, right in zip(off, after, strict=True) if not right)


def test_events_say_where_they_were_and_the_governor_hears_how_fast_it_goes(usual: tuple[Car, list[Event]]) -> None:
    car, events = usual
    moments = list(drive(60))
    for event in events:
        assert set(event.gps) == {"lat", "lon", "speed_kmh", "heading", "age_s"}
        assert event.gps["age_s"] < 0.1 and event.gps["heading"] == 90.0
        assert min(abs(event.gps["lon"] - moment.lon) for moment in moments[:8]) < 1e-6
    assert len({event.gps["lon"] for event in events}) >= 3
    assert car.position is not None and car.place is not None
    assert car.position.speed_kmh() == pytest.approx(car.place.speed_kmh)


def test_a_recording_has_no_place() -> None:
    car = Car(within_ms=5.0, receiver_on=True)
    here = car.open(PositionConfig()).recorded(0)
    assert (here.gps, here.epoch_ms, here.clock_source, here.clock_error_ms) == ({}, None, "ntp", 5.0)
