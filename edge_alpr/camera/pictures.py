"""Still pictures from disk: luma for the networks, colour for a page. Whole ones only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_alpr.errors import ImageError
from edge_alpr.types import Luma

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp", ".dib", ".pgm", ".ppm"})
"""File name endings that are taken for pictures."""
_PNG = b"\x89PNG\r\n\x1a\n"


def is_picture(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in SUFFIXES


def load_luma(path: Path) -> Luma:
    """Brightness of a picture, (H, W) uint8, upright as its EXIF says. Raises `ImageError`.

    The Y plane of a JPEG comes as it is stored. 16 bits are brought to 8, transparency is left out.
    """
    return np.asarray(_load(path, cv2.IMREAD_GRAYSCALE), np.uint8)


def load_bgr(path: Path) -> NDArray[np.uint8]:
    """A picture in colour, (H, W, 3) uint8 in the order blue, green, red, upright. Raises `ImageError`."""
    return np.asarray(_load(path, cv2.IMREAD_COLOR), np.uint8)


def _load(path: Path, mode: int) -> NDArray[np.uint8]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _decode(data, mode, path)


def _decode(data: bytes, mode: int, path: Path) -> NDArray[np.uint8]:
    if not data:
        raise ImageError(f"{path}: the picture is empty, 0 bytes")
    # Asked first: decoders differ in whether they fill what is missing with grey and say nothing.
    if _is_cut_off(data):
        raise ImageError(f"{path}: the picture is cut off, its end is missing; copy it again")
    try:
        with _quietly():
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    except cv2.error as error:
        reason = " ".join(str(error.err or error).split())[:120]
        raise ImageError(f"{path}: the picture cannot be decoded: {reason}") from error
    if picture is None or picture.size == 0:
        raise ImageError(
            f"{path}: not a whole picture of a known kind; give a JPEG, PNG, TIFF, WebP or BMP (8 or 16 bits)"
        )
    return np.asarray(picture, np.uint8)


@contextmanager
def _quietly() -> Iterator[None]:
    """OpenCV writes its own lines about bad pictures; ours is enough."""
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def _is_cut_off(data: bytes) -> bool:
    return any(data.startswith(magic) and not whole(data) for magic, whole in _WHOLE.items())


def _jpeg_is_whole(data: bytes) -> bool:
    """Is there an end marker behind the start of the scan? (A thumbnail before it has one of its own.)"""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return False
        marker = data[at + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        bare = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD7
        at += (1 if marker == 0xFF else 2) if bare else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _png_is_whole(data: bytes) -> bool:
    """Do its chunks go on to the last one, IEND?"""
    at = len(_PNG)
    while at + 12 <= len(data):
        kind, at = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND":
            return at <= len(data)
    return False


_WHOLE: dict[bytes, Callable[[bytes], bool]] = {b"\xff\xd8\xff": _jpeg_is_whole, _PNG: _png_is_whole}
