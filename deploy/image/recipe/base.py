"""The distribution's part of the root file system.

apt chooses and fetches, dpkg unpacks and configures: both this machine's own, so that only the packages' scripts run
under emulation. (With the tree's own dpkg, as mmdebstrap does it, the same takes ten times as long.)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from recipe.apt import Apt
from recipe.boards import KEPT, RELEASES, Board

HERE = Path(__file__).resolve().parents[1]
_EXCLUDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*",
             "/usr/share/bash-completion/*", "/usr/share/zsh/*", "/usr/share/doc/*")  # fmt: skip
_INCLUDED = "/usr/share/doc/*/copyright"
_FIRST = ("base-passwd:arm64", "base-files:arm64", "libc6:arm64", "perl-base:arm64", "mawk:arm64", "debconf")
"""What the scripts of the other packages take for granted."""


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


def make_base(request: Request, fresh: bool = False) -> Path:
    """A tar file, kept in the cache under the hash of what it is made of; `fresh`: made anew all the same."""
    how = "".join((HERE / "recipe" / name).read_text(encoding="utf-8") for name in ("slim.py", "apt.py", "base.py"))
    wanted = repr((request.packages, request.suite, request.mirrors, request.epoch, KEPT, how))
    base = request.cache / f"base-{request.board.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.tar"
    if base.exists() and not fresh:
        return base
    apt = Apt(request.cache, request.suite, request.mirrors)
    apt.update()
    apt.slim()
    debs = apt.fetch(("?and(?essential,!?name(^apt$))", *request.packages))
    if not request.board.nvidia:
        apt.for_boot()
    tree = request.cache / f"base-{request.board.name}"
    _unpack(debs, tree)
    _configure(tree)
    part = base.with_suffix(".part")
    words = ["tar", "--create", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name"]
    subprocess.run([*words, f"--file={part}", f"--directory={tree}", "."], check=True)
    part.rename(base)
    shutil.rmtree(tree)
    return base


def _unpack(debs: list[Path], tree: Path) -> None:
    """All files, and dpkg's records of them. The first round gives the packages' scripts a shell to run in."""
    if tree.exists():
        shutil.rmtree(tree)
    for folder in ("usr/bin", "usr/sbin", "usr/lib", "etc", "var/lib/dpkg/info", "var/lib/dpkg/updates", "proc", "dev"):
        (tree / folder).mkdir(parents=True)
    for name in ("bin", "sbin", "lib"):
        (tree / name).symlink_to(f"usr/{name}")
    for name in ("status", "available"):
        (tree / "var/lib/dpkg" / name).touch()
    for deb in debs:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as files:
            words = ["tar", "--extract", "--keep-directory-symlink", "--exclude=./usr/share/*", f"--directory={tree}"]
            subprocess.run(words, stdin=files.stdout, check=True)
    (tree / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    (tree / "usr/sbin/policy-rc.d").chmod(0o755)
    _dpkg(tree, "--add-architecture", "arm64")
    _dpkg(tree, "--unpack", *map(str, debs))


def _configure(tree: Path) -> None:
    for name in _FIRST:
        _dpkg(tree, "--configure", name)
    _dpkg(tree, "--configure", "--pending")
    for name in ("usr/sbin/policy-rc.d", "var/lib/dpkg/arch"):
        (tree / name).unlink()


def _dpkg(tree: Path, *words: str) -> None:
    """This machine's dpkg on the tree; scripts run in it, in a mount namespace with /proc and /dev."""
    patterns = [*(f"--path-exclude={pattern}" for pattern in _EXCLUDED), f"--path-include={_INCLUDED}"]
    # It takes arm64 for a foreign architecture here, for which it would ask packages without one to be asked for twice.
    options = ["--force-depends", "--force-architecture", "--force-unsafe-io", "--force-confnew", "--no-triggers"]
    if words[0] != "--unpack":
        options.remove("--no-triggers")
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8",
        "DEBCONF_NONINTERACTIVE_SEEN": "true", "HOME": "/root", "SYSTEMD_OFFLINE": "1",
    }  # fmt: skip
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        environment["SOURCE_DATE_EPOCH"] = epoch
    inside = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && shift && exec dpkg "$@"'
    command = ["unshare", "--mount", "sh", "-c", inside, "sh", str(tree), f"--root={tree}", *options, *patterns, *words]
    subprocess.run(command, env=environment, check=True)
