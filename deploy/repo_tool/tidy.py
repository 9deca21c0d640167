"""Files that are taken out of the image repository, and what is served for nobody."""

from __future__ import annotations

from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.files import remove as remove_file
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
    del files[path]
    stage_files(desk, IMAGE, files)


def prune(desk: Desk, days: float) -> list[str]:
    """Delete served files that nothing names any more and that are older. Returns their paths. Roots are kept."""
    kept = {desk.fleet.metadata(repository) / "timestamp.json" for repository in REPOSITORIES}
    for repository in REPOSITORIES:
        state, folder = desk.state(repository), desk.fleet.metadata(repository)
        kept |= {folder / f"{state.of(role).version}.{role}.json" for role in ("targets", "snapshot")}
        kept |= set(folder.glob("*.root.json"))
    images, staged = desk.state(IMAGE).targets, read_staged(desk, IMAGE).targets
    for metadata in (images, staged or images):
        kept |= {desk.fleet.targets / file.get_prefixed_paths()[0] for file in metadata.signed.targets.values()}
    served = [path for path in sorted(desk.fleet.public.rglob("*")) if path.is_file()]
    limit = desk.now.timestamp() - days * 86_400
    gone = [path for path in served if path not in kept and path.stat().st_mtime < limit]
    for path in gone:
        remove_file(path)
    return [path.relative_to(desk.fleet.public).as_posix() for path in gone]
