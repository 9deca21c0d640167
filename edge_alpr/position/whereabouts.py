"""Place and time of a drive, as events want them."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from typing_extensions import Self

from edge_alpr.config import PositionConfig
from edge_alpr.position.clock import AnchoredClock
from edge_alpr.position.gpsd import GpsdClient
from edge_alpr.position.kernel import SYSTEM, SystemClock
from edge_alpr.position.receiver import Receiver
from edge_alpr.position.reports import Fix
from edge_alpr.types import Whereabouts


class Position:
    """Where the car is and what time it is, while it is held. None of its answers waits for anything."""

    def __init__(self, config: PositionConfig, clocks: SystemClock = SYSTEM) -> None:
        self._clocks = clocks
        self.receiver = Receiver(config.stale_s)
        self.clock = AnchoredClock(clocks, self.receiver.time)
        self._began_ns, self._began_ms = clocks.monotonic_ns(), clocks.system_ns() // 1_000_000
        self._client = GpsdClient(*config.address, self.receiver.take) if config.gpsd else None

    def __enter__(self) -> Self:
        if self._client is not None:
            self._client.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.stop()

    def locate(self, live: bool) -> Callable[[int], Whereabouts]:
        """`live` or `recorded`, as `Stages.locate` wants it."""
        return self.live if live else self.recorded

    def live(self, stamp_ns: int) -> Whereabouts:
        """Of a moment of a live camera, whose stamps are the monotonic clock."""
        fix = self.receiver.fix(stamp_ns)
        epoch_ms = self.clock.at(stamp_ns)
        gps = {} if fix is None else as_gps(fix, stamp_ns)
        return Whereabouts(epoch_ms, self.clock.source(), self.clock.error_ms(), gps)

    def recorded(self, _stamp_ns: int) -> Whereabouts:
        """Of a moment of a recording: its wall clock began when it was opened, and nobody knows where it was taken."""
        self.clock.epoch_ms()
        return Whereabouts(None, self.clock.source(), self.clock.error_ms())

    def began_ms(self, live: bool) -> int:
        """When this was opened, by the clock that events of a live camera or of a recording have: UTC in ms."""
        return self.clock.at(self._began_ns) if live else self._began_ms

    def speed_kmh(self) -> float | None:
        """How fast the car is now; None where that is not known."""
        fix = self.receiver.fix(self._clocks.monotonic_ns())
        return None if fix is None else fix.speed_kmh

    @property
    def status(self) -> str:
        """What is not as usual; empty where all is, or no receiver is configured."""
        if self._client is None:
            return ""
        if not self._client.connected:
            return "no gpsd"
        return "" if self.receiver.fix(self._clocks.monotonic_ns()) else "no GPS fix"


def open_position(config: PositionConfig) -> Position:
    """Listens to gpsd while it is held, where one is configured."""
    return Position(config)


def as_gps(fix: Fix, stamp_ns: int) -> dict[str, float]:
    """`Event.gps`: a key for each thing that is known."""
    known = {
        "lat": (fix.lat, 7),
        "lon": (fix.lon, 7),
        "speed_kmh": (fix.speed_kmh, 1),
        "heading": (fix.heading, 1),
        "accuracy_m": (fix.accuracy_m, 1),
        "age_s": (abs(stamp_ns - fix.at_ns) / 1e9, 2),
    }
    return {name: round(value, digits) for name, (value, digits) in known.items() if value is not None}
