"""Texts as 64-bit numbers: characters that are easily confused count as one, and so do O and 0, I and 1.

A key is the text as a number to the base 37, modulo 2^64: one-to-one up to twelve characters, and the keys of all
texts one edit away follow from a few sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from edge_alpr.evidence import ALPHABET, canonical
from edge_alpr.hotlist.entry import LONGEST

Keys = NDArray[np.uint64]
_BASE, _WRAP = 37, (1 << 64) - 1
_POWERS = np.array(list(accumulate([1] + [_BASE] * (LONGEST + 1), lambda a, b: a * b & _WRAP)), np.uint64)


class Classes:
    """Groups of characters that count as one; each is stood for by its first."""

    def __init__(self, groups: Sequence[str]) -> None:
        self._first = {char: char for char in ALPHABET}
        for group in ("0O", "1I", *groups):
            members = {self._first[char] for char in group}
            first = min(members, key=ALPHABET.index)
            self._first = {char: first if head in members else head for char, head in self._first.items()}
        self._table = str.maketrans(self._first)
        self._codes = np.zeros(256, np.uint64)
        for char, head in self._first.items():
            self._codes[ord(char)] = ALPHABET.index(head) + 1
        self._all: Keys = np.unique(self._codes[self._codes > 0])

    def fold(self, text: str) -> str:
        """The text with the first of its class for each character."""
        return text.translate(self._table)

    def mates(self, char: str) -> str:
        """The others of the class, as they are compared (O is 0, I is 1)."""
        head = self._first[char]
        return "".join(sorted({canonical(c) for c, first in self._first.items() if first == head} - {canonical(char)}))

    def keys(self, texts: NDArray[np.bytes_]) -> Keys:
        """The keys of (N,) texts."""
        width = max(1, texts.dtype.itemsize)
        codes = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), width)
        keys = np.zeros(len(texts), np.uint64)
        for column in codes.T:
            keys = np.where(column > 0, keys * np.uint64(_BASE) + self._codes[column], keys)
        return keys

    def few(self, texts: Sequence[str]) -> Keys:
        """The keys of a few texts: sooner done by plain numbers."""
        codes = [[int(self._codes[ord(char)]) for char in text] for text in texts]
        return np.array([reduce(_append, text, 0) for text in codes], np.uint64)

    def near(self, text: str) -> Keys:
        """The keys of all texts one character away (another one, one more, one less), and of the text itself."""
        codes = self._codes[np.frombuffer(text.encode(), np.uint8)]
        length = len(codes)
        place = _POWERS[:length][::-1]  # what each character counts
        worth = codes * place
        key = worth.sum(dtype=np.uint64)
        ends = np.append(np.cumsum(worth[::-1], dtype=np.uint64)[::-1], np.uint64(0))  # characters from i on
        begins = key - ends  # characters before i, where they stand
        other = (key - worth)[:, None] + place[:, None] * self._all
        less = _shifted(codes)[:-1] * place + ends[1:]
        room = _POWERS[: length + 1][::-1]  # of one more character before i
        more = (begins * np.uint64(_BASE) + ends)[:, None] + room[:, None] * self._all
        return np.concatenate([other.ravel(), less, more.ravel()])


def _shifted(codes: Keys) -> Keys:
    """For each i up to the length, the first i characters as a number."""
    return np.array(list(accumulate(codes.tolist(), _append, initial=0)), np.uint64)


def _append(key: int, code: int) -> int:
    return (key * _BASE + code) & _WRAP
