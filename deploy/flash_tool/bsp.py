"""What lies in NVIDIA's Linux_for_Tegra folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from flash_tool.boards import Board, Medium
from flash_tool.problems import Problem, problem

TOOL = "tools/kernel_flash/l4t_initrd_flash.sh"
_ALWAYS = (TOOL, "flash.sh", "bootloader", "kernel/Image")
_RELEASE = "etc/nv_tegra_release"
_ASIDE = {"README.txt", "lost+found"}
"""What NVIDIA's empty rootfs folder may hold."""
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Bsp:
    """The folder, looked at."""

    folder: Path
    release: tuple[int, ...]
    """(36, 4, 0); empty where it is not told."""
    configs: tuple[str, ...]
    """Board configurations that are there, without `.conf`."""

    @property
    def told(self) -> str:
        """For people: `r36.4.0`."""
        return _told(self.release)


@dataclass(frozen=True, slots=True)
class System:
    """A root file system, in a folder or in a tar."""

    bytes: int
    """As ext4 would take them; 0: there is none."""
    release: tuple[int, ...]
    """L4T of NVIDIA's drivers in it; empty: none in it."""


def _told(release: tuple[int, ...]) -> str:
    return "r" + ".".join(map(str, release)) if release else "of no release that it tells"


def look(folder: Path) -> Bsp | None:
    """The folder; None where it is not NVIDIA's."""
    if not (folder / "tools" / "kernel_flash").is_dir() or not (folder / "nv_tegra").is_dir():
        return None
    configs = tuple(sorted(path.stem for path in folder.glob("*.conf")))
    return Bsp(folder, _bsp_release(folder), configs)


def _bsp_release(folder: Path) -> tuple[int, ...]:
    try:
        text = (folder / "nv_tegra" / "bsp_version").read_text(encoding="utf-8")
    except OSError:
        return ()
    parts = dict(re.findall(r"^BSP_(BRANCH|MAJOR|MINOR)=(\d+)", text, re.MULTILINE))
    names = ("BRANCH", "MAJOR", "MINOR")
    return tuple(int(parts[name]) for name in names) if all(name in parts for name in names) else ()


def parse_release(text: str) -> tuple[int, ...]:
    """(36, 4, 0) of `# R36 (release), REVISION: 4.0, …`; empty where it is not such a line."""
    match = re.search(r"R(\d+) \(release\), REVISION: (\d+)\.(\d+)", text)
    return tuple(int(part) for part in match.groups()) if match else ()


def system_in(folder: Path) -> System:
    """The root file system in a folder. Files that share an inode are counted once."""
    entries = [entry for entry in os.scandir(folder) if entry.name not in _ASIDE] if folder.is_dir() else []
    if not entries:
        return System(0, ())
    seen: set[int] = set()
    size = 0
    for place, folders, files in os.walk(folder):
        size += _BLOCK * (1 + len(folders))
        for name in files:
            status = os.lstat(os.path.join(place, name))  # noqa: PTH118
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                size += -(-status.st_size // _BLOCK) * _BLOCK
    try:
        release = parse_release((folder / _RELEASE).read_text(encoding="utf-8"))
    except OSError:
        release = ()
    return System(size, release)


def folder_problems(bsp: Bsp, board: Board, medium: Medium, config: str) -> list[Problem]:
    """What is wrong with the folder for that board."""
    found = []
    if not bsp.release or bsp.release[0] not in board.releases:
        wanted = " or ".join(f"r{major}" for major in board.releases)
        found.append(problem("wrong-release", found=bsp.told, title=board.title, wanted=wanted))
    needed = (*_ALWAYS, medium.template, *([board.qspi] if board.qspi and medium.name == "nvme" else []))
    found += [
        problem("missing-file", path=path, bsp=bsp.folder) for path in needed if not (bsp.folder / path).exists()
    ]
    if config not in bsp.configs:
        jetsons = [name for name in bsp.configs if name.startswith("jetson")] or list(bsp.configs)
        there = ", ".join(jetsons) or "none"
        found.append(problem("no-board-config", config=config, bsp=bsp.folder, there=there))
    return found


def release_problems(bsp: Bsp, system: System) -> list[Problem]:
    """Whether the drivers in the root file system are those of the folder; a release is (36, 4) of 36.4.3."""
    if not (system.release and bsp.release) or system.release[:2] == bsp.release[:2]:
        return []
    return [problem("rootfs-other-release", rootfs=_told(system.release), found=bsp.told)]
