"""What is served now: read as a client follows it, from the roots and the timestamp on."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.metadata import State
from deploy.repo_tool.settings import Fleet

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)


def newest_root(fleet: Fleet, repository: str) -> Metadata[Root] | None:
    """The last of the chain; None where there is none yet."""
    folder, version = fleet.metadata(repository), 0
    while (folder / f"{version + 1}.root.json").exists():
        version += 1
    return read_metadata(folder / f"{version}.root.json", Root) if version else None


def read_state(fleet: Fleet, repository: str) -> State:
    """Raises `RepoError` where it is not whole."""
    folder, root = fleet.metadata(repository), newest_root(fleet, repository)
    if root is None:
        raise RepoError(f"{folder}: no repository; deploy/repo init makes it")
    timestamp = read_metadata(folder / "timestamp.json", Timestamp)
    snapshot = read_metadata(folder / f"{timestamp.signed.snapshot_meta.version}.snapshot.json", Snapshot)
    targets = read_metadata(folder / f"{snapshot.signed.meta['targets.json'].version}.targets.json", Targets)
    return State(root, timestamp, snapshot, targets)


def read_metadata(path: Path, kind: type[T]) -> Metadata[T]:
    """Of one role. Raises `RepoError` where it cannot be read or is another role's."""
    try:
        metadata: Metadata[T] = Metadata.from_bytes(path.read_bytes())
    except (OSError, RepositoryError) as error:
        raise RepoError(f"{path}: {error}; put the folder back from a copy") from error
    if not isinstance(metadata.signed, kind):
        raise RepoError(f"{path}: holds {metadata.signed.type} metadata; put the folder back from a copy")
    return metadata
