"""What heartbeats and metrics tell of updates: read from the disk, so that any process can, and nothing is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec

from edge_alpr.errors import UpdateError
from edge_alpr.ota.disk import CURRENT
from edge_alpr.ota.ledger import FILE
from edge_alpr.ota.state import State, decode
from edge_alpr.ota.types import IMAGE, LIST, MODELS

OS_RELEASE = Path("/etc/os-release")
_LATE = ("written", "trial", "switching", "returning")


class Told(msgspec.Struct, frozen=True):
    """What came of the last update of a unit; `trial`: it is installed, and there is no verdict yet."""

    unit: str
    version: str
    result: Literal["trial", "good", "back", "refused"]
    why: str = ""


class Updates(msgspec.Struct, frozen=True):
    """`versions`: by unit, what runs as an update; a unit that is as the image brought it is not there."""

    versions: dict[str, str]
    update: tuple[Told, ...]


def updates_told(data: Path, os_release: Path = OS_RELEASE) -> Updates:
    """Of the data partition's folder. Never raises: what cannot be read is not told."""
    state = _state(data)
    late = {unit: Told(unit, one.target.version, "trial") for unit, one in state.pending.items() if one.stage in _LATE}
    results = {unit: Told(unit, one.version, one.result, one.why) for unit, one in state.results.items()}
    told = {**results, **late}
    return Updates(_versions(data, os_release), tuple(told[unit] for unit in sorted(told)))


def _versions(data: Path, os_release: Path) -> dict[str, str]:
    lists = data / "update" / "lists"
    links = {MODELS: data / "models" / CURRENT, **{LIST + one.parent.name: one for one in lists.glob(f"*/{CURRENT}")}}
    found = {unit: str(link.readlink()) for unit, link in links.items() if link.is_symlink()}
    try:
        image = re.search(r'^IMAGE_VERSION="?([^"\n]+)', os_release.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        image = None
    return found | ({IMAGE: image[1]} if image else {})


def _state(data: Path) -> State:
    try:
        return decode((data / "update" / FILE).read_bytes())
    except (OSError, UpdateError):
        return State()
