"""Turns samples into frames, and takes each back before the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from edge_alpr.camera.mapped import Layout, Loan, borrow
from edge_alpr.types import Frame, Memory, SourceCounters


class Borrower(Protocol):
    """Makes a loan of a sample, in one kind of memory; keeps what outlives a loan until `forget`."""

    def borrow(self, sample: Any) -> Loan:
        """The picture of a sample. Raises `SourceError` where it cannot be used; the sample is free then."""

    def forget(self) -> None:
        """Give back what was kept of the pipeline's pictures: before it stops, and after the last loan."""


@dataclass(frozen=True, slots=True)
class DeviceFrames:
    """Asks a source for frames in `memory`: each source makes itself a `borrower`.

    `prepare` is called with each GStreamer pipeline before it starts, e.g. to share a CUDA context with it.
    """

    memory: Memory
    borrower: Callable[[], Borrower]
    prepare: Callable[[Any], None] | None = None


class Mapper:
    """Borrows pictures in system memory, and keeps nothing."""

    def borrow(self, sample: Any) -> Loan:
        """As `mapped.borrow`."""
        return borrow(sample)

    def forget(self) -> None:
        """There is nothing."""


class Lender:
    """Lends one frame at a time. A frame that its borrower did not release is released by `settle`."""

    def __init__(
        self, camera_id: str, counters: SourceCounters, origin: str = "", borrower: Borrower | None = None
    ) -> None:
        self._borrower = borrower or Mapper()
        self._camera_id = camera_id
        self._counters = counters
        self._origin = origin
        self._loan: Loan | None = None
        self._layout: Layout | None = None
        self._last_stamp_ns: int | None = None

    def lend(self, sample: Any, stamp_ns: int, epoch_ms: int) -> Frame:
        """The frame of a sample, and count it. Stamps that do not increase are moved behind the last one."""
        self.settle()
        begin = time.perf_counter_ns()
        loan = self._borrower.borrow(sample)
        self._counters.mapping_ns += time.perf_counter_ns() - begin
        self._loan = loan
        self._note_layout(loan.layout)
        if self._last_stamp_ns is not None:
            stamp_ns = max(stamp_ns, self._last_stamp_ns + 1)
        self._last_stamp_ns = stamp_ns
        frame = Frame(
            luma=loan.luma,
            index=self._counters.frames,
            stamp_ns=stamp_ns,
            epoch_ms=epoch_ms,
            camera_id=self._camera_id,
            chroma=loan.chroma,
            release=loan.release,
            origin=self._origin,
            memory=Memory.SYSTEM if loan.plane is None else loan.plane.memory,
            plane=loan.plane,
            look=loan.look,
        )
        self._counters.frames += 1
        return frame

    def settle(self) -> None:
        """Release what is still lent."""
        if self._loan is not None:
            self._loan.release()
            self._loan = None

    def close(self) -> None:
        """Release what is still lent and what is kept of the pipeline's pictures: before the pipeline stops."""
        self.settle()
        self._borrower.forget()

    def _note_layout(self, layout: Layout) -> None:
        before = self._layout
        same = before is None or (before.format, before.width, before.height) == (
            layout.format,
            layout.width,
            layout.height,
        )
        if not same:
            self._counters.caps_changes += 1
        self._layout = layout
