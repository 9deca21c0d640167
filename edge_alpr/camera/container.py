"""Is a recording whole? Looks at the lengths that a container states, without decoding anything."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_MP4_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"}
_EBML = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """How many bytes the container says there are behind the end of the file; 0 when it is whole or silent.

    MP4 and QuickTime by their boxes, Matroska by its segment, AVI by its RIFF length; others do not tell.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == _EBML:
            return max(0, _matroska_end(file) - size)
        if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
            return max(0, 8 + int.from_bytes(start[4:8], "little") - size)
        if start[4:8] in _MP4_FIRST_BOXES:
            return max(0, _mp4_end(file, size) - size)
    return 0


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last box ends."""
    at = 0
    while at < size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length == 0:
            return size
        at += max(length, 8)
    return at


def _matroska_end(file: BinaryIO) -> int:
    """Where the segment ends; 0 where it states no length (a live recording)."""
    file.seek(4)
    header = _vint(file)
    file.seek(header or 0, 1)
    if header is None or file.read(4) != _MATROSKA_SEGMENT:
        return 0
    length = _vint(file)
    return 0 if length is None else file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """An EBML length; None where it is unknown or not a length."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    more = 8 - first[0].bit_length()
    value = (first[0] & ((1 << (7 - more)) - 1)) << (8 * more) | int.from_bytes(file.read(more), "big")
    unknown = (1 << (7 * (more + 1))) - 1
    return None if value == unknown else value
