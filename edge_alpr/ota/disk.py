"""The few things that updates do to the data partition, each of them whole or not done, whenever the power goes.

`Files` is what a file system gives: its changes last only once the file, or for a name its folder, was synced.
`Disk` builds on that what lasts. Tests put a simulated file system below the same `Disk` and cut its power.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["file", "folder", "link", "none"]
CURRENT = "current"
"""The link among versions that chooses one."""
PART, GONE = ".part-", ".gone-"
"""What begins the names of what is not whole yet, and of what is on its way out."""


class Files(Protocol):
    """What a file system does. Everything raises `OSError`; links are never followed, but as the folder of a path."""

    def kind(self, path: Path) -> Kind:
        """What lies there."""

    def read(self, path: Path) -> bytes:
        """The whole file."""

    def open(self, path: Path) -> BinaryIO:
        """The file, to be read and closed."""

    def size(self, path: Path) -> int:
        """Of a file, in bytes."""

    def names(self, folder: Path) -> list[str]:
        """What lies in a folder, in order."""

    def target(self, link: Path) -> str:
        """What a link says."""

    def free(self, folder: Path) -> int:
        """Bytes that may still be written there."""

    def make(self, folder: Path) -> None:
        """A new folder, in one that is there."""

    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        """A new file; one that is there is replaced."""

    def link(self, path: Path, target: str) -> None:
        """A new link."""

    def rename(self, old: Path, new: Path) -> None:
        """In one step, over what is there."""

    def unlink(self, path: Path) -> None:
        """Take a file or link away."""

    def rmdir(self, folder: Path) -> None:
        """Take an empty folder away."""

    def sync(self, path: Path) -> None:
        """Bring a file's content, or a folder's names, to the disk."""


class RealFiles:
    """The file system of the machine; see `Files`."""

    def kind(self, path: Path) -> Kind:
        """See `Files`."""
        if path.is_symlink():
            return "link"
        return "folder" if path.is_dir() else "file" if path.exists() else "none"

    def read(self, path: Path) -> bytes:
        """See `Files`."""
        return path.read_bytes()

    def open(self, path: Path) -> BinaryIO:
        """See `Files`."""
        return path.open("rb")

    def size(self, path: Path) -> int:
        """See `Files`."""
        return path.stat().st_size

    def names(self, folder: Path) -> list[str]:
        """See `Files`."""
        return sorted(path.name for path in folder.iterdir())

    def target(self, link: Path) -> str:
        """See `Files`."""
        return str(link.readlink())

    def free(self, folder: Path) -> int:
        """See `Files`."""
        return shutil.disk_usage(folder).free

    def make(self, folder: Path) -> None:
        """See `Files`."""
        folder.mkdir(mode=0o755)

    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        """See `Files`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
            for chunk in chunks:
                file.write(chunk)

    def link(self, path: Path, target: str) -> None:
        """See `Files`."""
        path.symlink_to(target)

    def rename(self, old: Path, new: Path) -> None:
        """See `Files`."""
        old.replace(new)

    def unlink(self, path: Path) -> None:
        """See `Files`."""
        path.unlink()

    def rmdir(self, folder: Path) -> None:
        """See `Files`."""
        folder.rmdir()

    def sync(self, path: Path) -> None:
        """See `Files`."""
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Disk:
    """What lasts. After any of these returns, a power cut cannot undo it; cut within, the old or the new is there."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._lasting: set[Path] = set()

    def folder(self, path: Path) -> None:
        """Make a folder, and those above it that are missing."""
        if self.files.kind(path) == "folder":
            if path not in self._lasting:
                with suppress(PermissionError):  # the folder above one that is there may be another's
                    self.files.sync(path.parent)
        else:
            self.folder(path.parent)
            self.files.make(path)
            self.files.sync(path.parent)
        self._lasting.add(path)

    def put(self, path: Path, data: bytes) -> None:
        """Write a file as a whole, in place of what is there."""
        part = path.with_name(PART + path.name)
        self.files.write(part, [data])
        self.files.sync(part)
        self.land(part, path)

    def fill(self, path: Path, chunks: Iterator[bytes]) -> None:
        """Write a file into a folder that nobody uses yet. Its name lasts once the folder is synced."""
        self.files.write(path, chunks)
        self.files.sync(path)

    def land(self, part: Path, path: Path) -> None:
        """Give what is whole, and synced, its name in the same folder."""
        self.files.rename(part, path)
        self.files.sync(path.parent)

    def point(self, link: Path, target: str) -> None:
        """Let a link say something else, in one step."""
        if self.said(link) == target:
            self.files.sync(link.parent)  # it may have been switched just before a cut, and not be there for good yet
            return
        part = link.with_name(PART + link.name)
        if self.files.kind(part) != "none":
            self.files.unlink(part)
        self.files.link(part, target)
        self.land(part, link)

    def renew(self, folder: Path) -> None:
        """What is seen in a folder now shall last: a process that was killed may have left it without a sync."""
        if self.files.kind(folder) == "folder":
            self.files.sync(folder)

    def said(self, link: Path) -> str:
        """What a link says; empty where there is none."""
        return self.files.target(link) if self.files.kind(link) == "link" else ""

    def drop(self, path: Path) -> None:
        """Take a file or link away; fine where there is none."""
        if self.files.kind(path) != "none":
            self.files.unlink(path)
        self.files.sync(path.parent)

    def remove(self, path: Path) -> None:
        """Take a file, link or folder away. A folder first gives up its name, so that none is there in part."""
        if self.files.kind(path) != "folder":
            self.drop(path)
            return
        gone = path
        if not path.name.startswith((GONE, PART)):
            gone = path.with_name(GONE + path.name)
            self._clear(gone)
            self.files.rename(path, gone)
            self.files.sync(path.parent)
        self._clear(gone)

    def _clear(self, folder: Path) -> None:
        if self.files.kind(folder) != "folder":
            self.drop(folder)
            return
        for name in self.files.names(folder):
            inner = folder / name
            if self.files.kind(inner) == "folder":
                self._clear(inner)
            else:
                self.files.unlink(inner)
        self.files.rmdir(folder)
        self.files.sync(folder.parent)
