"""This machine's apt for another release and processor, in a folder of the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from recipe.boards import KEPT, RELEASES
from recipe.slim import index, slim

_CONFIG = """APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Dir "{place}";
Dir::State::status "{place}/status";
Dir::Cache::archives "{debs}";
Dir::Etc::trustedparts "/usr/share/keyrings";
Dir::Etc::parts "{place}/none";
"""


def own_sources(suite: str) -> tuple[str, ...]:
    """What this machine's own apt has of a release, corrections included; empty where it is another release."""
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)", "Created-By: Packages"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")
    found = dict.fromkeys(tuple(line.split()) for line in told if line.count(" ") == 1)
    components = RELEASES[suite].components.replace(",", " ")
    return tuple(f"deb {site} {name} {components}" for site, name in found if re.fullmatch(rf"{suite}(-.*)?", name))


class Apt:
    """apt with a configuration of its own. `update` first."""

    def __init__(self, cache: Path, suite: str, mirrors: tuple[str, ...]) -> None:
        self._cache = cache
        self._place = cache / f"apt-{suite}"
        self._slim = self._place / "slim"
        self._debs = cache / "debs"
        for folder in ("var/lib/apt/lists/partial", "etc/apt/sources.list.d", "etc/apt/preferences.d", "none"):
            (self._place / folder).mkdir(parents=True, exist_ok=True)
        (self._debs / "partial").mkdir(parents=True, exist_ok=True)
        (self._place / "status").touch()
        config = _CONFIG.format(place=self._place, debs=self._debs)
        (self._place / "apt.conf").write_text(config, encoding="utf-8")
        components = RELEASES[suite].components.replace(",", " ")
        lines = [line if line.startswith("deb") else f"deb {line} {suite} {components}" for line in mirrors]
        self._sources = "".join(f"{line}\n" for line in lines)

    def update(self) -> None:
        """The distribution's lists, without our smaller packages."""
        self._write(self._sources)
        self._apt("apt-get", "update")

    def slim(self) -> None:
        """Makes the smaller packages, and lets apt know them."""
        shutil.rmtree(self._slim, ignore_errors=True)
        self._slim.mkdir()
        for old in self._debs.glob("*+slim_*.deb"):
            old.unlink()
        with TemporaryDirectory() as work:
            fetched = Path(work, "fetched")
            fetched.mkdir()
            self._apt("apt-get", "download", *KEPT, folder=fetched)
            for deb in sorted(fetched.glob("*.deb")):
                slim(deb, KEPT[deb.name.partition("_")[0]], Path(work), self._slim)
        (self._slim / "Packages").write_text(index(self._slim), encoding="utf-8")
        self._write(f"{self._sources}deb [trusted=yes] copy:{self._slim} ./\n")
        self._apt("apt-get", "update")

    def fetch(self, packages: tuple[str, ...]) -> list[Path]:
        """The files of these packages and of all they depend on, in the order of their names."""
        words = ("apt-get", "install", "--yes", *packages)
        self._apt(*words, "--download-only")
        # apt names what it would fetch into an empty folder.
        empty = self._place / "none"
        told = self._apt(*words, "--print-uris", "-o", f"Dir::Cache::archives={empty}/", quiet=True)
        return [self._debs / name for name in sorted(line.split()[1] for line in told.splitlines() if line[:1] == "'")]

    def for_boot(self) -> None:
        """The kernel and busybox that deploy/image/boot takes, beside the image."""
        folder = self._cache / "boot"
        told = self._apt("apt-cache", "depends", "linux-image-arm64", quiet=True)
        kernel = next((line.split()[-1] for line in told.splitlines() if "Depends: linux-image-" in line), "")
        if not kernel or any(folder.glob(f"{kernel}_*.deb")):
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._apt("apt-get", "download", kernel, "busybox-static", folder=folder)

    def _write(self, sources: str) -> None:
        (self._place / "etc/apt/sources.list").write_text(sources, encoding="utf-8")

    def _apt(self, *words: str, folder: Path | None = None, quiet: bool = False) -> str:
        """Its output; without `quiet` it goes to stderr instead."""
        environment = {**os.environ, "APT_CONFIG": str(self._place / "apt.conf"), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [words[0], "-q", *words[1:]], cwd=folder, env=environment, check=True, text=True,
            stdout=subprocess.PIPE if quiet else sys.stderr,
        )  # fmt: skip
        return done.stdout or ""
