"""The first version of both repositories, and their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from securesystemslib.signer import Key
from tuf.api.metadata import Targets

from deploy.repo_tool import metadata as make
from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.files import write_whole
from deploy.repo_tool.keys import NAMES, Keyring, is_online, place_of
from deploy.repo_tool.publish import Desk, sign_now
from deploy.repo_tool.settings import REPOSITORIES, Fleet, Settings


def make_keys(fleet: Fleet, keyring: Keyring, uris: Mapping[str, str], online: Path | None) -> dict[str, Key]:
    """All keys by name: those of `uris` are taken from there, the others made as files. Each is noted as it is made.

    `online` is the file with the passphrase of the online keys.
    """
    for name in uris:
        place_of(name)
    keys: dict[str, Key] = {}
    for name in NAMES:
        secret = online if is_online(name) else None
        spec, public = keyring.adopt(name, uris.get(name, f"file:keys/{name}.pem"), secret)
        if public.keyid in {key.keyid for key in keys.values()}:
            raise RepoError(f"{name} is the same key as {keyring.name_of(public.keyid)}; each needs its own")
        fleet.add_key(name, spec)
        keyring.keys[name] = spec
        keys[name] = public
    return keys


def make_repositories(desk: Desk, keys: Mapping[str, Key]) -> None:
    """Both, unless they are there. Raises `RepoError` where two of the root keys are not here."""
    for repository in REPOSITORIES:
        if not (desk.fleet.metadata(repository) / "1.root.json").exists():
            roles: dict[str, list[Key]] = {}
            for name, key in keys.items():
                where, role = place_of(name)
                if where == repository:
                    roles.setdefault(role, []).append(key)
            _make_repository(desk, repository, roles)


def begin_folder(fleet: Fleet) -> None:
    """The folder with its `fleet.toml`; one that was begun and not ended is taken up again."""
    if all((fleet.metadata(repository) / "1.root.json").exists() for repository in REPOSITORIES):
        raise RepoError(f"{fleet.folder}: holds both repositories already; status shows them")
    if not fleet.settings_file.exists():
        fleet.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(fleet.settings_file, msgspec.toml.encode(Settings()), fleet.scratch)
    fleet.targets.mkdir(parents=True, exist_ok=True)


def _make_repository(desk: Desk, repository: str, keys: Mapping[str, Sequence[Key]]) -> None:
    root = make.first_root(keys, desk.expires("root"))
    signed_root = sign_now(desk, root, [root], [root])
    targets = sign_now(desk, Targets(expires=desk.expires("targets")), [root], [root]).to_bytes()
    new = make.new_snapshot(1, targets, 1, desk.expires("snapshot"))
    snapshot = sign_now(desk, new, [root], [root]).to_bytes()
    timestamp = sign_now(desk, make.new_timestamp(1, snapshot, 1, desk.expires("timestamp")), [root], [root])
    files = {"1.targets.json": targets, "1.snapshot.json": snapshot, "timestamp.json": timestamp.to_bytes()}
    for name, data in {**files, "1.root.json": signed_root.to_bytes()}.items():  # the root last: before, there is none
        write_whole(desk.fleet.metadata(repository) / name, data, desk.fleet.scratch)


