"""Disks that a power cut might have left: all that was synced, and any part of what was not.

`record` runs a program and has tests/native/powercut.c note what it does to its files. `Disk` replays the notes. A
crash keeps what was synced; of the later writes each sector of 512 bytes is there or not, of the later changes of
names the first few (as journals do), so a file may be torn, old, empty, under its old name, or not there.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers_parts import missing

SECTOR = 512
_HEAD = struct.Struct("<cIIQ")


@dataclass(frozen=True)
class Note:
    """One thing done to a file; `more` is data of a write, or the second name."""

    kind: bytes
    path: str
    more: bytes
    offset: int


def record(root: Path, code: str, *values: object) -> list[Note]:
    """Run `code` in another process; what it does below `root`, in order. Skips where there is no gcc."""
    if shutil.which("gcc") is None:
        missing("gcc is not installed")
    library, notes = root.with_name("powercut.so"), root.with_name("notes")
    source = Path(__file__).parent / "native" / "powercut.c"
    build = ["gcc", "-shared", "-fPIC", "-w", "-o", str(library), str(source), "-ldl", "-lpthread"]
    subprocess.run(build, check=True, timeout=120)
    root.mkdir()
    here = Path(__file__).parent
    env = {
        **os.environ, "PYTHONPATH": f"{here.parent}:{here}", "LD_PRELOAD": str(library),
        "POWERCUT_ROOT": str(root), "POWERCUT_NOTES": str(notes),
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", code, *map(str, values)], check=True, env=env, timeout=300)
    return list(_parse(notes.read_bytes(), f"{root}/"))


def _parse(data: bytes, root: str) -> Iterator[Note]:
    at = 0
    while at < len(data):
        kind, length, size, offset = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        path, more = data[at : at + length].decode(), data[at + length : at + length + size]
        at += length + size
        if kind in (b"R", b"L"):
            more = more.removeprefix(root.encode())
        yield Note(kind, path.removeprefix(root), more, offset)


@dataclass
class File:
    """What is durable of a file, and what was done to it since."""

    durable: bytes = b""
    later: list[Note] = field(default_factory=list)

    def left(self, randomly: random.Random, share: float) -> bytes:
        """What a crash leaves: of each later change every sector with this probability."""
        data = bytearray(self.durable)
        for note in self.later:
            if note.kind == b"T":
                if randomly.random() < share:
                    _cut(data, note.offset)
                continue
            for at in range(0, len(note.more), SECTOR):
                if randomly.random() < share:
                    _put(data, note.offset + at, note.more[at : at + SECTOR])
        return bytes(data)


class Disk:
    """The names and files below a root while notes are replayed."""

    def __init__(self) -> None:
        self.acknowledged = b""
        """All that was written to the file `ack`: what the program had told somebody."""
        self._now: dict[str, File] = {}
        self._durable: dict[str, File | None] = {}
        self._later: list[tuple[Note, File | None]] = []

    def apply(self, note: Note) -> None:
        """One thing more was done."""
        if note.path == "ack":
            self.acknowledged += note.more if note.kind == b"W" else b""
        elif note.kind in (b"W", b"T"):
            self._now[note.path].later.append(note)
        elif note.kind == b"S":
            file = self._now[note.path]
            file.durable, file.later = file.left(random.Random(0), 1.0), []
        elif note.kind == b"D":
            self._sync_names(note.path)
        else:
            self._later.append((note, self._rename_now(note)))

    def crash(self, randomly: random.Random, folder: Path) -> None:
        """Make in `folder` a disk that a power cut at this moment might leave."""
        folder.mkdir(exist_ok=True)
        names = dict(self._durable)
        for note, file in self._later[: randomly.randint(0, len(self._later))]:
            _rename(names, note, file)
        share = randomly.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for path, file in names.items():
            target = folder / path
            (target if file is None else target.parent).mkdir(parents=True, exist_ok=True)
            if file is not None:
                target.write_bytes(file.left(randomly, share))
                target.chmod(0o600)

    def _rename_now(self, note: Note) -> File | None:
        if note.kind == b"R" and note.path not in self._now:  # a folder, whose names were synced before
            _move(self._now, note)
            return None
        if note.kind in (b"R", b"L"):
            file = self._now[note.path] if note.kind == b"L" else self._now.pop(note.path)
            self._now[note.more.decode()] = file
            return file
        if note.kind == b"C":
            self._now[note.path] = File()
        return self._now.pop(note.path, None) if note.kind == b"U" else self._now.get(note.path)

    def _sync_names(self, folder: str) -> None:
        """The changes of names in a folder become durable, the others stay in doubt."""
        doubtful = []
        for note, file in self._later:
            if str(Path(note.path).parent) == str(Path(folder)) or (
                note.kind in (b"R", b"L") and str(Path(note.more.decode()).parent) == str(Path(folder))
            ):
                _rename(self._durable, note, file)
            else:
                doubtful.append((note, file))
        self._later = doubtful


def _move(names: dict[str, Any], note: Note) -> None:
    """A folder is renamed."""
    new = note.more.decode()
    for path in [path for path in names if f"{path}/".startswith(f"{note.path}/")]:
        names[new + path[len(note.path) :]] = names.pop(path)


def _rename(names: dict[str, File | None], note: Note, file: File | None) -> None:
    if note.kind == b"R" and file is None:
        return _move(names, note)
    if note.kind in (b"R", b"L"):
        names[note.more.decode()] = file
    if note.kind in (b"R", b"U", b"X"):
        names.pop(note.path, None)
    elif note.kind in (b"C", b"M"):
        names[note.path] = file
    return None


def _cut(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


def _put(data: bytearray, at: int, part: bytes) -> None:
    data.extend(bytes(max(0, at - len(data))))
    data[at : at + len(part)] = part
