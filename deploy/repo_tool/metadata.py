"""Metadata to be signed: pure functions from what is published to what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, MetaFile, Role, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

from deploy.repo_tool.keys import ROLES, ROOT_THRESHOLD
from deploy.repo_tool.settings import Expiry


@dataclass(frozen=True, slots=True)
class State:
    """What a client gets of one repository."""

    root: Metadata[Root]
    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]

    def of(self, role: str) -> Signed:
        """The signed part of a role."""
        return {
            "root": self.root.signed,
            "timestamp": self.timestamp.signed,
            "snapshot": self.snapshot.signed,
            "targets": self.targets.signed,
        }[role]


def days_of(expiry: Expiry, role: str) -> int:
    """How long new metadata of a role is good for."""
    return {
        "root": expiry.root_days,
        "targets": expiry.targets_days,
        "snapshot": expiry.snapshot_days,
        "timestamp": expiry.timestamp_days,
    }[role]


def life_left(signed: Signed, days: int, now: datetime) -> float:
    """1: as good as new. 0 and below: expired."""
    return (signed.expires - now) / timedelta(days=days)


def first_root(keys: Mapping[str, Sequence[Key]], expires: datetime) -> Root:
    """`keys` by role; two of the root keys must sign."""
    roles = {role: Role([], ROOT_THRESHOLD if role == "root" else 1) for role in ROLES}
    root = Root(version=1, expires=expires, keys={}, roles=roles, consistent_snapshot=True)
    for role, those in keys.items():
        for key in those:
            root.add_key(key, role)
    return root


def next_root(root: Root, expires: datetime, role: str = "", out: str = "", new: Key | None = None) -> Root:
    """One version on; in `role` the key with the number `out` makes way for `new`."""
    changed = deepcopy(root)
    changed.version += 1
    changed.expires = expires
    if new is not None:
        changed.revoke_key(out, role)
        changed.add_key(new, role)
    return changed


def next_targets(targets: Targets, files: Iterable[TargetFile], expires: datetime) -> Targets:
    """One version on, with these files and no others."""
    return Targets(targets.version + 1, expires=expires, targets={file.path: file for file in files})


def new_snapshot(version: int, targets: bytes, targets_version: int, expires: datetime) -> Snapshot:
    """`targets` is the file of that version."""
    meta = {"targets.json": MetaFile.from_data(targets_version, targets, ["sha256"])}
    return Snapshot(version, expires=expires, meta=meta)


def new_timestamp(version: int, snapshot: bytes, snapshot_version: int, expires: datetime) -> Timestamp:
    """`snapshot` is the file of that version."""
    return Timestamp(version, expires=expires, snapshot_meta=MetaFile.from_data(snapshot_version, snapshot, ["sha256"]))


def same_keys(one: Root, other: Root, role: str) -> bool:
    """Whether both let the same keys sign for a role."""
    return sorted(one.roles[role].keyids) == sorted(other.roles[role].keyids)
