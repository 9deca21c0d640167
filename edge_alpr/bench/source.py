"""The source of a measured drive: another source's frames, timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from typing_extensions import Self

from edge_alpr.bench.meter import Meter
from edge_alpr.ports import FrameSource
from edge_alpr.types import Frame, SourceCounters, SourceInfo


@dataclass(slots=True)
class Tally:
    """What one of several cameras gave while it was measured: frames, and the age of each at its turn in ms."""

    frames: int = 0
    ages: list[float] = field(default_factory=list)
    dropped_before: int = 0


class Metered:
    """A `FrameSource` that tells a meter of each frame, and ends when enough was measured.

    `tallies` are those of each camera, where there are several; ages are known of live ones.
    """

    def __init__(self, source: FrameSource, meter: Meter) -> None:
        self._source = source
        self._meter = meter
        self.tallies: dict[str, Tally] = {}

    @property
    def info(self) -> SourceInfo:
        """Of the source inside."""
        return self._source.info

    @property
    def counters(self) -> SourceCounters:
        """Of the source inside."""
        return self._source.counters

    def __iter__(self) -> Iterator[Frame]:
        frames, live = iter(self._source), self._source.info.live
        while True:
            mapped, begin = self._source.counters.mapping_ns, time.perf_counter_ns()
            frame = next(frames, None)
            taken = time.perf_counter_ns()
            if frame is None:
                break
            self._meter.frame_size = frame.width, frame.height
            due_ns, counters = frame.stamp_ns if live else None, self._source.counters
            if not self._meter.arrive((begin, taken), counters.mapping_ns - mapped, due_ns, counters.dropped):
                frame.release()
                break
            if counters.cameras and self._meter.begun_ns is not None:
                self._count(frame.camera_id, counters, None if due_ns is None else (taken - due_ns) / 1e6)
            yield frame
        self._meter.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._meter.finish()
        self._source.__exit__(kind, error, trace)

    def close(self) -> None:
        """End the measurement where it has not ended, and close the source, also from another thread."""
        self._meter.finish()
        self._source.close()

    def _count(self, camera_id: str, counters: SourceCounters, age_ms: float | None) -> None:
        if not self.tallies:
            self.tallies = {name: Tally(dropped_before=each.dropped) for name, each in counters.cameras.items()}
        tally = self.tallies[camera_id]
        tally.frames += 1
        if age_ms is not None:
            tally.ages.append(age_ms)
