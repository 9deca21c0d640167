"""A probe of the drive that runs, or ran last: its heartbeat."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from edge_alpr.config import Config
from edge_alpr.doctor.finding import Finding
from edge_alpr.ops.heart_sinks import path_of
from edge_alpr.ops.heartbeat import Heartbeat

_AREA = "last drive"
_GRACE_S = 10.0
"""Beyond two heartbeats left out."""


def heartbeat(config: Config) -> Iterator[Finding]:
    """Whether the drive that runs keeps up, and whether the last one ended in order."""
    path = path_of(config)
    try:
        beat = msgspec.json.decode(path.read_bytes(), type=Heartbeat)
        age_s = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        yield Finding(_AREA, "ok", "no heartbeat: no live drive yet")
        return
    except (OSError, msgspec.MsgspecError) as error:
        yield Finding(_AREA, "limited", f"{path}: {error}", f"the next live drive mends it, or: rm {path}")
        return
    if beat.error:
        yield Finding(_AREA, "limited", f"ended at {beat.timestamp} with an error: {beat.error}", "edge-alpr run")
    elif not beat.running:
        yield Finding(_AREA, "ok", f"ended in order at {beat.timestamp}")
    elif age_s > 2 * config.output.heartbeat_s + _GRACE_S:
        yield Finding(_AREA, "limited", f"silent since {beat.timestamp}: it did not end in order", "edge-alpr run")
    elif beat.keeping_up:
        yield Finding(_AREA, "ok", f"running and keeping up at {beat.timestamp}: {_frames(beat)}")
    else:
        level = f"; level {beat.level.place} of {beat.level.of}: {beat.level.reason}" if beat.level else ""
        what = f"running at {beat.timestamp}, but not keeping up: {_frames(beat)}{level}"
        yield Finding(_AREA, "limited", what, "see docs/heartbeat.md, docs/governor.md, and the camera's cable")


def _frames(beat: Heartbeat) -> str:
    return ", ".join(f"{c.camera_id} {c.fps:g} fps, {c.dropped} dropped" for c in beat.cameras)
