"""Keys that make way for others, and metadata that is signed anew before it expires."""

from __future__ import annotations

from pathlib import Path

from securesystemslib.signer import Key
from tuf.api.metadata import Root

from deploy.repo_tool import metadata as make
from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.keys import NAMES, place_of
from deploy.repo_tool.publish import Desk, read_staged, stage, stage_files
from deploy.repo_tool.settings import IMAGE, KeySpec

OLD = "-old"


def rotate(desk: Desk, name: str, uri: str, secret: Path | None = None) -> KeySpec:
    """A new key for `name`; the root metadata that says so is staged. Raises `RepoError`.

    The old one is kept as `NAME-old` in `fleet.toml`: its signature lets cars with the old root follow.
    """
    repository, role = place_of(name)
    root = _next(desk, repository)
    old = _in_use(desk, root, name, role)
    version = desk.state(repository).root.signed.version + 1
    uri = uri or f"file:keys/{name}-{version}.pem"
    if not secret and old.secret and uri.partition(":")[0] == old.uri.partition(":")[0]:
        secret = desk.fleet.folder / old.secret
    spec, public = desk.keyring.adopt(name, uri, secret)
    _refuse_known(desk, name, public)
    stage(desk, repository, make.next_root(root, desk.expires("root"), role, old.id, public))
    for known, key in ((f"{name}{OLD}", old), (name, spec)):
        desk.fleet.add_key(known, key)
        desk.keyring.keys[known] = key
    if (repository, role) == (IMAGE, "targets"):  # this key is not where the online keys are: let it sign now
        stage_files(desk, repository, desk.state(repository).targets.signed.targets)
    return spec


def renew(desk: Desk, what: str) -> None:
    """Stage the root or the targets of a repository again, with a new date of expiry and nothing else changed."""
    repository, _, role = what.partition("-")
    if f"{repository}-{role}" not in {"-".join(place_of(name)) for name in NAMES} or role not in {"root", "targets"}:
        raise RepoError(f"'{what}' is not renewed by hand; root and targets are, e.g. image-targets")
    root = _next(desk, repository)
    if role == "root":
        stage(desk, repository, make.next_root(root, desk.expires("root")))
    else:
        stage_files(desk, repository, desk.state(repository).targets.signed.targets)


def _next(desk: Desk, repository: str) -> Root:
    """The root to go on from. One change at a time: each is a ceremony of its own."""
    staged = read_staged(desk, repository)
    if staged.root or (staged.targets and repository == IMAGE):
        raise RepoError(f"a change of the {repository} repository waits for signatures; deploy/repo sign, or drop it")
    return desk.state(repository).root.signed


def _in_use(desk: Desk, root: Root, name: str, role: str) -> KeySpec:
    """The key that the root knows: the older one where a change was dropped."""
    for known in (name, name + OLD):
        key = desk.keyring.keys.get(known)
        if key and key.id in root.roles[role].keyids:
            return key
    raise RepoError(f"the root metadata knows no key {name} of fleet.toml; put fleet.toml back from a copy")


def _refuse_known(desk: Desk, name: str, public: Key) -> None:
    for known, key in desk.keyring.keys.items():
        if public.keyid == key.id and known != name:
            raise RepoError(f"that is the key {known} already; a new one is needed")
    if public.keyid in desk.state(place_of(name)[0]).root.signed.keys:
        raise RepoError(f"that is the key in use as {name}; a new one is needed")
