"""Python's byte code, made once: a read-only root cannot keep what a first start compiles.

The code is checked against nothing when it is loaded (PEP 552, unchecked hash), so that it holds no time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_PLACES = ("usr/lib/python3*", "opt/edge-alpr/lib/python3*/site-packages")


def places(tree: Path) -> list[Path]:
    """Folders with Python's modules."""
    return [place for pattern in _PLACES for place in sorted(tree.glob(pattern)) if place.is_dir()]


def compile_all(tree: Path, python: str) -> None:
    """By the Python that runs here where it is of the same release, else by the tree's own under emulation.

    Raises:
        SystemExit: it does not run, or a module of ours is no Python of this release.
    """
    for place in places(tree):
        for cache in sorted(place.rglob("__pycache__"), reverse=True):
            shutil.rmtree(cache)
    same = ".".join(map(str, sys.version_info[:2])) == python
    before = [sys.executable] if same else ["chroot", str(tree), "/usr/bin/python3"]
    for place in places(tree):
        inside = f"/{place.relative_to(tree)}"
        words = ["-m", "compileall", "-q", "--invalidation-mode=unchecked-hash"]
        where = ["-s", str(tree), "-p", "/", str(place)] if same else [inside]
        done = subprocess.run([*before, *words, *where], check=False, capture_output=True, text=True)
        if done.returncode not in (0, 1):  # 1: a module that is no Python of this release, such as lib2to3's tests
            raise SystemExit(f"build: compileall failed: {done.stderr or done.stdout}")
        if lacking := _not_compiled(place / "edge_alpr"):
            raise SystemExit(f"build: {', '.join(lacking)} cannot be compiled by Python {python}: {done.stdout}")


def _not_compiled(ours: Path) -> list[str]:
    modules = sorted(ours.rglob("*.py"))
    return [module.name for module in modules if not list(module.parent.glob(f"__pycache__/{module.stem}.*.pyc"))]
