"""Wheel and sdist, built twice in clones of the tag: a release is made only where both times give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from release_tool.sums import sha256_of
from release_tool.tree import ReleaseError, Tree, git

_ASIDE = ("SETUPTOOLS_SCM_", "HATCH_", "GIT_DIR", "GIT_WORK_TREE")
"""Starts of variables that would change what is built."""


def run(argv: Sequence[str], folder: Path, environment: Mapping[str, str], *, what: str) -> None:
    """Run a command whose output is only of use when it fails.

    Raises:
        ReleaseError: it failed.
    """
    done = subprocess.run(
        argv, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise ReleaseError(f"{done.stdout.strip()}\n{what} failed (exit status {done.returncode}); why is above")


def clean_environment(tree: Tree) -> dict[str, str]:
    """This process's, with the commit's time, and without what would change what is built."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_ASIDE)}
    return {**kept, "SOURCE_DATE_EPOCH": str(tree.epoch), "TZ": "UTC", "LC_ALL": "C.UTF-8"}


def _build(tree: Tree, folder: Path) -> dict[str, str]:
    """Build into `folder`/dist; name -> SHA-256."""
    git(tree.root, "clone", "--quiet", "--local", "--branch", tree.tag, str(tree.root), str(folder / "tree"))
    argv = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist")]
    run(argv, folder / "tree", clean_environment(tree), what="building wheel and sdist")
    return {path.name: sha256_of(path) for path in (folder / "dist").iterdir()}


def build_twice(tree: Tree, work: Path, out: Path) -> Path:
    """Put wheel and sdist into `out`; the wheel.

    Raises:
        ReleaseError: they cannot be built, differ from one time to the next, or are of another version.
    """
    once, again = (_build(tree, work / part) for part in ("first", "second-time"))
    differ = sorted(name for name in once.keys() | again.keys() if once.get(name) != again.get(name))
    if differ:
        raise ReleaseError(f"built twice, {', '.join(differ)} differ; find out why before this is released")
    wheel, sdist = f"edge_alpr-{tree.version}-py3-none-any.whl", f"edge_alpr-{tree.version}.tar.gz"
    if once.keys() != {wheel, sdist}:
        raise ReleaseError(f"of the tag {tree.tag} came {', '.join(sorted(once))}, not {wheel} and {sdist}")
    for name in (wheel, sdist):
        (work / "first" / "dist" / name).rename(out / name)
    return out / wheel
