"""Which data a model was trained on: one hash a data set, over its labels and pictures."""

from __future__ import annotations

import hashlib
from pathlib import Path

LICENCES = {
    "dashcam": "MIT", "openimages": "CC BY 2.0", "campus": "Apache-2.0", "ccpd_crops": "MIT", "road_negatives": "MIT",
    "video": "MIT",
}  # fmt: skip


def fingerprint(folder: Path) -> str:
    """The first 16 digits of the sha256 over all files, by name: each one's path and sha256."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    return whole.hexdigest()[:16]


def data_versions(data: Path, names: tuple[str, ...]) -> list[str]:
    """A line for the card for each of the sets that is there: name, licence, hash."""
    return [
        f"{name} ({LICENCES[name]}) sha256 {fingerprint(data / name)}" for name in names if (data / name).is_dir()
    ]
