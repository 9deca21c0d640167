"""Versions side by side in a folder: each in a folder of its own, whole or not there, and links that choose one."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from edge_alpr.errors import UpdateError, UpdateRefusedError, UpdateSpaceError
from edge_alpr.ota.disk import CURRENT, GONE, PART, Disk
from edge_alpr.ota.manifest import CHUNK, FILE, MOST_FILES, is_name, is_version, read_manifest, torn

MOST_BYTES = 512 << 20
"""Of all files of a version together."""
SPARE_BYTES = 16 << 20
"""What stays free on the data partition, for events."""
_GZIP = b"\x1f\x8b"


class Versions:
    """The versions of one unit. `folder` is made when the first one comes."""

    def __init__(self, disk: Disk, folder: Path, unit: str) -> None:
        self.disk, self.folder, self.unit = disk, folder, unit

    def current(self) -> str:
        """The version that is chosen; empty: none."""
        return self.disk.said(self.folder / CURRENT)

    def torn(self, version: str) -> str:
        """What is wrong with a version; empty where it is whole."""
        if not is_version(version):
            return f"'{version}' is no name of a version"
        return torn(self.disk.files, self.folder / version, self.unit, version)

    def unpack(self, archive: Path, version: str) -> None:
        """Let a version be there, from a tar file. Raises `UpdateRefusedError`, `UpdateSpaceError`, `OSError`."""
        if not is_version(version):
            raise UpdateRefusedError(f"{self.unit}: '{version}' is no name of a version")
        if not self.torn(version):
            self.disk.renew(self.folder)
            return
        self.disk.folder(self.folder)
        part, place = self.folder / (PART + version), self.folder / version
        for old in (part, place):
            self.disk.remove(old)
        self.disk.folder(part)
        try:
            self._take_out(archive, part)
            if wrong := torn(self.disk.files, part, self.unit, version):
                raise UpdateRefusedError(f"{self.unit} {version}: {wrong}")
        except UpdateError:
            self.disk.remove(part)
            raise
        self.disk.land(part, place)

    def choose(self, version: str) -> None:
        """Switch to a version in one step; empty: to none. Raises `UpdateError` where it is not whole."""
        link = self.folder / CURRENT
        if not version:
            self.disk.drop(link)
            return
        if wrong := self.torn(version):
            raise UpdateError(f"{self.unit} {version} cannot be used: {wrong}")
        self.disk.point(link, version)

    def prune(self, keep: Collection[str]) -> None:
        """Delete all versions but these, and what a cut has left."""
        for name in self.disk.files.names(self.folder) if self.disk.files.kind(self.folder) == "folder" else ():
            path = self.folder / name
            leftover = name.startswith((PART, GONE))
            if leftover or (self.disk.files.kind(path) == "folder" and name not in keep and name != self.current()):
                self.disk.remove(path)

    def _room(self, archive: Path) -> int:
        """How many bytes it may unpack to."""
        wanted, free = self.disk.files.size(archive) + SPARE_BYTES, self.disk.files.free(self.folder)
        if free < wanted:
            raise UpdateSpaceError(
                f"{self.folder}: {wanted >> 20} MB are needed and {free >> 20} MB free; "
                "delete what is no longer needed there, or lower store.quota_mb"
            )
        return min(MOST_BYTES, free - SPARE_BYTES)

    def _take_out(self, archive: Path, folder: Path) -> None:
        names: list[str] = []
        room = self._room(archive)
        try:
            with self.disk.files.open(archive) as file, _opened(file, room) as tar:
                for member in tar:
                    name = _name_of(member, names, self.unit)
                    if name:
                        names.append(name)
                        self.disk.folder((folder / name).parent)
                        self.disk.fill(folder / name, _content(tar, member))
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
            raise UpdateRefusedError(f"{self.unit}: {archive.name} is no whole tar file: {error}") from error
        for inner in sorted({(folder / name).parent for name in [*names, FILE]}):
            self.disk.files.sync(inner)
        if extra := set(names) - set(read_manifest(self.disk.files, folder).files) - {FILE}:
            raise UpdateRefusedError(f"{self.unit}: {min(extra)} is in it and not in its manifest")


def _name_of(member: tarfile.TarInfo, names: Collection[str], unit: str) -> str:
    """What a file of the archive is called in its folder; empty for a folder. Raises `UpdateRefusedError`."""
    name = member.name.removeprefix("./")
    if member.isdir() and (name == "." or is_name(name)):
        return ""
    if not member.isfile() or member.issparse():
        raise UpdateRefusedError(f"{unit}: {name!r} is neither a file nor a folder; links and devices are not taken")
    if not is_name(name):
        raise UpdateRefusedError(f"{unit}: {name!r} may be no file of a version")
    if name in names or len(names) >= MOST_FILES:
        raise UpdateRefusedError(f"{unit}: {name!r} stands twice, or is one of more than {MOST_FILES} files")
    return name


def _opened(file: BinaryIO, most: int) -> tarfile.TarFile:
    """A tar file, as it is or compressed with gzip, that gives so much and no more."""
    head = file.read(len(_GZIP))
    file.seek(0)
    plain = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if head == _GZIP else file
    return tarfile.open(fileobj=cast(BinaryIO, _Bounded(plain, most)), mode="r|")


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = tar.extractfile(member)
    while file is not None and (chunk := file.read(CHUNK)):
        yield chunk


class _Bounded(io.RawIOBase):
    """Reads on until there is too much: a small file may unpack to an endless one."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file, self._left, self._most = file, most, most

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise UpdateRefusedError(f"it unpacks to more than {self._most >> 20} MB")
        return data
