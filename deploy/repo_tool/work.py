"""What an operator does: new metadata is made, staged, signed with the keys that are here, and published."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from packaging.version import InvalidVersion, Version
from tuf.api.metadata import TargetFile

from deploy.repo_tool import metadata as make
from deploy.repo_tool import rollouts as plan
from deploy.repo_tool.errors import KeyUnreachableError, RepoError
from deploy.repo_tool.files import copy_whole, sha256_of, write_whole
from deploy.repo_tool.publish import Desk, Staged, publish, read_staged, sign_staged, sign_targets, stage_files, unstage
from deploy.repo_tool.rollouts import Rollout
from deploy.repo_tool.settings import DIRECTOR, IMAGE, REPOSITORIES
from edge_alpr.ota.types import IMAGE as IMAGE_UNIT
from edge_alpr.ota.types import LIST, MODELS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
"""What cars take as a part of a path, and as a version."""
SUFFIXES = {IMAGE_UNIT: ".raucb", MODELS: ".tar", LIST: ".tar"}
RENEW_BELOW = 1 / 3
"""The director's targets with less of their life left are signed anew by `refresh`."""
WARN_DAYS = 14
"""`refresh` tells of what expires sooner and needs a key that is elsewhere."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file for the image repository."""

    source: Path
    unit: str
    version: str
    boards: tuple[str, ...] = ()
    needs: str = ""

    @property
    def path(self) -> str:
        """Of the target."""
        return f"{self.unit}/{self.source.name}"


def add(desk: Desk, new: NewFile, progress: Callable[[int], None]) -> TargetFile:
    """Put a file into the image repository and stage the targets that name it. Raises `RepoError`."""
    _check(new)
    staged = read_staged(desk, IMAGE)
    if staged.root:
        raise RepoError("new root metadata of the image repository waits for signatures; deploy/repo sign, or drop it")
    files = dict((staged.targets or desk.state(IMAGE).targets).signed.targets)
    custom = {"unit": new.unit, "version": new.version, "boards": list(new.boards), "needs": new.needs}
    length, digest = new.source.stat().st_size, sha256_of(new.source)
    target = TargetFile(length, {"sha256": digest}, new.path, {"custom": custom})
    if files.get(new.path, target) != target:
        raise RepoError(f"{new.path} is there with another content or meaning; give the file a name with its version")
    served = desk.fleet.targets / target.get_prefixed_paths()[0]
    if not served.exists() or sha256_of(served) != digest:
        copy_whole(new.source, served, desk.fleet.scratch, progress)
    if new.path not in files:
        stage_files(desk, IMAGE, {**files, new.path: target})
    return target


def sign(desk: Desk, lost: bool = False) -> list[str]:
    """Sign all that is staged and publish what is complete. Returns what is still needed."""
    return [line for repository in REPOSITORIES for line in _sign_one(desk, repository, lost)]


def drop(desk: Desk) -> None:
    """Forget what is staged."""
    for repository in REPOSITORIES:
        unstage(desk, repository)


def read_rollouts(desk: Desk) -> dict[str, Rollout]:
    """All, also the withdrawn ones."""
    path = desk.fleet.rollouts_file
    return plan.decode(path.read_bytes()) if path.exists() else {}


def change_rollout(desk: Desk, rollout: Rollout) -> list[str]:
    """Note it and have the director say so. Returns what is still needed for that.

    Cut in between, the next change or `refresh` has the director say it.
    """
    rollouts = {**read_rollouts(desk), rollout.name: rollout}
    plan.director_files(rollouts, desk.state(IMAGE).targets.signed.targets)
    write_whole(desk.fleet.rollouts_file, plan.encode(rollouts), desk.fleet.scratch)
    return tell(desk)


def tell(desk: Desk) -> list[str]:
    """Have the director say what the roll-outs are. Returns what is still needed for that."""
    if not _told_otherwise(desk):
        return []
    _stage_told(desk)
    needed = sign_targets(desk, DIRECTOR)
    if not needed:
        publish(desk, DIRECTOR)
    return needed


