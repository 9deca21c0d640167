"""Makes a release: all is made in a folder aside, which gets its name only when it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from release_tool.build import build_twice, run
from release_tool.bundle import BundleKeys, add_images
from release_tool.choose import resolve
from release_tool.lock import PYTHONS
from release_tool.recipe import RECIPES, write_recipe
from release_tool.sbom import make_sbom
from release_tool.signing import Signer, pem_of
from release_tool.sums import SIGNATURE, write_sums
from release_tool.tree import ReleaseError, Tree, look

NOTES, PUBLIC = "RELEASE_NOTES.md", "release.pub"
Step = Callable[[str], None]
"""Hears what is done now."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be released, from where to where."""

    root: Path
    out: Path
    """The folder in which the release's folder is made."""
    signer: Signer | None
    images: tuple[Path, ...] = ()
    bundle_keys: BundleKeys | None = None
    pythons: tuple[str, ...] = PYTHONS
    """For which the packages of a device are chosen."""


def make(order: Order, tell: Step) -> Path:
    """Make the release; its folder.

    Raises:
        ReleaseError: the tree may not be released, or a part of it cannot be made. Nothing is left then.
    """
    tell("tree, tag and changelog")
    tree = look(order.root)
    done = order.out / f"edge-alpr-{tree.version}"
    if done.exists():
        raise ReleaseError(f"{done} is there already; a version is released once: move it away to make it anew")
    tell("lint")
    run([str(order.root / "scripts" / "lint")], order.root, os.environ, what="scripts/lint")
    order.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=order.out) as aside:
        folder = Path(aside) / "release"
        folder.mkdir()
        _fill(order, tree, Path(aside), folder, tell)
        folder.chmod(0o755)
        shutil.move(folder, done)
    return done


def _fill(order: Order, tree: Tree, work: Path, folder: Path, tell: Step) -> None:
    tell("wheel and sdist, twice")
    wheel = build_twice(tree, work, folder)
    for python in order.pythons:
        tell(f"packages and bill of materials for Python {python}")
        lock = resolve(wheel, python, work)
        (folder / lock.file).write_text(lock.text(), encoding="utf-8")
        name = lock.file.replace("requirements", "sbom").replace(".txt", ".cdx.json")
        (folder / name).write_text(make_sbom(tree, wheel, lock), encoding="utf-8")
    for recipe in RECIPES:
        tell(f"recipe: {recipe.name}")
        write_recipe(tree, recipe, folder)
    tell("images and bundles")
    add_images(tree, order.images, order.bundle_keys, folder)
    (folder / NOTES).write_text(f"# edge-alpr {tree.version}\n\n{tree.notes}", encoding="utf-8")
    tell("sums and signature")
    sums = write_sums(folder, (path.name for path in folder.iterdir()))
    if order.signer is not None:
        (folder / SIGNATURE).write_bytes(order.signer.sign(sums.read_bytes()))
        (folder / PUBLIC).write_bytes(pem_of(order.signer.public))
