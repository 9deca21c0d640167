"""Durable writes: a file is there whole or not at all, whenever the tool is killed or the power fails."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from deploy.repo_tool.errors import RepoError
from edge_alpr.sinks.pictures import sync_folder

CHUNK = 1 << 20


def write_whole(path: Path, data: bytes, scratch: Path) -> None:
    """Put `data` at `path` by one rename. `scratch` is a folder on the same disk that nobody is served from."""
    with _arriving(path, scratch) as file:
        file.write(data)


def copy_whole(source: Path, path: Path, scratch: Path, progress: Callable[[int], None]) -> None:
    """Put a copy of a large file at `path` by one rename. `progress` hears of the bytes of each piece."""
    with source.open("rb") as original, _arriving(path, scratch) as file:
        for piece in iter(lambda: original.read(CHUNK), b""):
            file.write(piece)
            progress(len(piece))


def sha256_of(path: Path) -> str:
    """In hexadecimal, of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(CHUNK), b""):
            digest.update(piece)
    return digest.hexdigest()


def remove(path: Path) -> None:
    """Durably, where it is there."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Durably. A torn last line of an earlier run is closed first, so that it spoils no other."""
    with path.open("a+b") as file:
        if file.tell() and _last_byte(file) != b"\n":
            line = b"\n" + line
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One at a time: cron's `refresh`, `watch` and an operator may meet. Waits for the other."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


@contextmanager
def _arriving(path: Path, scratch: Path) -> Iterator[BinaryIO]:
    scratch.mkdir(parents=True, exist_ok=True)
    _make_folders(path.parent)
    arriving = scratch / f"{path.name}.{os.getpid()}"
    try:
        with arriving.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        arriving.replace(path)
    except OSError as error:
        arriving.unlink(missing_ok=True)
        raise RepoError(f"{path}: cannot be written: {error.strerror}") from error
    sync_folder(path.parent)


def _make_folders(folder: Path) -> None:
    """A new folder is durable once its parent is synced."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
