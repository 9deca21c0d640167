"""From what is staged to what is served. Whoever is served at any moment, or after a cut, gets a consistent whole.

New files lie beside the old ones, under names that nobody asks for yet; the timestamp, replaced last, names them. Root
metadata is asked for by number, so it counts once it is there: before, all else is signed with the old and new keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from deploy.repo_tool import metadata as make
from deploy.repo_tool.errors import KeyUnreachableError
from deploy.repo_tool.files import remove, write_whole
from deploy.repo_tool.keys import Keyring
from deploy.repo_tool.metadata import State
from deploy.repo_tool.served import newest_root, read_metadata, read_state
from deploy.repo_tool.settings import Fleet, Settings
from deploy.repo_tool.signing import add_signatures, is_signed

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)
FRESH = 0.5
"""Snapshots with less of their life left are made anew."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an operator works."""

    fleet: Fleet
    settings: Settings
    keyring: Keyring
    now: datetime

    def expires(self, role: str) -> datetime:
        """Of what is made now."""
        return self.now + timedelta(days=make.days_of(self.settings.expiry, role))

    def state(self, repository: str) -> State:
        """What is served."""
        return read_state(self.fleet, repository)


@dataclass(frozen=True, slots=True)
class Staged:
    """What waits to be published in one repository. One that is published already counts no more."""

    root: Metadata[Root] | None
    targets: Metadata[Targets] | None


def read_staged(desk: Desk, repository: str) -> Staged:
    """What was staged and not published since."""
    return Staged(_read(desk, repository, Root), _read(desk, repository, Targets))


def stage(desk: Desk, repository: str, signed: Root | Targets) -> None:
    """Put metadata aside for its signatures."""
    metadata = Metadata[Any](signed)
    _write_staged(desk, repository, metadata)


def stage_files(desk: Desk, repository: str, files: Mapping[str, TargetFile]) -> None:
    """Stage targets metadata with these files and no others."""
    targets = desk.state(repository).targets.signed
    stage(desk, repository, make.next_targets(targets, files.values(), desk.expires("targets")))


def unstage(desk: Desk, repository: str) -> None:
    """Drop what is staged."""
    for role in ("targets", "root"):
        if desk.fleet.staged(repository, role).exists():
            remove(desk.fleet.staged(repository, role))


def sign_staged(desk: Desk, repository: str, lost: bool = False) -> list[str]:
    """Add the signatures of all keys that are here. Returns what is still needed, one line for each file.

    `lost`: that a key which makes way no longer signs is accepted (not of root keys).
    """
    staged = read_staged(desk, repository)
    roots = _roots(desk, repository, staged)
    return [
        *_sign(desk, repository, staged.root, roots, roots),
        *_sign(desk, repository, staged.targets, roots, roots[-1:] if lost else roots),
    ]


def sign_targets(desk: Desk, repository: str) -> list[str]:
    """As `sign_staged`, of the targets only, for the root that is served: no root key is asked for."""
    staged = read_staged(desk, repository)
    roots = _roots(desk, repository, staged)
    return _sign(desk, repository, staged.targets, roots, roots[:1])


def publish(desk: Desk, repository: str, lost: bool = False, what: Staged | None = None) -> None:
    """Serve what is staged and fully signed, or `what`, with a new timestamp.

    Raises `KeyUnreachableError` where a key is not here; nothing is changed then.
    """
    state, staged = desk.state(repository), what or _complete(desk, repository, lost)
    roots = [state.root.signed, *([staged.root.signed] if staged.root else [])]  # for clients before and after
    for path, data in _files(desk, state, staged, roots, roots[-1:] if lost else roots):
        write_whole(desk.fleet.metadata(repository) / path, data, desk.fleet.scratch)
    if staged.root:
        name = f"{staged.root.signed.version}.root.json"
        write_whole(desk.fleet.metadata(repository) / name, staged.root.to_bytes(), desk.fleet.scratch)
    for role in [role for role, one in (("root", staged.root), ("targets", staged.targets)) if one]:
        remove(desk.fleet.staged(repository, role))


