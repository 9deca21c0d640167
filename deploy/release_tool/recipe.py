"""Recipes as archives of the tag: what makes the container, the root file system and the bundle, and what flashes."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from release_tool.tree import ReleaseError, Tree, git


@dataclass(frozen=True, slots=True)
class Recipe:
    """Part of the tree that is of use by itself."""

    name: str
    paths: tuple[str, ...]
    """Those that the tree has; the first must be there."""


_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "edge_alpr", "engines", "scripts/setup.sh")
RECIPES = (
    Recipe("container", ("Dockerfile.jetson", ".dockerignore", "compose.yaml", "deploy/container", *_SOURCES)),
    Recipe("image", ("deploy", "scripts", *_SOURCES, "docs/image.md", "docs/rauc.md", "docs/ota.md", "docs/flash.md")),
)
_VERSION_LINE = b"\nARG VERSION=\n"


def write_recipe(tree: Tree, recipe: Recipe, out: Path) -> Path:
    """`out`/edge-alpr-NAME-VERSION.tar.gz, the same bytes each time.

    Raises:
        ReleaseError: the tree lacks the recipe.
    """
    listed = set(git(tree.root, "ls-tree", "-r", "-t", "--name-only", tree.tag).splitlines())
    paths = [path for path in recipe.paths if path in listed]
    if recipe.paths[0] not in paths:
        raise ReleaseError(f"{tree.tag} has no {recipe.paths[0]}: the recipe {recipe.name} cannot be made")
    stem = f"edge-alpr-{recipe.name}-{tree.version}"
    argv = ["git", "archive", "--format=tar", f"--prefix={stem}/", tree.tag, *paths]
    archived = subprocess.run(argv, cwd=tree.root, stdout=subprocess.PIPE, check=True).stdout
    path = out / f"{stem}.tar.gz"
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=tree.epoch) as packed:
        packed.write(_with_version(archived, tree))
    return path


def _with_version(archived: bytes, tree: Tree) -> bytes:
    """The archive anew: sorted, of root, with the version in Dockerfile.jetson, which has no git to ask there."""
    again = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archived)) as old, tarfile.open(fileobj=again, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            file = old.extractfile(member) if member.isreg() else None
            content = file.read() if file else b""
            if member.name.endswith("/Dockerfile.jetson"):
                content = content.replace(_VERSION_LINE, f"\nARG VERSION={tree.version}\n".encode())
            clean = tarfile.TarInfo(member.name)
            clean.type, clean.linkname = member.type, member.linkname
            clean.mode = 0o755 if member.mode & 0o100 else 0o644
            clean.size, clean.mtime = len(content), tree.epoch
            new.addfile(clean, io.BytesIO(content))
    return again.getvalue()
