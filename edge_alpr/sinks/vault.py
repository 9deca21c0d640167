"""How events and pictures lie in the store: plain, or sealed with a key. Both are read, whatever is written now.

A sealed row has its text (`body`) encrypted and bound to its `seq`; `plate` and `canonical` hold keyed digests, so that
a plate is found by who has the key and by nobody else. A sealed picture keeps its name, and is bound to it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edge_alpr.config import StoreConfig
from edge_alpr.errors import EventError, KeyFileError, SealError, StoreError, WrongKeyError
from edge_alpr.sinks.schema import Row
from edge_alpr.sinks.sealing import MAGIC, Key, key_from_command, open_key, open_or_make_key, seal, unseal
from edge_alpr.sinks.wire import canonical_plate, decode_event, encode_event
from edge_alpr.types import Event

_MARK = b"EALPRE1\n"
"""Before each sealed row; then `seq` (8 bytes), the length (4 bytes), and as many bytes: found also in raw pages."""
_HEAD = len(_MARK) + 12
_FRAMED = re.compile(re.escape(_MARK) + rb"(.{8})(.{4})", re.DOTALL)
_log = logging.getLogger(__name__)


class Vault:
    """Writes as the configuration says, reads both; opens the key when it is first needed.

    Methods raise `KeyFileError` or `WrongKeyError` where the key is missing or another one.
    """

    def __init__(self, config: StoreConfig) -> None:
        self.sealing = config.encrypt
        self._config = config
        self._key: Key | None = None
        self._expected = ""

    @property
    def key(self) -> Key:
        """The key; made on first use, but never where something is sealed already."""
        if self._key is None:
            self._key = self._open()
        return self._key

    def expect(self, key_id: str) -> None:
        """The store was sealed with the key of this id (hexadecimal), empty for none. Raises where ours is another."""
        self._expected = key_id
        if self._key is not None:
            self._check(self._key)

    def row(self, event: Event) -> Row:
        """The event as a row of the store. Raises `EventError` when it breaks its contract."""
        body = encode_event(event)
        plate, canonical = event.plate, canonical_plate(event.plate)
        keys = (event.seq, event.uuid, event.state, self.exactly(plate), self.alike(canonical))
        written = self._frame(event.seq, body) if self.sealing else body.decode()
        return *keys, event.epoch_start, event.camera_id, written

    def exactly(self, plate: str) -> str:
        """What the column `plate` holds for it."""
        return self.key.blind(f"plate {plate}") if self.sealing else plate

    def alike(self, plate: str) -> str:
        """What the column `canonical` holds for a plate and those that look the same."""
        canonical = canonical_plate(plate)
        return self.key.blind(f"canonical {canonical}") if self.sealing else canonical

    def event(self, seq: int, body: object) -> Event:
        """The event of a row, with the number that the row has: who reads on from it must not read in circles.

        Raises `EventError` where it is damaged.
        """
        event = self._event(seq, body)
        return event if event.seq == seq else replace(event, seq=seq)

    def _event(self, seq: int, body: object) -> Event:
        if isinstance(body, str):
            return decode_event(body)
        found = _FRAMED.match(body) if isinstance(body, bytes) else None
        if found is None or not isinstance(body, bytes):
            raise EventError("not an event: neither text nor sealed")
        return self._unframe(seq, body[_HEAD:])

    def carve(self, block: bytes) -> Iterator[tuple[int, int, Event]]:
        """Sealed events by their marks in raw bytes: where each begins, its `seq`, and itself."""
        for found in _FRAMED.finditer(block):
            seq, size = (int.from_bytes(part, "big") for part in found.groups())
            try:
                yield found.start(), seq, self._unframe(seq, block[found.end() : found.end() + size])
            except EventError as error:
                _log.info("a torn row is left out: %s", error)

    def wrap(self, name: str, picture: bytes) -> bytes:
        """A picture as it is written under this name, relative to the store's folder."""
        return seal(self.key, name, picture) if self.sealing else picture

    def unwrap(self, name: str, content: bytes) -> bytes:
        """The picture of a file. Raises `SealError` where it is damaged or was renamed."""
        return unseal(self.key, name, content) if is_sealed(content) else content

    def picture(self, folder: Path, name: str) -> bytes:
        """The picture that an event's `images` names; empty where it is gone or damaged, or no name of a picture."""
        path = (folder / name).resolve()
        if not name or folder.resolve() not in path.parents:
            return b""
        try:
            return self.unwrap(name, path.read_bytes())
        except OSError:
            return b""
        except (KeyFileError, WrongKeyError) as error:
            raise StoreError(f"event store {folder}: {error}") from error
        except SealError as error:
            _log.warning("event store %s: a picture is damaged and passed over: %s", folder, error)
            return b""

    def _open(self) -> Key:
        path = Path(self._config.key_file).expanduser()
        if self._config.key_command:
            key = key_from_command(self._config.key_command)
        elif self.sealing and not self._expected:
            key = open_or_make_key(path)
        else:
            key = open_key(path)
        self._check(key)
        return key

    def _check(self, key: Key) -> None:
        if self._expected and key.id.hex() != self._expected:
            raise WrongKeyError(
                f"encrypted with the key {self._expected}, the one at hand is {key.id.hex()}; "
                "set store.key_file or store.key_command to that one"
            )

    def _frame(self, seq: int, body: bytes) -> bytes:
        sealed = seal(self.key, f"event {seq}", body)
        return _MARK + seq.to_bytes(8, "big") + len(sealed).to_bytes(4, "big") + sealed

    def _unframe(self, seq: int, sealed: bytes) -> Event:
        key = self.key  # one that is missing or another than the store's is no damage of the row
        try:
            return decode_event(unseal(key, f"event {seq}", sealed))
        except SealError as error:
            raise EventError(f"not an event: {error}") from error


def is_sealed(content: bytes) -> bool:
    """Whether a picture's file is encrypted."""
    return content.startswith(MAGIC)
