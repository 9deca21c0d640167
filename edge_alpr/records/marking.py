"""What people say of a passage, and that the audit log knows of it."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_alpr.config import StoreConfig
from edge_alpr.errors import KeyFileError, StoreError
from edge_alpr.sinks.audit import Audit
from edge_alpr.sinks.marks import Marks, Name
from edge_alpr.sinks.signing import open_signer

_ACTIONS: dict[tuple[Name, bool], str] = {("locked", True): "lock", ("locked", False): "unlock"}
_log = logging.getLogger(__name__)


def mark(config: StoreConfig, uuid: str, name: Name, wanted: bool, who: str) -> None:
    """Set or clear a mark of a passage; `who` is `screen`, `button` or `command`. Raises `StoreError`.

    Where the audit log cannot be written, the mark holds all the same, and that is logged.
    """
    folder = Path(config.path).expanduser()
    marks = Marks(folder)
    if wanted:
        marks.set(uuid, name, who)
    else:
        marks.clear(uuid, name)
    action = _ACTIONS.get((name, wanted), name if wanted else f"not {name}")
    try:
        Audit(folder, open_signer(Path(config.signing_key))).note(action, [uuid], by=who)
    except (KeyFileError, StoreError) as error:
        _log.warning("not in the audit log: %s of a passage: %s", action, error)
