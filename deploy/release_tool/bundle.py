"""Images that go along with a release, and the bundles that deploy/bundle makes of them; a tar is for flashing."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from release_tool.build import clean_environment, run
from release_tool.tree import ReleaseError, Tree


@dataclass(frozen=True, slots=True)
class BundleKeys:
    """What signs bundles: RAUC's own keys, not those of the release. `key` is a file or a PKCS#11 URI."""

    certificate: Path
    key: str
    keyring: Path


def board_of(image: Path, version: str) -> str:
    """`orin-nano` of `edge-alpr-orin-nano-1.2.0.tar`.

    Raises:
        ReleaseError: it is not named so, or is of another version.
    """
    name = rf"edge-alpr-([a-z-]+)-{re.escape(version)}\.(?:tar|ext4|squashfs)(?:\.(?:gz|xz|zst))?"
    match = re.fullmatch(name, image.name)
    if match is None:
        wanted = f"edge-alpr-BOARD-{version}.tar (or .ext4, .squashfs)"
        raise ReleaseError(f"{image.name} is not named {wanted}; build it at the tag: deploy/image/build")
    return match[1]


def add_images(tree: Tree, images: tuple[Path, ...], keys: BundleKeys | None, out: Path) -> None:
    """Put images into `out`, and with keys a bundle of each that is no tar.

    Raises:
        ReleaseError: an image cannot be read or is of another version, two would give one bundle, or none can be made.
    """
    boards = {image: board_of(image, tree.version) for image in images}
    bundled = [image for image in images if keys is not None and not _is_tar(image)]
    _refuse_twins([boards[image] for image in bundled])
    for image, board in boards.items():
        try:
            shutil.copyfile(image, out / image.name)
        except OSError as error:
            raise ReleaseError(f"{image}: {error.strerror}") from error
        if keys is not None and image in bundled:
            _bundle(tree, out / image.name, board, keys, out)


def _is_tar(image: Path) -> bool:
    return ".tar" in image.suffixes


def _refuse_twins(boards: list[str]) -> None:
    if twins := sorted({board for board in boards if boards.count(board) > 1}):
        raise ReleaseError(f"two images for {', '.join(twins)} would give one bundle; name one of them")


def _bundle(tree: Tree, image: Path, board: str, keys: BundleKeys, out: Path) -> None:
    argv = [
        str(tree.root / "deploy" / "bundle"), "--rootfs", str(image), "--version", tree.version, "--board", board,
        "--cert", str(keys.certificate), "--key", keys.key, "--keyring", str(keys.keyring),
        "--output", str(out / f"edge-alpr-{board}-{tree.version}.raucb"),
    ]  # fmt: skip
    if not Path(argv[0]).is_file():
        raise ReleaseError(f"{tree.tag} has no deploy/bundle: leave the bundle's keys out")
    run(argv, tree.root, clean_environment(tree), what=f"the bundle for {board}")
