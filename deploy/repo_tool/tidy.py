"""Files that are taken out of the image repository, and what is served for nobody."""

from __future__ import annotations

from pathlib import Path

import msgspec

from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.files import remove as remove_file
from deploy.repo_tool.files import write_whole
from deploy.repo_tool.publish import Desk, read_staged, stage_files
from deploy.repo_tool.rollouts import WITHDRAWN
from deploy.repo_tool.settings import IMAGE, REPOSITORIES
from deploy.repo_tool.work import read_rollouts


def remove(desk: Desk, path: str) -> None:
    """Stage the image repository's targets without a file. Raises `RepoError` while a roll-out sends it."""
    staged = read_staged(desk, IMAGE)
    if staged.root or staged.targets:
        raise RepoError("a change of the image repository waits for signatures; deploy/repo sign, or drop it")
    files = dict(desk.state(IMAGE).targets.signed.targets)
    if path not in files:
        raise RepoError(f"the image repository has no {path}; status lists what it has")
    for rollout in read_rollouts(desk).values():
        if rollout.target == path and rollout.state != WITHDRAWN:
            raise RepoError(f"{rollout.name} sends {path}; withdraw it first")
    note_unnamed(desk)  # while it is named: an older note of it, from before it was added again, goes
    del files[path]
    stage_files(desk, IMAGE, files)


def prune(desk: Desk, days: float) -> list[str]:
    """Delete served files that nothing has named for so long. Returns their paths. Roots are kept."""
    limit = desk.now.timestamp() - days * 86_400
    gone = [path for path, since in note_unnamed(desk).items() if since <= limit]
    for path in gone:
        remove_file(desk.fleet.public / path)
    return gone


def note_unnamed(desk: Desk) -> dict[str, float]:
    """Since when (Unix time) which served files are known to be named by nothing: paths below `public`.

    A file's own date says nothing of that: what is superseded today may be a year old.
    """
    file, now = desk.fleet.unnamed_file, desk.now.timestamp()
    before, kept = _noted(file), _named(desk)
    served = [path for path in sorted(desk.fleet.public.rglob("*")) if path.is_file() and path not in kept]
    names = [path.relative_to(desk.fleet.public).as_posix() for path in served]
    unnamed = {name: min(before.get(name, now), now) for name in names}
    if unnamed != before:
        write_whole(file, msgspec.json.encode(unnamed), desk.fleet.scratch)
    return unnamed


def _noted(file: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])
    except (FileNotFoundError, ValueError):  # without it, or spoilt, the days begin anew: nothing is deleted too early
        return {}


def _named(desk: Desk) -> set[Path]:
    """What clients may ask for that begin now or hold any older root."""
    kept = {desk.fleet.metadata(repository) / "timestamp.json" for repository in REPOSITORIES}
    for repository in REPOSITORIES:
        state, folder = desk.state(repository), desk.fleet.metadata(repository)
        kept |= {folder / f"{state.of(role).version}.{role}.json" for role in ("targets", "snapshot")}
        kept |= set(folder.glob("*.root.json"))
    images, staged = desk.state(IMAGE).targets, read_staged(desk, IMAGE).targets
    for metadata in (images, staged or images):
        kept |= {desk.fleet.targets / file.get_prefixed_paths()[0] for file in metadata.signed.targets.values()}
    return kept
