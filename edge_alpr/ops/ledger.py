"""The file of the drift watch: `drift.json` in the store's folder, counts by week."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edge_alpr.config import Config
from edge_alpr.ops.drift import Ledger, trimmed
from edge_alpr.sinks.sealing import write_whole

FILE = "drift.json"
_log = logging.getLogger(__name__)


def path_of(config: Config) -> Path:
    """Where a configuration has it."""
    return Path(config.store.path).expanduser() / FILE


def load(path: Path) -> Ledger | None:
    """What was counted so far; None where nothing was, or the file is damaged. Raises `OSError`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("%s is damaged and begun anew: %s", path, error)
        return None


def encode(ledger: Ledger) -> bytes:
    """The content of the file, bounded."""
    return msgspec.json.encode(trimmed(ledger))


def save(path: Path, content: bytes) -> None:
    """Write it whole. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, content)


def models_key(identities: Mapping[str, str]) -> str:
    """The pair of models by its hashes, whatever runs them: other models begin a new ledger."""
    return " ".join(identities[kind].rpartition(":")[2] for kind in sorted(identities))
