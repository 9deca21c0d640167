"""The image's tar: whether it is the one that was released, how much it holds, and NVIDIA's drivers in it."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from release_tool.signing import SignatureError, load_public_key, verify
from release_tool.sums import SIGNATURE, SUMS, parse_sums, sha256_of

from flash_tool.bsp import System, parse_release
from flash_tool.problems import Problem, problem

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Image:
    """A tar of the root file system, and who vouches for it: a signed SHA256SUMS beside it, or a hash given by hand."""

    path: Path
    sha256: str = ""
    key: Path | None = None


def image_problems(image: Image) -> list[Problem]:
    """Whether the file is the one that was released."""
    wanted, problems = (image.sha256.lower(), []) if image.sha256 else _signed_hash(image)
    if problems:
        return problems
    try:
        found = sha256_of(image.path)
    except OSError as error:
        return [problem("no-image", image=image.path, why=error.strerror)]
    return [] if found == wanted else [problem("image-mismatch", image=image.path, found=found, wanted=wanted)]


def _signed_hash(image: Image) -> tuple[str, list[Problem]]:
    """The file's hash by the SHA256SUMS beside it, once its signature holds."""
    sums, signature = image.path.with_name(SUMS), image.path.with_name(SIGNATURE)
    if not sums.is_file() or not signature.is_file():
        return "", [problem("image-unsigned", image=image.path)]
    if image.key is None:
        return "", [problem("no-key", image=image.path)]
    content = sums.read_bytes()
    try:
        verify(load_public_key(image.key), content, signature.read_bytes())
    except SignatureError as error:
        return "", [problem("image-bad-signature", image=image.path, why=error)]
    listed = parse_sums(content.decode("utf-8", "replace")).get(image.path.name)
    return (listed, []) if listed else ("", [problem("image-not-listed", image=image.path)])


def system_in_tar(path: Path) -> System:
    """The root file system in a tar, by its table of contents.

    Raises:
        OSError, tarfile.TarError: it cannot be read.
    """
    size = 0
    release: tuple[int, ...] = ()
    with tarfile.open(path) as tar:
        for member in tar:
            size += -(-member.size // _BLOCK) * _BLOCK if member.isreg() else _BLOCK
            name = PurePosixPath(member.name.removeprefix("./"))
            if name == PurePosixPath("etc/nv_tegra_release") and (file := tar.extractfile(member)):
                release = parse_release(file.read(4096).decode("utf-8", "replace"))
    return System(size, release)
