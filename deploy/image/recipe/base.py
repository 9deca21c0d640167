"""The distribution's part of the root file system: mmdebstrap, with slim packages and a cache of those fetched."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from recipe.boards import KEPT, RELEASES, Board

HERE = Path(__file__).resolve().parents[1]
_EXCLUDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*",
             "/usr/share/bash-completion/*", "/usr/share/zsh/*", "/usr/share/doc/*")  # fmt: skip
_KEPT = "/usr/share/doc/*/copyright"


@dataclass(frozen=True, slots=True)
class Request:
    """What the base is made of. `epoch` is in seconds since 1970; no file of the image is newer."""

    board: Board
    suite: str
    mirrors: tuple[str, ...]
    added: tuple[str, ...]
    epoch: int
    cache: Path

    @property
    def packages(self) -> tuple[str, ...]:
        """Asked for by name."""
        return (*self.board.packages, *RELEASES[self.suite].extra, *self.added)


def command(request: Request, out: Path) -> list[str]:
    """How mmdebstrap is called."""
    archives = shlex.quote(str(request.cache / "debs"))
    hook = f"PYTHONPATH={shlex.quote(str(HERE))} {shlex.quote(sys.executable)} -m recipe.hook"
    return [
        "mmdebstrap", "--variant=essential", "--architecture=arm64", "--format=tar",
        f"--components={RELEASES[request.suite].components}", f"--include={','.join(request.packages)}",
        '--aptopt=Acquire::Languages "none"', "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED), f"--dpkgopt=path-include={_KEPT}",
        f'--setup-hook=mkdir -p "$1/var/cache/apt/archives" {archives}; '
        f'cp -a {archives}/. "$1/var/cache/apt/archives/"',
        f'--essential-hook={hook} "$1" {shlex.quote(str(request.cache))}',
        f'--customize-hook=cp -u "$1"/var/cache/apt/archives/*.deb {archives}/; '
        'rm -rf "$1"/var/cache/apt/archives/*.deb "$1/slim" "$1/etc/apt/sources.list.d/slim.list"',
        "--skip=download/empty,essential/unlink", request.suite, str(out), *request.mirrors,
    ]  # fmt: skip


def make_base(request: Request, fresh: bool = False) -> Path:
    """A tar file, kept in the cache under the hash of what it is made of; `fresh`: made anew all the same."""
    how = (HERE / "recipe/slim.py").read_text(encoding="utf-8") + repr(KEPT)
    wanted = repr((request.packages, request.suite, request.mirrors, request.epoch, how))
    base = request.cache / f"base-{request.board.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.tar"
    if base.exists() and not fresh:
        return base
    request.cache.mkdir(parents=True, exist_ok=True)
    part = base.with_suffix(".part.tar")
    boot = "" if request.board.nvidia else "qemu"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(request.epoch), "EDGE_ALPR_BOOT": boot}
    subprocess.run(command(request, part), env=environment, check=True)
    part.rename(base)
    return base
