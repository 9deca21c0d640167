"""How a drive is now, as one JSON object: what other programs get each minute. Pure; see docs/heartbeat.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from edge_alpr.hotlist.status import Status
from edge_alpr.ops.governor import Governor
from edge_alpr.types import SourceCounters

FILE = "heartbeat.json"
"""The newest one, in the store's folder."""


class CameraBeat(msgspec.Struct, frozen=True, kw_only=True):
    """A camera over the interval. No frames: it, or the drive, stands still."""

    camera_id: str
    frames: int
    """Taken, so `fps` is of them."""
    fps: float
    dropped: int
    restarts: int
    last_restart: str
    """Why it was last started again since the drive began; empty if it never was."""
    lost: str
    """Why it was given up while others go on; empty where it was not."""


class LevelBeat(msgspec.Struct, frozen=True, kw_only=True):
    """The governor's level: its place in the table, 0 is full, `of` is the least; why it is there, changes so far."""

    place: int
    of: int
    name: str
    reason: str
    changes: int

    @classmethod
    def told_by(cls, governor: Governor) -> Self:
        """The present level."""
        reason = governor.last.reason if governor.last else ""
        place, name = governor.place, governor.level.name
        return cls(place=place, of=governor.least, name=name, reason=reason, changes=governor.changes)


class BoardBeat(msgspec.Struct, frozen=True, kw_only=True):
    """What the board tells of itself; None where it does not."""

    watts: float | None
    celsius: float | None
    power_mode: str | None


class ListBeat(msgspec.Struct, frozen=True, kw_only=True):
    """A hot list. `trouble`: why it, or its newest version, is not in use; empty where it is."""

    name: str
    """Of the file, where it is not in use at all."""
    entries: int
    age_h: float
    """Since it was issued."""
    stale: bool
    trouble: str


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """One heartbeat. The interval is the latest `interval_s` seconds: `heartbeat_s`, or less after the start."""

    version: int = 1
    device_id: str
    timestamp: str
    """UTC, ISO 8601."""
    running: bool
    """False in the last one of a drive."""
    error: str
    """Why it ended; empty where it runs, or ended in order."""
    keeping_up: bool
    """All is done for each frame: the level is full, every camera gave frames, none was dropped, in the interval."""
    uptime_s: float
    """Of the drive."""
    interval_s: float
    cameras: tuple[CameraBeat, ...]
    p50_ms: float | None
    p99_ms: float | None
    """Frame in hand to its events stored and told, of searched frames of the interval; None without any."""
    level: LevelBeat | None
    """None: not governed."""
    board: BoardBeat
    rss_mb: float | None
    confirmed: int
    withdrawn: int
    """Events told since the drive began."""
    models: dict[str, str]
    software: str
    hot_lists: tuple[ListBeat, ...] = ()


class Mark(msgspec.Struct, frozen=True):
    """What the cameras had gone through at a moment of the monotonic clock: frames, dropped, restarts.

    `timed` are the frames whose time was taken until then.
    """

    at_s: float
    counts: dict[str, tuple[int, int, int]]
    timed: int = 0

    @classmethod
    def of(cls, cameras: Mapping[str, SourceCounters], at_s: float, timed: int = 0) -> Self:
        """Now."""
        return cls(at_s, {name: (c.frames, c.dropped, c.restarts) for name, c in cameras.items()}, timed)


def camera_beats(then: Mark, now: Mark, cameras: Mapping[str, SourceCounters]) -> tuple[CameraBeat, ...]:
    """Each camera between two marks."""
    seconds, beats = now.at_s - then.at_s, []
    for name, counts in now.counts.items():
        before = then.counts.get(name, (0, 0, 0))
        frames, dropped, restarts = (b - a for a, b in zip(before, counts, strict=True))
        fps, camera = round(frames / seconds, 2) if seconds > 0 else 0.0, cameras[name]
        beats.append(CameraBeat(camera_id=name, frames=frames, fps=fps, dropped=dropped, restarts=restarts,
                                last_restart=camera.last_restart, lost=camera.lost))  # fmt: skip
    return tuple(beats)


def list_beats(status: Status | None, at_ms: int) -> tuple[ListBeat, ...]:
    """The hot lists by what the drive last wrote of them."""
    if status is None:
        return ()
    used = [ListBeat(name=one.name, entries=one.entries, age_h=round((at_ms - one.issued_ms) / 3_600_000, 2),
                     stale=0 < one.stale_ms <= at_ms, trouble=one.trouble) for one in status.lists]  # fmt: skip
    refused = [ListBeat(name=name, entries=0, age_h=0.0, stale=False, trouble=why)
               for name, why in status.refused.items()]  # fmt: skip
    return (*used, *refused)


def keeping_up(cameras: Sequence[CameraBeat], level: LevelBeat | None) -> bool:
    """See `Heartbeat.keeping_up`."""
    full = level is None or level.place == 0
    return full and bool(cameras) and all(c.frames and not c.dropped for c in cameras)


def percentiles(values_ms: Sequence[float] | NDArray[np.float32]) -> tuple[float, float] | tuple[None, None]:
    """The 50th and the 99th."""
    if not len(values_ms):
        return None, None
    p50, p99 = np.percentile(values_ms, (50, 99))
    return round(float(p50), 2), round(float(p99), 2)
