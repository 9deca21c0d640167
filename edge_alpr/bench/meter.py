"""Takes the times while the drive runs: numbers into lists, and nothing else."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from edge_alpr.bench.process import CpuTimes, cpu_times, started_ns
from edge_alpr.device import Board, BoardReading, BoardWatch

PARTS = {"network": "detect.network", "look": "detect.look"}
"""Parts of a stage by the names that the drive tells."""
STAGES = (
    "decode", "map", "motion", "detect", "detect.resize", "detect.network", "detect.look",
    "rectify", "read", "track", "store", "total", "glass", "notify",
)  # fmt: skip
"""In the order in which they are shown; see docs/latency.md for what each is."""
_EVERY_S = 0.5


@dataclass(slots=True)
class Spans:
    """What ran when: three lists of one length; times by `time.perf_counter_ns`."""

    names: list[str] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, name: str, begin: int, end: int) -> None:
        """One more."""
        self.names.append(name)
        self.begins.append(begin)
        self.ends.append(end)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame that was handed out: the wait for it, its mapping, when a camera would have shown it, if it counts."""

    wait: tuple[int, int]
    mapping_ns: int
    due_ns: int | None
    counts: bool


class Meter:
    """Measures from `warm_up_s` after the first frame for `duration_s` (None: to the end).

    `hear` is the drive's listener, which hears of frames in their order; the source tells of each through `arrive`,
    on a thread of its own where the drive works a frame ahead. `values` are milliseconds a frame: several runs of a
    stage in one frame are added up, and a frame without one counts nowhere.
    """

    def __init__(self, board: Board, warm_up_s: float, duration_s: float | None) -> None:
        self._warm_up_ns = round(warm_up_s * 1e9)
        self._duration_ns = None if duration_s is None else round(duration_s * 1e9)
        self._process_ns = started_ns()
        self._first_ns: int | None = None
        self._frame: dict[str, int] = dict.fromkeys(STAGES, 0)
        self._network_ns = 0
        self._arrived: deque[Arrival] = deque()
        """The frame that is heard of now, and those that came after it."""
        self._told_ns = 0
        self._board = board
        self.readings: list[BoardReading] = []
        """What the board told while it was measured."""
        self._watch = BoardWatch(board.read, _EVERY_S, self.readings.append, "bench-board")
        self.begun_ns: int | None = None
        self.values: dict[str, list[float]] = {name: [] for name in STAGES}
        self.spans = Spans()
        self.load_s: float | None = None
        self.first_read_s: float | None = None
        self.dropped_before = 0
        self.frame_size = (0, 0)
        """Width and height, of the newest frame."""
        self.cpu: tuple[CpuTimes, CpuTimes] | None = None
        self._cpu_before: CpuTimes | None = None

    def hear(self, name: str, begin: int, end: int) -> None:
        """A stage ran."""
        if name == "load":
            self.load_s = (end - begin) / 1e9
        elif name == "find":
            self._add("detect.resize", begin, self._network_ns)
        else:
            if name == "network":
                self._network_ns = begin
            elif name == "read" and self.first_read_s is None:
                self.first_read_s = (end - self._process_ns) / 1e9
            self._add(PARTS.get(name, name), begin, end)
            if name == "total":
                self._close_frame(end)

    def arrive(self, wait: tuple[int, int], mapping_ns: int, due_ns: int | None, dropped: int) -> bool:
        """A frame is about to be handed out: begin and end of the wait for it, and when a camera would have shown it.

        False: enough was measured.
        """
        now = time.perf_counter_ns()
        if self._first_ns is None:
            self._first_ns = now
        if self.begun_ns is None and now - self._first_ns >= self._warm_up_ns:
            self._begin(dropped)
        if self.begun_ns is not None and self._duration_ns is not None and now - self.begun_ns >= self._duration_ns:
            return False
        self._arrived.append(Arrival(wait, mapping_ns, due_ns, self.begun_ns is not None))
        return True

    def finish(self) -> None:
        """The last frame is through; call it while the threads still live. A second call does nothing."""
        if self._cpu_before is not None and self.cpu is None:
            self.cpu = self._cpu_before, cpu_times()
        self._watch.stop()

    @property
    def seconds(self) -> float:
        """From the first measured frame to the end of the last one."""
        return (self._told_ns - self.begun_ns) / 1e9 if self.begun_ns and self._told_ns else 0.0

    def _begin(self, dropped: int) -> None:
        self.dropped_before = dropped
        self._board.read()  # meters that count energy count from here
        self._watch.start()
        self._cpu_before = cpu_times()
        self.begun_ns = time.perf_counter_ns()

    def _add(self, name: str, begin: int, end: int) -> None:
        if self._arrived and self._arrived[0].counts:
            self._frame[name] += end - begin
            self.spans.add(name, begin, end)

    def _close_frame(self, end: int) -> None:
        arrival = self._arrived.popleft() if self._arrived else None
        if arrival is None or not arrival.counts:
            return
        self._told_ns = end
        (asked, got), mapped = arrival.wait, arrival.wait[1] - arrival.mapping_ns
        for name, begin, until in (("decode", asked, mapped), ("map", mapped, got)):
            self._frame[name] = until - begin
            self.spans.add(name, begin, until)
        if arrival.due_ns is not None:
            self._frame["glass"] = end - arrival.due_ns
            if self._frame["store"]:
                self._frame["notify"] = end - arrival.due_ns
        for name in STAGES:
            if self._frame[name]:
                self.values[name].append(self._frame[name] / 1e6)
                self._frame[name] = 0
