"""The release of a Jetson's system."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_alpr.l4t import l4t_release


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n# KERNEL", "36.4.3"),
        ("# R38 (release), REVISION: 2.0, GCID: 1, BOARD: generic\n", "38.2.0"),
        ("R36\n", ""),
        ("", ""),
        ("\x00\xff# R36 (release), REVISION: 4.3", ""),
    ],
)
def test_the_release_is_read_from_the_first_line(text: str, release: str, tmp_path: Path) -> None:
    path = tmp_path / "nv_tegra_release"
    path.write_text(text, encoding="latin-1")
    assert l4t_release(path) == release
    assert l4t_release(tmp_path) == l4t_release(tmp_path / "absent") == ""
