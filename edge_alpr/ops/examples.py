"""The folder of hard examples: one sealed file each, bounded; a full disk costs examples, never the drive.

A file's name is HARDNESS-EPOCHMS-UUID.example, so that what must give way is known without the key. Its content is an
`Example` in MessagePack, sealed under its name.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_alpr.config import Config
from edge_alpr.errors import SealError, WrongKeyError
from edge_alpr.ops.hard import Entry, Quota, Reason, choose_deletions
from edge_alpr.sinks.pictures import sync_folder
from edge_alpr.sinks.sealing import PART, Key, seal, unseal, write_whole
from edge_alpr.types import Candidate, State

_NAME = re.compile(r"(?P<hardness>\d{4})-(?P<epoch>\d{1,15})-(?P<uuid>[0-9A-Za-z-]{1,64})\.example")
_MOST_BYTES = 8 << 20
"""A larger file is not ours."""
_STALE_S = 60.0
"""A half-written file so old belongs to nobody any more."""
_log = logging.getLogger(__name__)


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A plate worth a person's look. `picture` is a PNG (or JPEG) of it with its surroundings, `quad` in its pixels."""

    version: int = 1
    uuid: str
    epoch_ms: int
    camera_id: str
    reasons: tuple[Reason, ...]
    hardness: int
    state: State | None
    plate: str
    score: float
    agreement: float
    reads: int
    candidates: tuple[Candidate, ...]
    quad: tuple[tuple[float, float], ...]
    picture: bytes
    models: dict[str, str]
    correction: str | None = None
    """What the driver says it reads; empty: only that it is wrong."""


@dataclass(slots=True)
class Counters:
    """Since the folder was opened."""

    kept: int = 0
    dropped: int = 0
    """Examples deleted or not taken because of the limits."""
    lost: int = 0
    """Examples that could not be written."""
    damaged: int = 0
    """Files passed over: torn, changed, renamed, not ours."""
    other_key: int = 0
    """Files passed over: sealed with another key."""


class Examples:
    """Hard examples in `folder`. Several processes may use it; each file is there whole or not at all."""

    def __init__(self, folder: Path, quota: Quota) -> None:
        self.folder = folder
        self.counters = Counters()
        self.quota = quota
        self._failing = False

    def entries(self) -> list[Entry]:
        """What is kept, by the names of the files, the hardest first. Raises `OSError`."""
        found = []
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match:
                found.append(Entry(match["uuid"], int(match["hardness"]), int(match["epoch"]), path.lstat().st_size))
        return sorted(found, key=lambda e: (-e.hardness, e.epoch_ms, e.uuid))

    def load(self, entry: Entry, key: Key) -> Example:
        """Open one. Raises `SealError`, `OSError`."""
        name = name_of(entry)
        if entry.size > _MOST_BYTES:
            raise SealError(f"{name}: too large for an example; delete it")
        content = unseal(key, name, (self.folder / name).read_bytes())
        try:
            return msgspec.msgpack.decode(content, type=Example)
        except msgspec.MsgspecError as error:
            raise SealError(f"{name}: not an example of this version: {error}; delete it") from error

    def readable(self, key: Key) -> Iterator[Example]:
        """All that open, the hardest first; each that does not is counted. Raises `OSError` for the folder."""
        for entry in self.entries():
            try:
                yield self.load(entry, key)
            except WrongKeyError:
                self.counters.other_key += 1
            except (SealError, OSError):
                self.counters.damaged += 1

    def add(self, example: Example, key: Key) -> bool:
        """Keep one, durable on return, in place of an earlier one of its uuid; whether it was kept.

        What the limits cost and what could not be written is counted, and the first failure of a row is logged.
        """
        try:
            return self._add(example, key)
        except OSError as error:
            self.lose(error.strerror or str(error))
            return False

    def lose(self, reason: str) -> None:
        """Count an example that cannot be kept; say why once until one is kept again."""
        self.counters.lost += 1
        if not self._failing:
            _log.warning("hard examples cannot be kept in %s: %s; the drive goes on", self.folder, reason)
        self._failing = True

    def tidy(self) -> None:
        """Delete what is too old or too much, and what a power cut left half-written. Raises `OSError`."""
        for path in self.folder.glob(f".*{PART}") if self.folder.is_dir() else ():
            if time.time() - path.lstat().st_mtime > _STALE_S:
                path.unlink(missing_ok=True)
        self._drop(choose_deletions(self.entries(), self.quota, _now_ms()))

    def _add(self, example: Example, key: Key) -> bool:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = name_of(Entry(example.uuid, example.hardness, example.epoch_ms, 0))
        if not _NAME.fullmatch(name):
            raise OSError(f"{name} is no name of an example")
        sealed = seal(key, name, msgspec.msgpack.encode(example))
        entry = Entry(example.uuid, example.hardness, example.epoch_ms, len(sealed))
        entries = self.entries()
        same = [known for known in entries if known.uuid == entry.uuid]
        others = [known for known in entries if known.uuid != entry.uuid]
        given = choose_deletions([*others, entry], self.quota, _now_ms())
        self._drop([known for known in given if known is not entry])
        if entry in given:
            self.counters.dropped += 1
            return False
        write_whole(self.folder / name, sealed)
        for known in same:
            if name_of(known) != name:
                (self.folder / name_of(known)).unlink(missing_ok=True)
        self.counters.kept += 1
        self._failing = False
        return True

    def _drop(self, entries: list[Entry]) -> None:
        for entry in entries:
            (self.folder / name_of(entry)).unlink(missing_ok=True)
            self.counters.dropped += 1
        if entries:
            sync_folder(self.folder)


def examples_of(config: Config) -> Examples:
    """The folder that a configuration names, with its limits."""
    learning = config.learning
    folder = Path(learning.folder or Path(config.store.path) / "examples").expanduser()
    return Examples(folder, Quota(learning.max_examples, round(learning.max_mb * 1e6), learning.max_days))


def name_of(entry: Entry) -> str:
    """The name of its file."""
    return f"{entry.hardness:04d}-{entry.epoch_ms:013d}-{entry.uuid}.example"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
