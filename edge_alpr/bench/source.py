"""The source of a measured drive: another source's frames, paced, timed, and over again where it is too short."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from types import TracebackType

from typing_extensions import Self

from edge_alpr.bench.meter import Meter
from edge_alpr.bench.request import Pace
from edge_alpr.ports import FrameSource
from edge_alpr.types import Frame, SourceCounters, SourceInfo

_USUAL_NS = 33_333_333
"""Between two frames, where a recording has but one."""


class Metered:
    """A `FrameSource`. At the pace `live` a recording's frames come by their stamps, as a camera's would.

    A frame is then dropped where the next one is due already, so that the newest wins. `repeat` opens the source
    again at its end, with stamps that go on.
    """

    def __init__(self, opener: Callable[[], FrameSource], pace: Pace, repeat: bool, meter: Meter) -> None:
        self._opener = opener
        self._source = opener()
        self._paced = pace == "live" and not self._source.info.live
        self._repeat = repeat and not self._source.info.live
        self._meter = meter
        self._taken = self._dropped = 0
        self._origin_ns: int | None = None
        self._stamp_ns = -_USUAL_NS
        self._period_ns = _USUAL_NS

    @property
    def info(self) -> SourceInfo:
        """Of the source inside."""
        return self._source.info

    @property
    def counters(self) -> SourceCounters:
        """Of the source inside, with the frames that were dropped here; `frames` are those handed out."""
        inner = self._source.counters
        return replace(inner, frames=self._taken, dropped=inner.dropped + self._dropped)

    def __iter__(self) -> Iterator[Frame]:
        while (yield from self._play(self._stamp_ns + self._period_ns)) and self._repeat:
            self._dropped += self._source.counters.dropped
            self._source.__exit__(None, None, None)
            self._source = self._opener()
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

    def _play(self, shift_ns: int) -> Generator[Frame, None, bool]:
        """The frames of one opening, their stamps moved by `shift_ns`; True where the source came to its end."""
        frames, counters = iter(self._source), self._source.counters
        while True:
            mapped, begin = counters.mapping_ns, time.perf_counter_ns()
            frame = next(frames, None)
            taken = time.perf_counter_ns()
            if frame is None:
                return True
            self._meter.frame_size = frame.width, frame.height
            due_ns = self._due(frame.stamp_ns + shift_ns, taken)
            if self._paced and not self._wait(due_ns or taken):
                frame.release()
                self._dropped += 1
                continue
            if not self._meter.arrive(
                (begin, taken), counters.mapping_ns - mapped, due_ns, counters.dropped + self._dropped
            ):
                frame.release()
                return False
            self._taken += 1
            yield replace(frame, stamp_ns=frame.stamp_ns + shift_ns) if shift_ns else frame

    def _due(self, stamp_ns: int, now_ns: int) -> int | None:
        """When a camera would have shown the frame, by the monotonic clock; None for one read as quick as it goes."""
        if self._stamp_ns >= 0:
            self._period_ns = stamp_ns - self._stamp_ns
        self._stamp_ns = stamp_ns
        if self._source.info.live:
            return stamp_ns
        if self._origin_ns is None:
            self._origin_ns = now_ns - stamp_ns
        return self._origin_ns + stamp_ns if self._paced else None

    def _wait(self, due_ns: int) -> bool:
        """Wait until a frame is due; False where its successor is due already."""
        late_ns = time.perf_counter_ns() - due_ns
        if late_ns < 0:
            time.sleep(-late_ns / 1e9)
        return late_ns < self._period_ns
