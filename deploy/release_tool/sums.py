"""SHA256SUMS, as `sha256sum --check` reads it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_sums(folder: Path, names: Iterable[str]) -> Path:
    """Write the sums of these files of the folder, by name."""
    path = folder / SUMS
    path.write_text("".join(f"{sha256_of(folder / name)}  {name}\n" for name in sorted(names)), encoding="utf-8")
    return path


def parse_sums(text: str) -> dict[str, str]:
    """Name -> SHA-256; lines that are none are left out."""
    return {name: digest for digest, name in re.findall(r"^([0-9a-f]{64}) [ *]([^/\n]+)$", text, re.MULTILINE)}
