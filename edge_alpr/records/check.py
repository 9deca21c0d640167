"""Evidence pages and the audit log, held against the key that should have signed them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.config import Config
from edge_alpr.errors import RecordError
from edge_alpr.records.sealed_page import verdict
from edge_alpr.sinks.audit import FILE, check_audit
from edge_alpr.sinks.signing import open_signer

_KEY = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Line:
    """What is said of one file."""

    text: str
    holds: bool


def check_files(files: Sequence[Path], key: str, config: Config) -> list[Line]:
    """Check evidence pages. Raises `RecordError` where one cannot be read or the key is none."""
    trusted = _trusted(key, config)
    return [_line(str(path), verdict(_read(path), trusted).problem, f"signed by {trusted}") for path in files]


def check_log(key: str, config: Config) -> Line:
    """Check the audit log of the configured store. Raises `StoreError`."""
    trusted = _trusted(key, config)
    state = check_audit(Path(config.store.path))
    strangers = [signed for signed in state.keys if signed != trusted]
    problem = state.problem or (f"lines are signed by {', '.join(strangers)}, not by {trusted}" if strangers else "")
    return _line(FILE, problem, f"{state.lines} lines, the last one {state.head}")


def _line(name: str, problem: str, holds: str) -> Line:
    return Line(f"{name}: NOT PROVEN: {problem}" if problem else f"{name}: holds; {holds}", not problem)


def _trusted(key: str, config: Config) -> str:
    if key and not _KEY.fullmatch(key):
        raise RecordError("--key takes 64 hexadecimal digits, as `edge-alpr events key` prints them on the device")
    return key.lower() or open_signer(Path(config.store.signing_key)).public


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
