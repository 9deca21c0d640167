"""What the lists are, for the screen and other programs: `hotlists.json` in the store's folder."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from edge_alpr.hotlist.folder import Loaded
from edge_alpr.hotlist.match import LoadedList, Matcher
from edge_alpr.infer.atomic import write_whole

FILE = "hotlists.json"
_log = logging.getLogger(__name__)


class ListStatus(msgspec.Struct, frozen=True):
    """One list in use. Times in ms since 1970, UTC; 0: none. `trouble`: why its newest version is not in use."""

    name: str
    file: str
    entries: int
    faults: int
    priority: int
    color: str
    sound: str
    source: str
    signed_by: str
    issued_ms: int
    expires_ms: int
    stale_ms: int
    """From when on it is stale; 0: never."""
    trouble: str = ""


class Status(msgspec.Struct, frozen=True):
    """All lists. `least_chance`: what a read must give an entry so that it is told."""

    written_ms: int
    least_chance: float
    expected_false_alerts: float
    """In a shift of 8 hours, at most."""
    lists: tuple[ListStatus, ...]
    refused: dict[str, str]
    """By their files, why lists are not in use at all."""


def status_of(matcher: Matcher, loaded: Loaded, at_ms: int) -> Status:
    """The status of loaded lists."""
    used = {one.path for one in loaded.lists}
    lists = tuple(_status(one, matcher, loaded) for one in loaded.lists)
    refused = {path.name: reason for path, reason in loaded.troubles.items() if path not in used}
    return Status(at_ms, round(matcher.least_chance, 6), round(matcher.expected_false_alerts, 3), lists, refused)


def _status(one: LoadedList, matcher: Matcher, loaded: Loaded) -> ListStatus:
    info, after_ms = one.info, round(matcher.config.stale_after_h * 3_600_000)
    return ListStatus(
        info.name,
        one.path.name,
        len(one),
        one.fault_count,
        info.priority,
        info.color,
        info.sound,
        info.source,
        one.signed_by,
        one.issued_ms,
        info.expires_s * 1000,
        one.issued_ms + after_ms if after_ms else 0,
        loaded.troubles.get(one.path, ""),
    )


def write_status(folder: Path, matcher: Matcher, loaded: Loaded, at_ms: int) -> None:
    """Write the status into the store's folder, if there are or were lists; where that fails, it is logged."""
    path = folder / FILE
    if not (loaded.lists or loaded.troubles or path.exists()):
        return
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, msgspec.json.encode(status_of(matcher, loaded, at_ms)))
    except OSError as error:
        _log.warning("%s: cannot be written: %s", path, error.strerror)


def read_status(folder: Path) -> Status | None:
    """The status that a drive wrote; None where there is none."""
    try:
        return msgspec.json.decode((folder.expanduser() / FILE).read_bytes(), type=Status)
    except (OSError, msgspec.MsgspecError):
        return None
