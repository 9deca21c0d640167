"""A recording at the pace of a camera, and over again where it is too short."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from types import TracebackType

from typing_extensions import Self

from edge_alpr.bench.request import Pace
from edge_alpr.ports import FrameSource
from edge_alpr.types import Frame, SourceCounters, SourceInfo

_USUAL_NS = 33_333_333
"""Between two frames, where a recording has but one."""


def paced(opener: Callable[[], FrameSource], pace: Pace, repeat: bool) -> FrameSource:
    """What `opener` opens. A camera has a pace of its own; a recording is given one, and is repeated, as `Paced`."""
    source = opener()
    return source if source.info.live else Paced(source, opener, pace, repeat)


class Paced:
    """A `FrameSource` over a recording. At the pace `live` it is one: frames come by their stamps, as a camera's would,
    and are stamped with the monotonic time at which a camera would have shown them.

    A frame is then dropped where the next one is due already, so that the newest wins. `repeat` opens the recording
    again at its end, with stamps that go on.
    """

    def __init__(self, source: FrameSource, opener: Callable[[], FrameSource], pace: Pace, repeat: bool) -> None:
        self._opener = opener
        self._source = source
        self._live = pace == "live"
        self._repeat = repeat
        self._closed = False
        self._mapping_ns = 0
        self._taken = self._dropped = 0
        self._origin_ns: int | None = None
        self._stamp_ns = -_USUAL_NS
        self._period_ns = _USUAL_NS

    @property
    def info(self) -> SourceInfo:
        """Of the recording."""
        return replace(self._source.info, live=self._live)

    @property
    def counters(self) -> SourceCounters:
        """Of the recording; `frames` are those handed out, and the others were dropped here."""
        inner = self._source.counters
        mapping_ns = self._mapping_ns + inner.mapping_ns
        return replace(inner, frames=self._taken, dropped=self._dropped, mapping_ns=mapping_ns)

    def __iter__(self) -> Iterator[Frame]:
        while (yield from self._play(self._stamp_ns + self._period_ns)) and self._repeat:
            self._mapping_ns += self._source.counters.mapping_ns
            self._source.__exit__(None, None, None)
            self._source = self._opener()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def close(self) -> None:
        """End the iteration, also from another thread; what is held goes back at the exit."""
        self._closed = True

    def _play(self, shift_ns: int) -> Generator[Frame, None, bool]:
        """The frames of one opening, their stamps moved by `shift_ns`; True where the recording came to its end."""
        for frame in self._source:
            stamp_ns = frame.stamp_ns + shift_ns
            if self._stamp_ns >= 0:
                self._period_ns = stamp_ns - self._stamp_ns
            self._stamp_ns = stamp_ns
            if self._live:
                stamp_ns = self._due(stamp_ns)
                if not self._wait(stamp_ns):
                    frame.release()
                    self._dropped += 1
                    continue
            if self._closed:
                frame.release()
                return False
            self._taken += 1
            yield replace(frame, stamp_ns=stamp_ns)
        return True

    def _due(self, stamp_ns: int) -> int:
        """When a camera would have shown the frame, by the monotonic clock."""
        if self._origin_ns is None:
            self._origin_ns = time.monotonic_ns() - stamp_ns
        return self._origin_ns + stamp_ns

    def _wait(self, due_ns: int) -> bool:
        """Wait until a frame is due; False where its successor is due already."""
        late_ns = time.monotonic_ns() - due_ns
        if late_ns < 0:
            time.sleep(-late_ns / 1e9)
        return late_ns < self._period_ns
