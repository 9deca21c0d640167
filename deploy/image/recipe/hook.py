"""Called by mmdebstrap between the essential packages and the rest: ROOT CACHE; `apt-get download` is its apt's.

Puts a folder with the slim packages into ROOT's sources, and the kernel and busybox for qemu beside (`CACHE/boot`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from recipe.boards import KEPT
from recipe.slim import index, slim


def _apt(*words: str, folder: Path) -> None:
    environment = {**os.environ, "APT_CONFIG": os.environ["MMDEBSTRAP_APT_CONFIG"]}
    subprocess.run(["apt-get", "--quiet", *words], cwd=folder, env=environment, check=True, stdout=sys.stderr)


def _kernel() -> str:
    """The name of the package that `linux-image-arm64` stands for."""
    environment = {**os.environ, "APT_CONFIG": os.environ["MMDEBSTRAP_APT_CONFIG"]}
    told = subprocess.run(
        ["apt-cache", "depends", "linux-image-arm64"], env=environment, capture_output=True, text=True, check=False
    ).stdout
    return next((line.split()[-1] for line in told.splitlines() if "Depends: linux-image-" in line), "")


def _thin(root: Path) -> None:
    place = root / "slim"
    place.mkdir()
    with TemporaryDirectory() as work:
        fetched = Path(work, "fetched")
        fetched.mkdir()
        _apt("download", *KEPT, folder=fetched)
        for deb in sorted(fetched.glob("*.deb")):
            slim(deb, KEPT[deb.name.partition("_")[0]], Path(work), place)
    (place / "Packages").write_text(index(place), encoding="utf-8")
    source = root / "etc/apt/sources.list.d/slim.list"
    source.write_text(f"deb [trusted=yes] copy:{place} ./\n", encoding="utf-8")
    _apt("update", folder=place)


def _for_boot(cache: Path) -> None:
    folder = cache / "boot"
    folder.mkdir(parents=True, exist_ok=True)
    kernel = _kernel()
    if kernel and not any(folder.glob(f"{kernel}_*.deb")):
        _apt("download", kernel, "busybox-static", folder=folder)


def main() -> None:
    """See above."""
    root, cache = Path(sys.argv[1]), Path(sys.argv[2])
    _thin(root)
    if os.environ.get("EDGE_ALPR_BOOT") == "qemu":
        _for_boot(cache)


if __name__ == "__main__":
    main()
