"""The seams: what a stage may ask of the world. Each is one or two methods, so its test twin is short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

from numpy.typing import NDArray
from typing_extensions import Self

from edge_alpr.types import DevicePlane, Event, Frame, Match, Read, SourceCounters, SourceInfo, Tensors


class Session(Protocol):
    """A loaded network. Inputs and outputs are named arrays; outputs belong to the caller."""

    @property
    def identity(self) -> str:
        """What runs: provider and the sha256 of the model, e.g. `onnxruntime-cpu:1f3a…`."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once. Raises `ModelError` when the run-time refuses; never returns partial outputs."""


class PlaneRun(Protocol):
    """A run under way on the GPU. Always ask for its `result`, once."""

    def consumed(self) -> None:
        """Wait until the plane has been read: then its frame may be released, before the result is there."""

    def result(self) -> Tensors:
        """Wait for the outputs: copies on the host, the caller's own. Raises `GpuError`."""


class PlaneSession(Protocol):
    """A loaded network that takes a frame's Y plane where it lies on the GPU; `extra`: its other inputs (`quads`)."""

    @property
    def identity(self) -> str:
        """What runs: provider and the sha256 of the model, e.g. `tensorrt:1f3a…`."""

    @property
    def most(self) -> int:
        """The most plates (rows of `extra`) that one run takes."""

    def run(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = ...) -> Tensors:
        """Run once. Raises `GpuError` (`GpuLostError`: for good) or `ModelError`; never returns partial outputs."""

    def start(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = ...) -> PlaneRun:
        """Begin a run, so that the frame can go back before the run is done."""


class FrameSource(Protocol):
    """A camera or a recording. Iterating lends frames one at a time: release each before the next."""

    @property
    def info(self) -> SourceInfo:
        """What is known before the first frame."""

    @property
    def counters(self) -> SourceCounters:
        """Counts so far: frames, drops, restarts."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Give back what is held; ends the iteration of a live source, also from another thread."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sink(Protocol):
    """Somebody who hears of events, after the store has them."""

    def tell(self, event: Event) -> None:
        """Take one event. May be called again with the same `uuid` and `seq`."""


class Hits(Protocol):
    """The hot lists: which of their entries a read may be."""

    @property
    def version(self) -> int:
        """Changes whenever the lists do."""

    def __call__(self, read: Read, at_ms: int) -> tuple[Match, ...]:
        """The hits at that time (UTC, ms), the most urgent first, at most one of each list."""


class Clock(Protocol):
    """Where wall time enters."""

    def epoch_ms(self) -> int:
        """UTC, milliseconds since 1970."""

    def source(self) -> str:
        """Who set the clock: gps, ntp, rtc or unset."""

    def error_ms(self) -> float | None:
        """How far it is off at most; None: not known."""
