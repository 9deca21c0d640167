"""How densely a list lies: the chance that a text much like one of its plates is on it too."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_alpr.evidence import canonical
from edge_alpr.hotlist.index import Index
from edge_alpr.hotlist.keys import Classes

_SAMPLES = 2_000
_CHARS = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
_DIGIT, _LETTER = _CHARS[:10], _CHARS[10:]


class Density(msgspec.Struct, frozen=True):
    """Of `tried` texts that differ from an entry in one letter or one digit, `listed` are entries themselves."""

    entries: int = 0
    tried: int = 0
    listed: int = 0

    def chance(self, plates_in_use: float) -> float:
        """The chance that such a text is listed: what was counted, with the size of the list among all plates as a
        first guess that weighs as much as one hit.
        """
        guess = max(self.entries, 1) / plates_in_use
        return min(1.0, (self.listed + 1.0) / (self.tried + 1.0 / guess))


def density_of(index: Index, classes: Classes) -> Density:
    """Count it on up to 2,000 entries, evenly taken."""
    if not len(index):
        return Density()
    rows = np.unique(np.linspace(0, len(index) - 1, min(len(index), _SAMPLES)).astype(np.int64))
    tried = listed = 0
    for row in rows.tolist():
        others = _others(index.text(row))
        keys = classes.keys(others)
        found = set(index.find(keys, len(index))) if len(others) else set()
        wanted = {canonical(bytes(text).decode()) for text in others}
        listed += len({canonical(index.text(place)) for place in found} & wanted)
        tried += len(wanted)
    return Density(len(index), tried, listed)


def _others(text: str) -> NDArray[np.bytes_]:
    """All texts with another letter for a letter, or another digit for a digit."""
    codes = np.frombuffer(text.encode(), np.uint8)
    made = [
        np.where(np.arange(len(codes)) == place, char, codes)
        for place, code in enumerate(codes)
        for char in (_DIGIT if code < ord("A") else _LETTER)
        if char != code
    ]
    return np.ascontiguousarray(np.array(made, np.uint8)).view(f"S{len(codes)}").ravel()
