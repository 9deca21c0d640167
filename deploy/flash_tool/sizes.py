"""Sizes as people write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_size(text: str) -> int:
    """Bytes of `12GiB`, `500MiB`, `256GB`.

    Raises:
        ValueError: it is no size.
    """
    match = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", text.strip())
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f"{text!r} is no size; write it as 12GiB, 512MiB or 256GB")
    return int(match[1]) * _UNITS[match[2].upper()]


def told(size: int) -> str:
    """A size for people; whole GiB and MiB are told whole."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB")):
        if size >= unit:
            return f"{size // unit} {name}" if size % unit == 0 else f"{size / unit:.1f} {name}"
    return f"{size} bytes"
