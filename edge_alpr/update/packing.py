"""Packs what cars are sent, and tries whether a car would unpack it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edge_alpr.errors import UpdateError
from edge_alpr.ota.disk import Disk, RealFiles
from edge_alpr.ota.ledger import told_as_ours
from edge_alpr.ota.lists import list_name
from edge_alpr.ota.manifest import pack
from edge_alpr.ota.types import MODELS
from edge_alpr.ota.versions import Versions


def pack_checked(folder: Path, unit: str, version: str, out: Path) -> int:
    """Write the tar file of a folder; its size in bytes. Raises `UpdateError` where no car would take it."""
    if unit != MODELS and not list_name(unit):
        raise UpdateError(f"'{unit}' is nothing to pack; there are {MODELS} and list/NAME")
    if not folder.is_dir():
        raise UpdateError(f"{folder}: no such folder; name the one that holds the files")
    with told_as_ours(), tempfile.TemporaryDirectory(prefix="edge-alpr-pack-", dir=out.absolute().parent) as place:
        made = Path(place) / "made.tar"
        made.write_bytes(pack(folder, unit, version))
        Versions(Disk(RealFiles()), Path(place) / "tried", unit).unpack(made, version)
        made.replace(out)
    return out.stat().st_size
