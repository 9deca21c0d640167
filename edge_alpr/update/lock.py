"""One process at a time changes updates: the service, the proof at boot, or a command."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_alpr.errors import UpdateError

FILE = "lock"


@contextmanager
def locked(folder: Path, wait_s: float = 0.0, tick: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock, which goes with the process. Raises `UpdateError` where another one has it for `wait_s`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UpdateError(f"{folder}: cannot be written: {error.strerror}; set update.folder") from error
    try:
        _wait(handle, time.monotonic() + wait_s, tick)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, until_s: float, tick: Callable[[], None]) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise UpdateError(
                    "another process works on updates now; see it with `edge-alpr update status`, and try again later"
                ) from None
        tick()
        time.sleep(0.1)
