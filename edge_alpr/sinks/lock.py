"""One edge-alpr at a time has a store: its folder, and the file that says who."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from edge_alpr.errors import StoreError
from edge_alpr.sinks.pictures import sync_folder


def make_folder(folder: Path) -> None:
    """Make a folder that only its owner sees, durable on return."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def take_lock(path: Path, timeout_s: float) -> int:
    """The open lock file. Raises `StoreError` after `timeout_s` where another process has it.

    The system drops the lock with the process, so a crash leaves none behind.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait_for_lock(handle, time.monotonic() + timeout_s)
        os.pwrite(handle, f"{os.getpid():<19}\n".encode(), 0)
    except BlockingIOError:
        owner = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise StoreError(
            f"event store {path.parent}: another edge-alpr (process {owner}) uses it; "
            "end that one or set store.path to another folder"
        ) from None
    except BaseException:
        os.close(handle)
        raise
    return handle


def _wait_for_lock(handle: int, give_up_s: float) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_s:
                raise
            time.sleep(0.02)
