"""Pictures kept with an event: written whole and durably, or not at all."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote

from edge_alpr.types import Event, Images

FOLDER = "pictures"
_STAGING = ".part"
_log = logging.getLogger(__name__)
_RESERVE_BYTES = 32 << 20
_CLUSTER = 4096
"""Bytes that a disk gives at a time."""
_LAST_MS = 253_402_300_799_000  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Pictures:
    """Encoded pictures of an event: the plate's crop and the scene; empty bytes where there is none."""

    plate: bytes
    frame: bytes
    suffix: str = ".jpg"
    """What both are encoded as."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written: names for the event, and the files that were not there before."""

    images: Images
    fresh: tuple[Path, ...]
    size: int = 0
    """What the fresh files take on the disk, in bytes."""


def keep_pictures(
    folder: Path, event: Event, pictures: Pictures, wrap: Callable[[str, bytes], bytes] = lambda _, data: data
) -> Kept:
    """Write the pictures below `folder`/pictures/YYYY-MM-DD (UTC, by `epoch_start`), durable on return.

    `wrap` makes of a name, relative to `folder`, and a picture what is written. A name that is taken (same uuid)
    is replaced. On a nearly full disk pictures give way, so that events still fit. Raises `OSError`, and then
    nothing new is left behind.
    """
    _check_room(folder)
    day = Path(FOLDER) / day_of(event.epoch_start)
    stem = stem_of(event.uuid)
    wanted = {
        kind: (day / f"{stem}_{kind}{pictures.suffix}", data)
        for kind, data in (("plate", pictures.plate), ("frame", pictures.frame))
        if data
    }
    fresh = tuple(folder / name for name, _ in wanted.values() if not (folder / name).exists())
    try:
        staged = [(_stage(folder, name.name, wrap(str(name), data)), folder / name) for name, data in wanted.values()]
        _make_folder(folder / day)
        for source, target in staged:
            source.replace(target)
        sync_folder(folder / day)
    except OSError:
        drop(fresh)
        clear_staging(folder)
        raise
    size = sum(-(-file.stat().st_size // _CLUSTER) * _CLUSTER for file in fresh)
    return Kept(Images(**{kind: str(name) for kind, (name, _) in wanted.items()}), fresh, size)


def _check_room(folder: Path) -> None:
    disk = os.statvfs(folder)
    reserve = min(_RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 10)
    if disk.f_bavail * disk.f_frsize < reserve:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def drop(files: tuple[Path, ...]) -> None:
    """Take files back; one that cannot be removed is left, for nothing names it."""
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            _log.info("%s stays: %s", file, error.strerror)


def clear_staging(folder: Path) -> None:
    """Remove what a power cut left half-written."""
    staging = folder / FOLDER / _STAGING
    if staging.is_dir():
        drop(tuple(staging.iterdir()))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _stage(folder: Path, name: str, data: bytes) -> Path:
    staging = folder / FOLDER / _STAGING
    _make_folder(staging)
    path = staging / name
    with open(path, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)
    sync_folder(path.parent.parent)


def stem_of(uuid: str) -> str:
    """What the names of a passage's pictures begin with; `_plate` or `_frame` follows."""
    return quote(uuid, safe="")


def day_of(epoch_ms: int) -> str:
    """The folder, below `FOLDER`, of pictures of this time."""
    since = timedelta(milliseconds=min(max(epoch_ms, 0), _LAST_MS))
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + since).date().isoformat()
