"""The release of a Jetson's system, as its own file tells it."""

from __future__ import annotations

import re
from pathlib import Path

RELEASE_FILE = Path("/etc/nv_tegra_release")
_RELEASE = re.compile(r"# R(\d+) .*?REVISION: *([\d.]+)")


def l4t_release(path: Path = RELEASE_FILE) -> str:
    """`36.4.3` from `# R36 (release), REVISION: 4.3, …`; empty where there is no such file, or it does not tell."""
    try:
        found = _RELEASE.match(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return f"{found[1]}.{found[2]}" if found else ""
