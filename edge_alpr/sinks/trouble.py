"""What SQLite and the system complain of, as one line that says what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_alpr.errors import SealError, StoreCorruptError, StoreError, StoreFullError

_ELSEWHERE = "or set store.path to another folder"
_FULL = f"the disk is full; make room (what is stored is kept) {_ELSEWHERE}"
_READ_ONLY = f"it is read-only; mount the disk writable {_ELSEWHERE}"
_PERMISSION = f"no permission; run as the user who owns it {_ELSEWHERE}"
_NOT_A_FOLDER = "there is a file where a folder is needed; set store.path to a folder"

_BY_ERRNO: dict[int | None, tuple[type[StoreError], str]] = {
    errno.ENOSPC: (StoreFullError, _FULL),
    errno.EDQUOT: (StoreFullError, _FULL),
    errno.EFBIG: (StoreFullError, _FULL),
    errno.EROFS: (StoreError, _READ_ONLY),
    errno.EACCES: (StoreError, _PERMISSION),
    errno.EPERM: (StoreError, _PERMISSION),
    errno.ENOTDIR: (StoreError, _NOT_A_FOLDER),
    errno.EEXIST: (StoreError, _NOT_A_FOLDER),
    errno.EISDIR: (StoreError, f"there is a folder where a file is needed; move it away {_ELSEWHERE}"),
}

DAMAGE = ("not a database", "malformed")
"""What SQLite says of a damaged file."""

# Python 3.10 gives no error codes of SQLite, so its messages (which are stable) tell them apart.
_BY_MESSAGE: tuple[tuple[str, type[StoreError], str], ...] = (
    ("database or disk is full", StoreFullError, _FULL),
    ("is locked", StoreError, f"another process keeps it locked; end that one {_ELSEWHERE}"),
    ("readonly database", StoreError, f"it or its folder is read-only; give this user the right to write {_ELSEWHERE}"),
    ("unable to open", StoreError, f"it cannot be opened; check its permissions {_ELSEWHERE}"),
    *((words, StoreCorruptError, "it is damaged; start again, opening repairs it") for words in DAMAGE),
    ("disk I/O error", StoreError, f"the disk fails; see `dmesg`, change the disk {_ELSEWHERE}"),
)
_LITTLE_BYTES = 1 << 20


def os_trouble(error: OSError, path: Path) -> StoreError:
    """The typed error for a system call that failed on the store's file or folder `path`."""
    kind, what = _BY_ERRNO.get(error.errno, (StoreError, f"{error.strerror}; see `dmesg` {_ELSEWHERE}"))
    return kind(f"event store {path}: {what}")


def sql_trouble(error: sqlite3.Error, path: Path) -> StoreError:
    """The typed error for what SQLite says of the store's file `path`."""
    message = str(error)
    if "disk I/O error" in message and _nearly_full(path):
        return StoreFullError(f"event store {path}: {_FULL}")
    for words, kind, what in _BY_MESSAGE:
        if words in message:
            return kind(f"event store {path}: {what}")
    return StoreError(f"event store {path}: {message}; check it with `sqlite3 FILE 'pragma quick_check'`")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what goes wrong inside into `StoreError`. Misuse (a closed store, a foreign thread) passes."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except OverflowError as error:  # a number that no column holds: something has changed the counter
        raise StoreCorruptError(f"event store {path}: a number is out of range; it is damaged, put it aside") from error
    except sqlite3.Error as error:
        raise sql_trouble(error, path) from error
    except OSError as error:
        raise os_trouble(error, path) from error
    except SealError as error:
        raise StoreError(f"event store {path}: {error}") from error


def _nearly_full(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _LITTLE_BYTES
