"""A target's file, fetched in as many stretches as the line needs, and in place only once it is whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event
from urllib3.response import BaseHTTPResponse

from edge_alpr.errors import UpdateError, UpdateRefusedError, UpdateSpaceError, UpdateUnreachableError
from edge_alpr.ota.fetch import Http, content_length, content_range
from edge_alpr.ota.types import Progress, Target
from edge_alpr.sinks.pictures import sync_folder

_FRUIT_BYTES = 65536
"""A stretch that broke but brought as much was not in vain."""
_SYNC_BYTES = 8 << 20
"""At most so much is fetched twice after a power cut; the free space is looked at as often."""


def free_bytes(folder: Path) -> int:
    """What is free on the file system of a folder."""
    return shutil.disk_usage(folder).free


class TargetFetcher:
    """Fetches targets from the image repository."""

    def __init__(self, http: Http, free: Callable[[Path], int] = free_bytes) -> None:
        self._http = http
        self._free = free

    def fetch(self, target: Target, path: Path, progress: Progress) -> None:
        """See `Repository.download`. What `progress` raises ends it; the next call goes on from there."""
        part = path.with_name(f"{path.name}.part")
        with on_disk(path):
            if _matches(path, target):
                progress(target.length, target.length)
                return
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
        kept = _size(part) > 0
        if kept and not self._fill(target, part, progress):
            part.unlink()  # of an earlier version, or what a power cut left
            kept = False
        if not kept and not self._fill(target, part, progress):
            part.unlink()
            raise UpdateRefusedError(f"{target.path}: what came is not what was signed (sha256); it is thrown away")
        with on_disk(path):
            part.replace(path)
            sync_folder(path.parent)

    def _fill(self, target: Target, part: Path, progress: Progress) -> bool:
        """Fetch all that is missing of a part file; tells whether it is the target then."""
        while _size(part) < target.length:
            self._room(target, part)
            for attempt in again(self._http):
                with attempt:
                    self._stretch(target, part, progress)
        progress(target.length, target.length)
        return _matches(part, target)

    def _stretch(self, target: Target, part: Path, progress: Progress) -> None:
        """One request, from where the part file ends. Raises unless that brought something."""
        begin = _size(part)
        try:
            self._read(target, part, progress)
        except UpdateUnreachableError:
            if _size(part) < min(begin + _FRUIT_BYTES, target.length) or self._http.stop.is_set():
                raise

    def _read(self, target: Target, part: Path, progress: Progress) -> None:
        begin, done = _size(part), 0
        url = f"{self._http.link.url.rstrip('/')}/image/targets/{address(target)}"
        with self._http.get(url, begin) as answer, on_disk(part), part.open("ab", buffering=0) as file:
            skip = _skipped(url, answer, target, begin)
            for data in self._http.body(url, answer):
                fresh = data[skip:]
                skip -= len(data) - len(fresh)
                if begin + done + len(fresh) > target.length:
                    raise UpdateRefusedError(f"{url}: more comes than the {target.length} bytes that were signed")
                _write(file.fileno(), fresh)
                if done // _SYNC_BYTES != (done + len(fresh)) // _SYNC_BYTES:
                    os.fsync(file.fileno())
                    self._room(target, part)
                done += len(fresh)
                progress(begin + done, target.length)
            os.fsync(file.fileno())
        if begin + done < target.length:
            raise UpdateUnreachableError(f"{url}: the connection ended early; it goes on where it ended, later")

    def _room(self, target: Target, part: Path) -> None:
        need = target.length - _size(part) + self._http.link.reserve_bytes
        free = self._free(part.parent)
        if free < need:
            part.unlink(missing_ok=True)  # the reader needs the room more
            room = f"{need >> 20} MB are needed and {free >> 20} MB free"
            raise UpdateSpaceError(f"{target.path}: {room}; free some, or let [store] keep less")


def address(target: Target) -> str:
    """Where it lies under `targets/`: names carry the hash, so that old and new ones lie side by side."""
    folder, sep, name = target.path.rpartition("/")
    return quote(f"{folder}{sep}{target.sha256}.{name}")


def again(http: Http) -> Retrying:
    """Try so often as the link says, with growing pauses, what cannot be reached."""
    return Retrying(
        retry=retry_if_exception_type(UpdateUnreachableError),
        stop=stop_after_attempt(http.link.tries) | stop_when_event_set(http.stop),
        wait=wait_random_exponential(multiplier=http.link.pause_s, max=60),
        sleep=sleep_using_event(http.stop),
        reraise=True,
    )


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Raise what the disk raises as an `UpdateError`; where it is full, give back what `path` holds."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise UpdateError(f"{path}: {error.strerror or error}; is the data partition well?") from error
        path.unlink(missing_ok=True)
        raise UpdateSpaceError(f"{path}: the data partition is full; free some, or let [store] keep less") from error


def _skipped(url: str, answer: BaseHTTPResponse, target: Target, begin: int) -> int:
    """How many bytes of the body we have. Raises `UpdateRefusedError` for an answer that cannot be of the target."""
    told = content_range(answer) if answer.status == 206 else (0, content_length(answer))
    if answer.status in {403, 404}:
        raise UpdateUnreachableError(f"{url}: the server does not have it (HTTP {answer.status}); try again later")
    if told is None or told[0] != (begin if answer.status == 206 else 0):
        raise UpdateRefusedError(f"{url}: the server sends another part than was asked for")
    if answer.status == 416 or told[1] not in {None, target.length}:
        raise UpdateRefusedError(f"{url}: the server's file is not the {target.length} bytes long that were signed")
    return begin - told[0]


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _matches(path: Path, target: Target) -> bool:
    """Whether a file is there and is, byte for byte, what was signed."""
    if _size(path) != target.length:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == target.sha256
