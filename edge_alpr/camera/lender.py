"""Turns samples into frames, and takes each back before the next."""

from __future__ import annotations

import time
from typing import Any

from edge_alpr.camera.mapped import Layout, Loan, borrow
from edge_alpr.types import Frame, SourceCounters


class Lender:
    """Lends one frame at a time. A frame that its borrower did not release is released by `settle`."""

    def __init__(self, camera_id: str, counters: SourceCounters, origin: str = "") -> None:
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
        loan = borrow(sample)
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
        )
        self._counters.frames += 1
        return frame

    def settle(self) -> None:
        """Release what is still lent."""
        if self._loan is not None:
            self._loan.release()
            self._loan = None

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