def refresh(desk: Desk) -> list[str]:
    """New timestamps, and snapshots and the director's targets where their time comes. Returns warnings."""
    targets = desk.state(DIRECTOR).targets.signed
    old = make.life_left(targets, desk.settings.expiry.targets_days, desk.now) < RENEW_BELOW
    if old or _told_otherwise(desk):
        _stage_told(desk)
        sign_targets(desk, DIRECTOR)
    return [line for repository in REPOSITORIES for line in _refresh_one(desk, repository)]


def expiring(desk: Desk, repository: str) -> list[str]:
    """Which metadata is over soon and is not made anew by `refresh`."""
    state = desk.state(repository)
    left = {role: state.of(role).expires - desk.now for role in ("root", "targets")}
    return [
        f"{repository} {role} expires in {days.days} days: deploy/repo renew {repository}-{role}"
        for role, days in left.items()
        if days < timedelta(days=WARN_DAYS)
    ]


def _refresh_one(desk: Desk, repository: str) -> list[str]:
    """What is staged and cannot be published here must not keep what is served from being refreshed."""
    warnings = []
    try:
        publish(desk, repository)
    except KeyUnreachableError as error:
        warnings.append(f"{repository}: what is staged is not published: {error}")
        publish(desk, repository, what=Staged(None, None))
    return [*warnings, *expiring(desk, repository)]


def _stage_told(desk: Desk) -> None:
    stage_files(desk, DIRECTOR, plan.director_files(read_rollouts(desk), desk.state(IMAGE).targets.signed.targets))


def _told_otherwise(desk: Desk) -> bool:
    wanted = plan.director_files(read_rollouts(desk), desk.state(IMAGE).targets.signed.targets)
    return wanted != desk.state(DIRECTOR).targets.signed.targets


def _sign_one(desk: Desk, repository: str, lost: bool = False) -> list[str]:
    needed = sign_staged(desk, repository, lost)
    staged = read_staged(desk, repository)
    if staged.root or staged.targets:
        publish(desk, repository, lost)
    return needed


def _check(new: NewFile) -> None:
    kind = LIST if new.unit.startswith(LIST) and len(new.unit) > len(LIST) else new.unit
    if kind not in SUFFIXES or (kind == LIST) != (new.unit != kind) or new.unit.count("/") > 1:
        raise RepoError(f"no unit is called '{new.unit}'; there are {IMAGE_UNIT}, {MODELS} and {LIST}NAME")
    if not new.source.is_file():
        raise RepoError(f"{new.source}: no such file")
    if new.source.suffix != SUFFIXES[kind]:
        raise RepoError(f"{new.source.name}: {new.unit} is a file {SUFFIXES[kind]}")
    for name in (*new.path.split("/"), new.version):
        if not _NAME.fullmatch(name):
            raise RepoError(f"'{name}' is no name: letters, digits, '.', '_', '+', '-', at most 100")
    for what, text in {"version": new.version, "needs": new.needs or "0"}.items():
        try:
            Version(text)
        except InvalidVersion as error:
            raise RepoError(f"--{what} {text}: not a version, e.g. 1.4.0") from error
    plan.check_boards(new.boards)


def write_trust(desk: Desk, repository: str, folder: Path) -> None:
    """The newest root of a repository, as a device has it from the start."""
    write_whole(folder / repository / "root.json", desk.state(repository).root.to_bytes(), folder)


def try_keys(desk: Desk) -> None:
    """Raises `RepoError` unless the director's online keys are here and sign without asking later."""
    root = desk.state(DIRECTOR).root.signed
    for role in ("targets", "snapshot", "timestamp"):
        for keyid in root.roles[role].keyids:
            desk.keyring.signer(root.keys[keyid]).sign(b"")
