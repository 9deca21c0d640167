"""Runs of an engine: which lane each has, and what becomes of it where something fails."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from numpy.typing import NDArray

from edge_alpr.errors import GpuError, GpuLostError
from edge_alpr.infer.cuda import Event
from edge_alpr.infer.lane import Binding, Lane, Wiring
from edge_alpr.types import Tensors

MOST_LANES = 4
"""Threads that run an engine at the same time; more of them wait."""


class Lanes:
    """The lanes of an engine. Where a run fails its lane is closed: the next has a new one, or is told of the end."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._idle: list[Lane] = []
        self._places = threading.Semaphore(MOST_LANES)
        self._lock = threading.RLock()  # a forgotten run may be collected by who holds it
        self._end = ""
        self.bytes_back, self.runs, self.launches, self.no_graphs = 0, 0, 0, ""

    def start(self, addresses: tuple[int, ...], feeds: Mapping[str, NDArray[Any]], rows: int) -> Running:
        """Begin a run with `rows` plates, at most what the largest profile takes. Raises `GpuError`."""
        self._places.acquire()
        lane: Lane | None = None
        try:
            lane = self._take()
            self._wiring.engine.gpu.use()  # TensorRT runs in what is current for this thread
            binding = lane.binding(rows)
            binding.start(addresses, feeds)
        except BaseException as error:
            self.drop(lane, error)
            raise
        return Running(self, lane, binding, rows)

    def put(self, lane: Lane, bytes_back: int) -> None:
        """A run is done; its lane serves the next one, or goes where the session was closed meanwhile."""
        with self._lock:
            over = bool(self._end)
            if not over:
                self._idle.append(lane)
            self.bytes_back += bytes_back
            self.runs += 1
            self.launches, lane.launches = self.launches + lane.launches, 0
            self.no_graphs = self.no_graphs or lane.no_graphs
        if over:
            self.drop(lane, None)
        else:
            self._places.release()

    def close(self) -> None:
        """Close all lanes, those that run when they are done. Raises the first `GpuError`, having tried all."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._end = self._end or "the session was closed; open it again"
        with ExitStack() as stack:
            for lane in idle:
                stack.callback(lane.close)

    def _take(self) -> Lane:
        with self._lock:
            if self._end:
                raise GpuLostError(f"{self._wiring.engine.where}: {self._end}")
            if self._idle:
                return self._idle.pop()
        return Lane(self._wiring)

    def drop(self, lane: Lane | None, error: BaseException | None) -> None:
        """A run failed, or was forgotten: its lane is closed, and the session is dead where the GPU is lost."""
        with self._lock:
            if isinstance(error, GpuLostError):
                self._end = self._end or f"the session is dead since {error}"
        if lane:
            with suppress(GpuError):  # the first error is told; the GPU tries again what it did not take back
                lane.close()
        self._places.release()


class Running:
    """A run under way. Ask for its `result`, once; before that `consumed`, where the surface goes back early.

    One that is forgotten is waited for, and its lane closed.
    """

    def __init__(self, lanes: Lanes, lane: Lane, binding: Binding, rows: int) -> None:
        self._lanes, self._lane, self._binding, self._rows = lanes, lane, binding, rows
        self._open = weakref.finalize(self, lanes.drop, lane, None)

    def consumed(self) -> None:
        """Until the input has been read: then the surface may go back. Raises `GpuError`; the run is over then."""
        self._wait(self._lane.consumed)

    def result(self) -> Tensors:
        """The outputs, the caller's own. Raises `GpuError`."""
        self._wait(self._lane.done)
        results = self._binding.results(self._rows)
        self._open.detach()
        self._lanes.put(self._lane, self._binding.bytes_out)
        return results

    def _wait(self, event: Event) -> None:
        if not self._open.alive:
            raise GpuError("this run is over; start another")
        try:
            event.wait()
        except BaseException as error:
            self._open.detach()
            self._lanes.drop(self._lane, error)
            raise
