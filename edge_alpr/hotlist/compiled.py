"""A list ready for use: its head, its index, its patterns and its faults, as one file that is mapped into memory.

The file is named by the hash of its source, so it is never out of date; it holds its own hash, so it is never half.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_alpr.errors import HotListError
from edge_alpr.hotlist.entry import LONGEST, Entry, Fault, ListInfo
from edge_alpr.hotlist.index import Index, make_sieve
from edge_alpr.hotlist.keys import Classes
from edge_alpr.hotlist.parse import Item, parse

VERSION = 1
FAULTS_KEPT, MOST_PATTERNS = 100, 10_000
_MAGIC = b"EALPRHL1"
_ALIGN, _DIGEST = 64, 32
_ARRAYS = ("keys", "sieve", "texts", "expires", "starts", "lengths", "words")


class Head(msgspec.Struct, frozen=True):
    """All of a compiled list but its index. `faults` are the first of `fault_count`."""

    info: ListInfo
    patterns: tuple[Entry, ...]
    faults: tuple[Fault, ...]
    fault_count: int


class _Array(msgspec.Struct, frozen=True):
    dtype: str
    count: int
    start: int


class _Layout(msgspec.Struct, frozen=True):
    head: Head
    arrays: dict[str, _Array]


@dataclass(frozen=True, eq=False)
class Compiled:
    """A list ready for use."""

    head: Head
    index: Index


def name_of(data: bytes, name: str, groups: Sequence[str]) -> str:
    """The name of the compiled file: by the source, what it is called, and the classes."""
    others = f"{VERSION}\n{name}\n{' '.join(groups)}".encode()
    return f"{hashlib.sha256(data + others).hexdigest()[:40]}.hotlist"


def compile_list(data: bytes, suffix: str, name: str, classes: Classes) -> Compiled:
    """Read a list and sort it. Raises `HotListError` where it is none."""
    info, items = parse(data, suffix, name)
    gathered = _Gathered()
    gathered.take(items)
    head = Head(info, tuple(gathered.patterns), tuple(gathered.faults), gathered.fault_count)
    return Compiled(head, gathered.index(classes))


class _Gathered:
    """Entries as they come, a few bytes each."""

    def __init__(self) -> None:
        self.patterns: list[Entry] = []
        self.faults: list[Fault] = []
        self.fault_count = 0
        self._texts: list[bytes] = []
        self._expires, self._starts, self._lengths = array("L"), array("L"), array("H")
        self._words = bytearray()

    def take(self, items: Iterable[Item]) -> None:
        for item in items:
            if isinstance(item, Fault):
                self._fault(item)
            elif item.kind == "text":
                self._add(item)
            elif len(self.patterns) < MOST_PATTERNS:
                self.patterns.append(item)
            else:
                self._fault(Fault(item.line, f"more than {MOST_PATTERNS} wildcards and expressions"))

    def _fault(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)

    def _add(self, entry: Entry) -> None:
        words = f"{entry.shown}\n{entry.note}".encode(errors="replace") if entry.shown or entry.note else b""
        self._texts.append(entry.text.encode())
        self._expires.append(entry.expires_s)
        self._starts.append(len(self._words))
        self._lengths.append(len(words))
        self._words += words

    def index(self, classes: Classes) -> Index:
        texts = np.array(self._texts, f"S{LONGEST}")
        keys = classes.keys(texts)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        return Index(
            keys,
            make_sieve(keys),
            texts[order],
            np.array(self._expires, np.uint32)[order],
            np.array(self._starts, np.uint32)[order],
            np.array(self._lengths, np.uint16)[order],
            np.frombuffer(bytes(self._words), np.uint8),
        )


def to_bytes(compiled: Compiled) -> bytes:
    """The compiled list as a file."""
    arrays, parts, start = {}, [], 0
    for name in _ARRAYS:
        values: NDArray[Any] = getattr(compiled.index, name)
        arrays[name] = _Array(values.dtype.str, len(values), start)
        raw = values.tobytes()
        raw += bytes(-len(raw) % _ALIGN)
        parts.append(raw)
        start += len(raw)
    layout = msgspec.json.encode(_Layout(compiled.head, arrays))
    layout += b" " * (-(len(layout) + len(_MAGIC) + 8 + _DIGEST) % _ALIGN)
    body = b"".join([len(layout).to_bytes(8, "little"), layout, *parts])
    return _MAGIC + hashlib.blake2b(body, digest_size=_DIGEST).digest() + body


def from_file(path: Path) -> Compiled:
    """Map a compiled list. Raises `HotListError` where the file is none, or damaged; `OSError` where there is none."""
    raw = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
    start = len(_MAGIC) + _DIGEST
    if raw[: len(_MAGIC)].tobytes() != _MAGIC:
        raise HotListError(f"{path}: not a compiled list; delete it")
    if hashlib.blake2b(raw[start:].data, digest_size=_DIGEST).digest() != raw[len(_MAGIC) : start].tobytes():
        raise HotListError(f"{path}: damaged; delete it")
    size = int.from_bytes(raw[start : start + 8].tobytes(), "little")
    base = start + 8 + size
    try:
        layout = msgspec.json.decode(raw[start + 8 : base].tobytes(), type=_Layout)
    except msgspec.MsgspecError as error:
        raise HotListError(f"{path}: of another version; delete it: {error}") from error
    arrays = {name: _mapped(raw, base, layout.arrays[name]) for name in _ARRAYS}
    return Compiled(layout.head, Index(**arrays))


def _mapped(raw: NDArray[np.uint8], base: int, what: _Array) -> NDArray[Any]:
    dtype = np.dtype(what.dtype)
    begin = base + what.start
    return np.asarray(raw)[begin : begin + what.count * dtype.itemsize].view(dtype)
