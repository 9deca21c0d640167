"""The texts of a list, sorted by their keys: small in memory, and mapped from a file where it has one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_alpr.hotlist.keys import Keys

MOST_FOUND = 256
"""Entries looked at closely for one read and list."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_LEAST_BITS, _BITS_EACH = 10, 16


@dataclass(frozen=True, eq=False)
class Index:
    """Entries in the order of their keys. `texts` (N,) S16; `expires` (N,) seconds since 1970, 0: never.

    `sieve` tells at once that a key is not there: a bit for the hash of each. `words` holds what an entry is shown as
    and its note, from `starts`, `lengths` bytes.
    """

    keys: Keys
    sieve: NDArray[np.uint8]
    texts: NDArray[np.bytes_]
    expires: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    lengths: NDArray[np.uint16]
    words: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: Keys, most: int = MOST_FOUND) -> list[int]:
        """The rows of these keys, at most so many."""
        places = _places(keys, self.sieve)
        keys = keys[(self.sieve[places >> 3] >> (places & 7) & 1).astype(bool)]
        if not len(keys):
            return []
        low, high = np.searchsorted(self.keys, keys, "left"), np.searchsorted(self.keys, keys, "right")
        rows: list[int] = []
        for begin, end in zip(low.tolist(), high.tolist(), strict=True):
            rows.extend(range(begin, end))
        return rows[:most]

    def text(self, row: int) -> str:
        """The text of an entry."""
        return bytes(self.texts[row]).decode()

    def said(self, row: int) -> tuple[str, str]:
        """What an entry is shown as, and its note."""
        start = int(self.starts[row])
        shown, _, note = self.words[start : start + int(self.lengths[row])].tobytes().decode().partition("\n")
        return shown or self.text(row), note

    def rows(self) -> Iterator[int]:
        """All entries."""
        yield from range(len(self))


def make_sieve(keys: Keys) -> NDArray[np.uint8]:
    """The bits of these keys, sixteen for each and more."""
    bits = max(_LEAST_BITS, (len(keys) * _BITS_EACH - 1).bit_length())
    flags = np.zeros(1 << bits, np.uint8)
    flags[(keys * _MIX >> np.uint64(64 - bits)).astype(np.int64)] = 1
    return np.packbits(flags, bitorder="little")


def _places(keys: Keys, sieve: NDArray[np.uint8]) -> NDArray[np.int64]:
    shift = np.uint64(64 - (len(sieve) * 8).bit_length() + 1)
    return (keys * _MIX >> shift).astype(np.int64)
