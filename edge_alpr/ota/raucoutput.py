"""What the `rauc` command prints (1.8 to 1.13), read: slots, bundles, progress, and why something failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from packaging.version import InvalidVersion, Version

from edge_alpr.errors import SlotError
from edge_alpr.ota.types import Slot, Slots

_Kind = TypeVar("_Kind", bound=msgspec.Struct)


class _Manifest(msgspec.Struct):
    compatible: str | None = None
    version: str | None = None


class _Installed(msgspec.Struct):
    bundle: _Manifest = msgspec.field(default_factory=_Manifest)


class _Side(msgspec.Struct):
    bootname: str | None = None
    state: str | None = None
    boot_status: str | None = None
    slot_status: _Installed = msgspec.field(default_factory=_Installed)


class _Status(msgspec.Struct):
    compatible: str
    boot_primary: str | None
    slots: list[dict[str, _Side]]


@dataclass(frozen=True, slots=True)
class Board:
    """RAUC's view of this device: `names` maps `A` and `B` to what RAUC calls them."""

    compatible: str
    slots: Slots
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle says of itself; its signature has been checked."""

    compatible: str
    version: str


def read_status(text: bytes, running: str = "") -> Board:
    """The output of `rauc status --detailed --output-format=json`.

    `running` is the version that the running side says it is, if it does: RAUC has no record of what was flashed.
    Raises SlotError where RAUC does not know the sides.
    """
    status = _decode(text, _Status)
    sides = {side.bootname: (name, side) for row in status.slots for name, side in row.items() if side.bootname}
    booted = [boot for boot, (_, side) in sides.items() if side.state == "booted"]
    primary = [boot for boot, (name, _) in sides.items() if name == status.boot_primary]
    if not booted:
        raise SlotError(
            "RAUC does not know which side runs: give the kernel rauc.slot=A or B, or use RAUC 1.11 or later; "
            "`rauc status` says more"
        )
    if not primary:
        raise SlotError("the boot loader does not say which side it starts next: see journalctl -u rauc")
    slots = tuple(_slot(boot, side, running) for boot, (_, side) in sorted(sides.items()))
    names = {boot: name for boot, (name, _) in sides.items()}
    return Board(status.compatible, Slots(booted[0], primary[0], slots), names)


def _slot(name: str, side: _Side, running: str) -> Slot:
    version = (running if side.state == "booted" else "") or side.slot_status.bundle.version or ""
    return Slot(name, version, side.boot_status == "good")


def read_info(text: bytes) -> Bundle:
    """The output of `rauc info --output-format=json`. Raises SlotError where it is another."""
    manifest = _decode(text, _Manifest)
    return Bundle(manifest.compatible or "", manifest.version or "")


def refuse(bundle: Bundle, board: Board, older: bool) -> None:
    """Raise SlotError where the bundle is for another board, or (unless `older` is fine) older than what runs."""
    if bundle.compatible != board.compatible:
        raise SlotError(
            f"the bundle is for {bundle.compatible or 'no board'}, this device is {board.compatible}: send it its own"
        )
    now = next(slot.version for slot in board.slots.slots if slot.name == board.slots.booted)
    if not older and _is_older(bundle.version, now):
        raise SlotError(f"version {bundle.version} is older than {now}, which runs: build the next one, do not go back")


def _is_older(new: str, now: str) -> bool:
    """Where one of them is no version there is no order, and RAUC's own handler decides."""
    try:
        return Version(new) < Version(now)
    except InvalidVersion:
        return False


def percent(line: str) -> int | None:
    """Of a line of `rauc install`; None where it has none."""
    found = re.match(r"\s*(\d{1,3})% ", line)
    return int(found[1]) if found else None


_NO_REASON = re.compile(
    r"(\(\w+:\d+\): )?rauc(-\w+)*-(Message|INFO|DEBUG)|\d+% |(D-Bus error while i|I)nstalling |installing$|idle$"
)
"""Logs, progress, and the line with which `rauc install` ends whatever happened."""


def reason(said: str) -> str:
    """RAUC's own reason in what it printed: its last error, else the last line that is no log."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.partition("LastError: ")[2] for line in lines if line.startswith("LastError: ")]
    plain = [line for line in lines if not _NO_REASON.match(line)]
    told = (errors or plain or ["RAUC gave no reason"])[-1]
    return re.sub(r"GDBus\.Error:[\w.]+: |\(process:\d+\): ", "", told).removeprefix("Failed ")


_REMEDIES = (
    ("send this device its own board's bundle",                   "ompatible mismatch"),
    ("build it anew, or set this device's clock",                 "has expired"),
    ("set this device's clock",                                   "not yet valid"),
    ("no key of this device's keyring signed it",                 "issuer certificate|self.signed|verify error"),
    ("this kernel has no device-mapper: build it --format plain", "device-mapper|/dev/mapper|dm-verity|verity device"),
    ("see bundle-formats in /etc/rauc/system.conf",               r"ormat '\w+' not allowed"),
    ("it is damaged or cut short: download it again",             "ignature|invalid bundle|squashfs|too short"),
    ("RAUC's service does not run: systemctl status rauc",        "ServiceUnknown|not provided by|connect|disappeared"),
    ("only root and the group edge-alpr-update may ask RAUC",     "AccessDenied|Rejected send"),
    ("the image does not fit its slot: make a smaller one",       "No space left|too small|too large"),
    ("the file is not there",                                     "No such file"),
)  # fmt: skip


def with_remedy(why: str) -> str:
    """The reason and the way out; RAUC's journal where none is known."""
    for remedy, pattern in _REMEDIES:
        if re.search(pattern, why, re.IGNORECASE):
            return f"{why}; {remedy}"
    return f"{why}; see journalctl -u rauc"


def busy(why: str) -> bool:
    """RAUC does something else just now, perhaps for a program that was cut off: it is worth waiting."""
    return "already processing" in why.lower()


def _decode(text: bytes, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise SlotError(f"RAUC answered otherwise than 1.8 to 1.13 do ({error}); which version is it?") from error
