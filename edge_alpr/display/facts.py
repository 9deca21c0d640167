"""Looks at what tells how the drive is: the store's lock, the heartbeat, the disk, the network."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import zlib
from pathlib import Path

import msgspec

from edge_alpr.display.status import ListFacts
from edge_alpr.hotlist.status import read_status
from edge_alpr.ops.heartbeat import FILE as BEAT
from edge_alpr.ops.heartbeat import Heartbeat
from edge_alpr.ops.liveview import FACTS, PICTURE, LiveFacts
from edge_alpr.sinks.store import FILE as STORE

_ROUTES = (Path("/proc/net/route"), Path("/proc/net/ipv6_route"))
_TRIES = 3


def driving_since(folder: Path) -> float | None:
    """Since when (seconds of the wall clock) a process holds the store of this folder to write it; None: none does.

    Asking holds nobody up: a drive that starts waits for the lock a while.
    """
    try:
        handle = os.open(folder / f"{STORE}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.fstat(handle).st_mtime  # it writes its process number there
    finally:
        os.close(handle)
    return None


def newest_beat(folder: Path) -> tuple[Heartbeat | None, float]:
    """The newest heartbeat and when it was written (seconds of the wall clock); None where none can be read."""
    path = folder / BEAT
    try:
        written = path.stat().st_mtime
        return msgspec.json.decode(path.read_bytes(), type=Heartbeat), written
    except (OSError, msgspec.MsgspecError):
        return None, 0.0


def live_facts(folder: Path) -> LiveFacts | None:
    """What is said of the newest live picture; None where there is none."""
    try:
        return msgspec.json.decode((folder / FACTS).read_bytes(), type=LiveFacts)
    except (OSError, msgspec.MsgspecError):
        return None


def live_picture(folder: Path) -> tuple[bytes, LiveFacts | None]:
    """The newest live picture and what belongs to it; without, where both do not fit each other."""
    picture = b""
    for _ in range(_TRIES):
        facts = live_facts(folder)
        try:
            picture = (folder / PICTURE).read_bytes()
        except OSError:
            return b"", None
        if facts is not None and facts.crc32 == zlib.crc32(picture):
            return picture, facts
        time.sleep(0.002)  # it is being replaced
    return picture, None


def hot_lists(folder: Path) -> tuple[ListFacts, ...]:
    """The hot lists, as the drive says in the store's folder; none where it says nothing."""
    said = read_status(folder)
    if said is None:
        return ()
    now_ms = time.time() * 1000
    used = (ListFacts(one.name, max(0.0, now_ms - one.issued_ms) / 1000, 0 < one.stale_ms < now_ms, one.trouble)
            for one in said.lists)  # fmt: skip
    return (*used, *(ListFacts(name, 0.0, trouble=why, refused=True) for name, why in said.refused.items()))


def free_gb(folder: Path) -> float | None:
    """Room on the store's disk, in 10^9 bytes."""
    try:
        return shutil.disk_usage(folder).free / 1e9
    except OSError:
        return None


def has_network() -> bool | None:
    """Whether there is a way out (a default route that is up); None where the system does not tell."""
    try:
        lines = _ROUTES[0].read_text(encoding="ascii").splitlines()[1:]
        six = _ROUTES[1].read_text(encoding="ascii").splitlines() if _ROUTES[1].exists() else []
    except OSError:
        return None
    four = any(line.split()[1] == "00000000" and int(line.split()[3], 16) & 1 for line in lines if line.strip())
    return four or any(line.startswith("0" * 32 + " 00 ") and not line.endswith(" lo") for line in six)
