"""The operator's folder: where things lie in it, and `fleet.toml`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import tomlkit
from msgspec import Meta, Struct

from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.files import write_whole

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DIRECTOR, IMAGE = "director", "image"
REPOSITORIES = (IMAGE, DIRECTOR)
"""In the order in which they are published: what is rolled out must exist."""
Days = Annotated[int, Meta(ge=1, le=3650)]


class Expiry(Struct, frozen=True, forbid_unknown_fields=True):
    """How long metadata is good for, in days."""

    root_days: Days = 365
    targets_days: Days = 90
    snapshot_days: Days = 7
    timestamp_days: Days = 1


class Watching(Struct, frozen=True, forbid_unknown_fields=True):
    """When a roll-out is paused by itself."""

    limit: Annotated[float, Meta(gt=0, lt=1)] = 0.02
    """Share of the cars that took it and failed; paused once it is surely above."""
    z: Annotated[float, Meta(ge=0, le=10)] = 1.96
    """How surely, in standard deviations."""
    least_failed: Annotated[int, Meta(ge=1)] = 3
    """So many cars at the least: the first one that fails stops nothing."""
    verdict_days: Days = 14
    """A car that took it and has no verdict for so long has failed: it does not start, or nobody drives it."""


class KeySpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a private key is."""

    id: str
    uri: str
    """`file:PATH`, relative to the folder or absolute, or `pkcs11:token=LABEL;id=%01?module-path=FILE`."""
    secret: str = ""
    """A file with its passphrase or PIN; asked for where there is none."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All of `fleet.toml`."""

    expiry: Expiry = Expiry()
    watch: Watching = Watching()
    keys: dict[str, KeySpec] = {}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The operator's folder. Only `public` is served."""

    folder: Path

    @property
    def public(self) -> Path:
        """What the web server or CDN carries."""
        return self.folder / "public"

    @property
    def settings_file(self) -> Path:
        """`fleet.toml`."""
        return self.folder / "fleet.toml"

    @property
    def scratch(self) -> Path:
        """Files on their way."""
        return self.folder / ".scratch"

    @property
    def lock(self) -> Path:
        """Held while something is changed."""
        return self.folder / ".lock"

    @property
    def rollouts_file(self) -> Path:
        """What the operator wants, with its history."""
        return self.folder / "rollouts.json"

    @property
    def results_file(self) -> Path:
        """What cars said of their updates, a line each."""
        return self.folder / "results.jsonl"

    @property
    def unnamed_file(self) -> Path:
        """Since when which served files are named by nothing."""
        return self.folder / "unnamed.json"

    def metadata(self, repository: str) -> Path:
        """The served metadata of a repository."""
        return self.public / repository / "metadata"

    @property
    def targets(self) -> Path:
        """The served files."""
        return self.public / IMAGE / "targets"

    def staged(self, repository: str, role: str) -> Path:
        """Metadata that is made and waits for signatures."""
        return self.folder / "staged" / repository / f"{role}.json"

    def read_settings(self) -> Settings:
        """Raises `RepoError` where the folder is none, or the file names what is unknown."""
        try:
            data = tomllib.loads(self.settings_file.read_text(encoding="utf-8"))
            return msgspec.convert(data, Settings)
        except FileNotFoundError as error:
            raise RepoError(f"{self.folder}: no fleet.toml; make it with deploy/repo --fleet FOLDER init") from error
        except (OSError, ValueError) as error:  # msgspec's and TOML's errors are ValueErrors
            raise RepoError(f"{self.settings_file}: {error}") from error

    def add_key(self, name: str, key: KeySpec) -> None:
        """Note where a key is; the operator's comments stay."""
        text = tomlkit.parse(self.settings_file.read_text(encoding="utf-8"))
        text.setdefault("keys", tomlkit.table())[name] = msgspec.to_builtins(key)
        write_whole(self.settings_file, tomlkit.dumps(text).encode(), self.scratch)
