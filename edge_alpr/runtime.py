"""The folder of what lives only as long as the machine is up: the live picture, and who looks at it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge_alpr.config import Config
from edge_alpr.errors import RuntimeFolderError


def runtime_folder(config: Config) -> Path:
    """The run-time folder, made with mode 0700 where it is missing; all processes of a user have the same one.

    Raises `RuntimeFolderError` where it cannot be made, or is not this user's own.
    """
    path = _place(config)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise RuntimeFolderError(f"{path}: {error.strerror}; name another folder in [display] runtime") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise RuntimeFolderError(f"{path}: belongs to somebody else; name another folder in [display] runtime")
    return path


def _place(config: Config) -> Path:
    if config.display.runtime:
        return Path(config.display.runtime).expanduser()
    if service := os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:  # systemd: several are joined by colons
        return Path(service)
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(session) / "edge-alpr"
    return Path(f"/dev/shm/edge-alpr-{os.geteuid()}")