def _files(
    desk: Desk, state: State, staged: Staged, roots: Sequence[Root], must: Sequence[Root]
) -> Iterator[tuple[str, bytes]]:
    """The metadata below the root, the timestamp last. All is signed before the first is yielded."""
    if staged.root and not staged.targets and _only_root_keys(roots):
        return
    made: list[tuple[str, bytes]] = []
    targets, snapshot = staged.targets or state.targets, state.snapshot
    if not is_signed(targets, must):  # their key is changed, and nobody staged them
        signed = make.next_targets(targets.signed, targets.signed.targets.values(), desk.expires("targets"))
        targets = sign_now(desk, signed, roots, must)
    if targets is not state.targets:
        made.append((f"{targets.signed.version}.targets.json", targets.to_bytes()))
    if made or _is_old(desk, snapshot.signed) or not is_signed(snapshot, must):
        version, of = snapshot.signed.version + 1, targets.signed.version
        new = make.new_snapshot(version, targets.to_bytes(), of, desk.expires("snapshot"))
        snapshot = sign_now(desk, new, roots, must)
        made.append((f"{version}.snapshot.json", snapshot.to_bytes()))
    version, of = state.timestamp.signed.version + 1, snapshot.signed.version
    moment = make.new_timestamp(version, snapshot.to_bytes(), of, desk.expires("timestamp"))
    made.append(("timestamp.json", sign_now(desk, moment, roots, must).to_bytes()))
    yield from made


def sign_now(desk: Desk, signed: T, roots: Sequence[Root], must: Sequence[Root]) -> Metadata[T]:
    """Signed for clients with any root of `must`. Raises `KeyUnreachableError` where keys are not here."""
    metadata = Metadata(signed)
    absent = add_signatures(metadata, roots, desk.keyring)
    if not is_signed(metadata, must):
        hint = "; where the old key is gone for good: deploy/repo sign --lost" if len(must) > 1 else ""
        raise KeyUnreachableError(f"{signed.type} cannot be signed here: {'; '.join(absent)}{hint}")
    return metadata


def _only_root_keys(roots: Sequence[Root]) -> bool:
    return all(make.same_keys(roots[0], roots[-1], role) for role in ("targets", "snapshot", "timestamp"))


def _is_old(desk: Desk, signed: Snapshot | Timestamp) -> bool:
    return make.life_left(signed, make.days_of(desk.settings.expiry, signed.type), desk.now) < FRESH


def _complete(desk: Desk, repository: str, lost: bool) -> Staged:
    """What of the staged is fully signed: a ceremony that goes on for days holds nothing else up."""
    staged = read_staged(desk, repository)
    roots = _roots(desk, repository, staged)
    root = staged.root if staged.root and is_signed(staged.root, roots) else None
    must = roots[-1:] if lost and root else roots if root else roots[:1]
    return Staged(root, staged.targets if staged.targets and is_signed(staged.targets, must) else None)


def _roots(desk: Desk, repository: str, staged: Staged) -> list[Root]:
    """The root that clients hold, and the one they are about to."""
    return [desk.state(repository).root.signed, *([staged.root.signed] if staged.root else [])]


def _sign(
    desk: Desk, repository: str, metadata: Metadata[T] | None, roots: Sequence[Root], must: Sequence[Root]
) -> list[str]:
    if metadata is None:
        return []
    before = len(metadata.signatures)
    absent = add_signatures(metadata, roots, desk.keyring)
    if len(metadata.signatures) > before:
        _write_staged(desk, repository, metadata)
    kind = f"{repository} {metadata.signed.type} version {metadata.signed.version}"
    return [] if is_signed(metadata, must) else [f"{kind} needs more signatures: {'; '.join(absent)}"]


def _write_staged(desk: Desk, repository: str, metadata: Metadata[T]) -> None:
    write_whole(desk.fleet.staged(repository, metadata.signed.type), metadata.to_bytes(), desk.fleet.scratch)


def _read(desk: Desk, repository: str, kind: type[T]) -> Metadata[T] | None:
    path = desk.fleet.staged(repository, kind.type)
    if not path.exists():
        return None
    metadata = read_metadata(path, kind)
    if kind is Root:
        root = newest_root(desk.fleet, repository)
        return metadata if root and metadata.signed.version == root.signed.version + 1 else None
    return metadata if metadata.signed.version == desk.state(repository).targets.signed.version + 1 else None
