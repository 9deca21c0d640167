"""Reads as sure as a reader can be."""

from __future__ import annotations

import numpy as np

from edge_alpr.errors import HotListError
from edge_alpr.evidence import ALPHABET, NONE, read_from_slots
from edge_alpr.types import Read

_SURE = 0.999


def sure_read(text: str) -> Read:
    """The read of a plate that nobody could doubt. Raises `HotListError` where the text is none."""
    if not text or not set(text) <= set(ALPHABET):
        raise HotListError(f"'{text}' is no plate; it has letters A-Z and digits")
    slots = np.full((len(text), NONE + 1), (1.0 - _SURE) / NONE, np.float32)
    slots[np.arange(len(text)), [ALPHABET.index(char) for char in text]] = _SURE
    return read_from_slots(slots)
