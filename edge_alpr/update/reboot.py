"""Asking for a reboot: a file that a unit of root's waits for, so that this process needs no right to reboot.

See deploy/systemd/edge-alpr-reboot.path.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge_alpr.config import Config
from edge_alpr.errors import UpdateError
from edge_alpr.runtime import runtime_folder

FILE = "reboot"


def ask_for_reboot(config: Config, why: str) -> Path:
    """Ask; the file that says so. Raises `UpdateError` where it cannot be written."""
    service = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]  # where the unit waits, whatever is configured
    path = (Path(service) if service else runtime_folder(config)) / FILE
    try:
        path.write_text(why + "\n", encoding="utf-8")
    except OSError as error:
        raise UpdateError(f"{path}: cannot be written: {error.strerror}; reboot by hand") from error
    return path
