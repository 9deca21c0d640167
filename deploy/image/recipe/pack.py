"""The tree as one file. The same tree gives the same bytes: one time, names in order, identities fixed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

_BLOCK = 4096
_SPACE = uuid.UUID("5c1d4c0e-5f0a-4c55-9b43-0b0f2f4c7a11")
"""Of the identities that are made from a name."""


def squash(tree: Path, out: Path, epoch: int) -> None:
    """A squashfs of the tree, with zstd."""
    environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    words = ["-noappend", "-quiet", "-no-progress", "-comp", "zstd", "-Xcompression-level", "12", "-b", "256K"]
    times = ["-mkfs-time", str(epoch), "-all-time", str(epoch)]
    subprocess.run(["mksquashfs", tree, out, *words, *times], env=environment, check=True)


def extend(squashed: Path, out: Path, epoch: int, name: str) -> None:
    """An ext4 file system with what the squashfs holds, and a twentieth of free room; to be mounted read-only.

    Made from the mounted squashfs: there names come in order and inodes have one time, which mke2fs takes over.
    """
    with TemporaryDirectory() as mounted:
        subprocess.run(["mount", "-t", "squashfs", "-o", "loop,ro", squashed, mounted], check=True)
        try:
            _make_ext4(Path(mounted), out, epoch, name)
        finally:
            subprocess.run(["umount", mounted], check=True)


def _make_ext4(tree: Path, out: Path, epoch: int, name: str) -> None:
    told = subprocess.run(["du", "-s", "-B", str(_BLOCK), "--apparent-size", tree], capture_output=True, check=True)
    files = sum(1 for _ in tree.rglob("*"))
    blocks = round((int(told.stdout.split()[0]) + files) * 1.05) + 16384
    identity, seed = uuid.uuid5(_SPACE, name), uuid.uuid5(_SPACE, f"{name} hash seed")
    out.unlink(missing_ok=True)
    words = [
        "mke2fs", "-q", "-t", "ext4", "-b", str(_BLOCK), "-m", "0", "-O", "^has_journal,^metadata_csum_seed",
        "-L", "edge-alpr", "-U", str(identity), "-N", str(round(files * 1.1) + 64), "-d", str(tree),
        "-E", f"hash_seed={seed},lazy_itable_init=0", str(out), str(blocks),
    ]  # fmt: skip
    subprocess.run(words, env={**os.environ, "E2FSPROGS_FAKE_TIME": str(epoch)}, check=True)


def roll(tree: Path, out: Path, epoch: int) -> None:
    """A tar file of the tree, for NVIDIA's flashing tool."""
    words = ["--sort=name", f"--mtime=@{epoch}", "--numeric-owner", "--xattrs", "--xattrs-include=security.capability",
             "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--format=posix"]  # fmt: skip
    subprocess.run(["tar", "--create", *words, f"--file={out}", f"--directory={tree}", "."], check=True)


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()
