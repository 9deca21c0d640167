"""How long the stages of the latest frames took, in memory of one size."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

STAGES = ("detect", "cut", "read", "track", "store", "total")
"""`store` is 0 for most frames: nothing is told of them. `total` runs from the decoded frame to its stored events."""


class Recent:
    """The latest of many numbers, in memory of one size."""

    def __init__(self, most: int) -> None:
        self._values = np.full(most, np.nan, np.float32)
        self.count = 0

    def add(self, value: float) -> None:
        """One more; the oldest goes where there is no room."""
        self._values[self.count % len(self._values)] = value
        self.count += 1

    @property
    def last(self) -> float:
        """The newest."""
        return float(self._values[(self.count - 1) % len(self._values)])

    def since(self, count: int) -> NDArray[np.float32]:
        """Those after the first `count`, as far as they are kept, oldest first. Any thread may ask."""
        now, size = self.count, len(self._values)
        return self._values[np.arange(max(count, now - size), now) % size]

    def percentile(self, share: float) -> float:
        """A percentile, `share` in percent; 0 where there is no number yet."""
        return float(np.percentile(self._values[: self.count], share)) if self.count else 0.0


class Timings:
    """Milliseconds of the latest 36,000 frames, per stage."""

    def __init__(self) -> None:
        self.stages = {name: Recent(36_000) for name in STAGES}

    def told(self, start_ns: int, told_ns: int) -> None:
        """Note that the newest frame, begun at `start_ns`, was read by `told_ns` and its events stored by now."""
        now = time.perf_counter_ns()
        self.stages["store"].add((now - told_ns) / 1e6)
        self.stages["total"].add((now - start_ns) / 1e6)

    def latest(self) -> dict[str, float]:
        """The times of the newest frame."""
        return {name: round(values.last, 3) for name, values in self.stages.items() if values.count}
