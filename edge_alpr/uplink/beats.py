"""The newest heartbeat of the drive, with how the uplink is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from edge_alpr.ops.heartbeat import FILE, Heartbeat
from edge_alpr.ota.told import Updates, updates_told
from edge_alpr.uplink.waiting import Waiting

_EVERY_S = 60.0


def newest_beat(folder: Path) -> Heartbeat | None:
    """The newest of the drive; None where there is none, or none that can be read."""
    try:
        return msgspec.json.decode((folder.expanduser() / FILE).read_bytes(), type=Heartbeat)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def age_s(beat: Heartbeat, now: datetime) -> float:
    """How old it is by the wall clock; infinite where its time stamp is none."""
    try:
        stamp = datetime.fromisoformat(beat.timestamp.replace("Z", "+00:00"))
    except ValueError:
        return float("inf")
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=timezone.utc)
    return (now - stamp).total_seconds()


class Beats:
    """Gives each heartbeat as soon as it is there, and the newest again when a minute has passed."""

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        """`data`: the folder of updates, where it is not the same."""
        self._path = folder.expanduser() / FILE
        self._data = (data or folder).expanduser()
        self._last: tuple[int, float] = (0, -_EVERY_S)

    def due(self, links: Mapping[str, Waiting]) -> dict[str, Any] | None:
        """What is to be told now, if anything."""
        try:
            written = self._path.stat().st_mtime_ns
        except OSError:
            return None
        now = time.monotonic()
        if written == self._last[0] and now - self._last[1] < _EVERY_S:
            return None
        beat = newest_beat(self._path.parent)
        self._last = (written, now)
        return None if beat is None else outward(beat, links, datetime.now(timezone.utc), updates_told(self._data))


def outward(beat: Heartbeat, links: Mapping[str, Waiting], now: datetime, updates: Updates) -> dict[str, Any]:
    """As it is told: with when, with how many events wait for each target and how the others ended, and updates."""
    uplink = {name: {"waiting": len(waiting), **waiting.outcomes} for name, waiting in links.items()}
    return {**msgspec.to_builtins(beat), "sent": now.isoformat(timespec="milliseconds"), "uplink": uplink,
            **msgspec.to_builtins(updates)}  # fmt: skip
