"""Everything that can be found wrong before the board is touched."""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from flash_tool.boards import GIB, Board, Medium
from flash_tool.bsp import Bsp, System, folder_problems, look, release_problems, system_in
from flash_tool.image import Image, image_problems, system_in_tar
from flash_tool.layout import Layout, layout_problems
from flash_tool.problems import Problem, problem
from flash_tool.sizes import told
from flash_tool.usb import board_problems, connected

SLOT_FILL = 0.9
"""Share of a slot that files may take: ext4 keeps the rest for its tables and for root."""
_IMAGES_PER_SYSTEM, _IMAGES_BESIDE = 4, 2 * GIB
"""An estimate: NVIDIA's tool makes a raw image and a packed one of each slot, and the boot loader's."""
_TOOLS = {
    "xmlstarlet": "xmlstarlet", "sshpass": "sshpass", "abootimg": "abootimg", "zstd": "zstd",
    "dtc": "device-tree-compiler", "lbzip2": "lbzip2", "mkfs.vfat": "dosfstools", "exportfs": "nfs-kernel-server",
    "udevadm": "udev", "cpp": "cpp", "xmllint": "libxml2-utils", "qemu-aarch64-static": "qemu-user-static",
}  # fmt: skip
"""Command -> package, as NVIDIA's tools/l4t_flash_prerequisites.sh has them [HDR]."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be flashed to which board."""

    bsp: Path
    board: Board
    medium: Medium
    config: str
    slot_bytes: int
    disk_bytes: int
    image: Image | None = None

    @property
    def layout(self) -> Layout:
        """The partition table that it asks for."""
        return Layout(self.medium, self.slot_bytes, self.disk_bytes)


@dataclass(frozen=True, slots=True)
class Bench:
    """The machine that flashes."""

    sysfs: Path
    root: bool
    path: str
    """Where commands are looked for, as in PATH."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was looked at, and what is wrong. `system` is what will be flashed."""

    bsp: Bsp | None
    system: System
    problems: tuple[Problem, ...]


def this_bench(sysfs: Path) -> Bench:
    """The machine that this runs on."""
    return Bench(sysfs, os.geteuid() == 0, f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def examine(request: Request, bench: Bench) -> Findings:
    """All that is wrong, in the order in which it is mended best."""
    bsp = look(request.bsp)
    if bsp is None:
        return Findings(None, System(0, ()), (problem("no-bsp", bsp=request.bsp), *_bench_problems(request, bench)))
    found = folder_problems(bsp, request.board, request.medium, request.config)
    template = request.bsp / request.medium.template
    found += layout_problems(template, request.layout) if template.exists() else []
    system, wrong = _system(request)
    found += wrong + release_problems(bsp, system) + _room(request, system) + _bench_problems(request, bench)
    return Findings(bsp, system, tuple(found))


def _system(request: Request) -> tuple[System, list[Problem]]:
    """The root file system that will be flashed, and what is wrong with it."""
    rootfs = system_in(request.bsp / "rootfs")
    if request.image is None:
        if not rootfs.bytes:
            return rootfs, [problem("rootfs-empty", bsp=request.bsp)]
        return rootfs, [] if rootfs.release else [problem("rootfs-bare", bsp=request.bsp)]
    wrong = image_problems(request.image)
    if rootfs.bytes:
        wrong.append(problem("rootfs-taken", bsp=request.bsp))
    try:
        return system_in_tar(request.image.path), wrong
    except (OSError, tarfile.TarError) as error:
        said = {item.code for item in wrong}
        return System(0, ()), wrong if "no-image" in said else [
            *wrong, problem("no-image", image=request.image.path, why=error)
        ]  # fmt: skip


def _room(request: Request, system: System) -> list[Problem]:
    """Whether it fits into a slot, and the flash images into the folder."""
    found = []
    holds = int(request.slot_bytes * SLOT_FILL)
    if system.bytes > holds:
        slot = told(request.slot_bytes)
        found.append(problem("too-big", needs=told(system.bytes), slot=slot, holds=told(holds)))
    needs = _IMAGES_PER_SYSTEM * system.bytes + _IMAGES_BESIDE
    free = shutil.disk_usage(request.bsp).free
    if free < needs:
        found.append(problem("no-space", folder=request.bsp, free=told(free), needs=told(needs)))
    return found


def _bench_problems(request: Request, bench: Bench) -> list[Problem]:
    found = [
        problem("no-tool", tool=tool, package=package)
        for tool, package in _TOOLS.items()
        if not shutil.which(tool, path=bench.path)
    ]
    found += board_problems(request.board, connected(bench.sysfs))
    return found if bench.root else [*found, problem("not-root")]
