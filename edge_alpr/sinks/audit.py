"""Who exported, locked or purged what, and when: lines chained by hash and signed, so that a change is found.

Each line holds the SHA-256 of the line before and is signed by the device; `audit.head` holds the number and hash of
the last one, so that lines taken off the end are missed as well. No plates stand in it, only uuids and counts.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_alpr.sinks.sealing import write_whole
from edge_alpr.sinks.signing import Signer, is_signed
from edge_alpr.sinks.trouble import translated

FILE, HEAD = "audit.jsonl", "audit.head"
_START = "0" * 64
_MOST_UUIDS = 1000


@dataclass(frozen=True, slots=True)
class AuditState:
    """How many lines there are, the hash of the last one, and what is wrong; empty where all holds."""

    lines: int
    head: str
    problem: str = ""
    keys: tuple[str, ...] = ()
    """The public keys that signed."""


class Audit:
    """The audit log of the store `folder`. Methods raise `StoreError`."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self._path = folder.expanduser() / FILE
        self._signer = signer

    def note(self, action: str, uuids: list[str], **what: str | int) -> str:
        """Add a line, durable on return; its hash. `what` says more of the action: a file, a count."""
        with translated(self._path), _locked(self._path) as handle:
            number, previous = _last(handle)
            entry: dict[str, Any] = {
                "n": number + 1,
                "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "who": getpass.getuser(),
                "action": action,
                "passages": len(uuids),
                **what,
                "uuids": uuids[:_MOST_UUIDS],
                "previous": previous,
                "key": self._signer.public,
            }
            entry["signature"] = self._signer.sign(_plain(entry))
            line = _plain(entry)
            os.write(handle, line + b"\n")
            os.fsync(handle)
            digest = hashlib.sha256(line).hexdigest()
            write_whole(self._path.with_name(HEAD), f"{number + 1} {digest}\n".encode())
        return digest


def check_audit(folder: Path) -> AuditState:
    """Read the whole log and say what does not hold: a line changed, taken out, put in, or cut off.

    Raises `StoreError`.
    """
    path = folder.expanduser() / FILE
    number, previous, keys = 0, _START, dict[str, None]()
    with translated(path):
        text = path.read_bytes() if path.exists() else b""
        head_file = path.with_name(HEAD)
        head = head_file.read_text("utf-8", "replace").split() if head_file.exists() else []
    hashes = [_START]
    for line in text.split(b"\n")[:-1]:
        key = _holds(line, number + 1, previous)
        if not key:
            return AuditState(number, previous, f"line {number + 1} was changed, or one before it is missing", (*keys,))
        keys[key] = None
        number, previous = number + 1, hashlib.sha256(line).hexdigest()
        hashes.append(previous)
    if head and not (head[0].isdigit() and int(head[0]) < len(hashes) and hashes[int(head[0])] == head[-1]):
        return AuditState(number, previous, f"it ends after line {number}; there were more, or others", (*keys,))
    if not head and number:
        return AuditState(number, previous, f"{HEAD} is missing", (*keys,))
    return AuditState(number, previous, "", (*keys,))


def _holds(line: bytes, number: int, previous: str) -> str:
    """The key that signed a line; empty where the line is not the `number`th after `previous`, or not signed."""
    try:
        entry = json.loads(line)
        signature, key = entry.pop("signature"), entry["key"]
        right = (entry["n"], entry["previous"]) == (number, previous)
        return key if right and is_signed(_plain(entry), key, signature) else ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _plain(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode()


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _last(handle: int) -> tuple[int, str]:
    """Number and hash of the last line; what a power cut tore is taken off, for nobody was told of it."""
    text = os.pread(handle, os.fstat(handle).st_size, 0)
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.ftruncate(handle, whole)
    lines = text[:whole].split(b"\n")[:-1]
    return len(lines), hashlib.sha256(lines[-1]).hexdigest() if lines else _START
