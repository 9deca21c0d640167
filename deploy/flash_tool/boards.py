"""The boards that can be flashed, and what NVIDIA calls them.

Nothing here was tried on a board: [DOC] was read in documentation, [HDR] in NVIDIA's own scripts and tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

GIB = 1 << 30
VENDOR = "0955"
"""NVIDIA's USB vendor id."""
RUNNING = "7020"
"""A Jetson that has started its system and is not in recovery mode [DOC]."""


@dataclass(frozen=True, slots=True)
class Medium:
    """A disk of a board that takes the root file systems, with NVIDIA's table for two of them."""

    name: str
    template: str
    """NVIDIA's partition table, from the BSP folder [HDR: names and content in r36.2 and r39.2]."""
    device: str
    """`type` of the <device> in it."""
    disk_bytes: int
    """What NVIDIA takes for the smallest disk [HDR]."""
    node: str
    """The disk's name on the board."""


@dataclass(frozen=True, slots=True)
class Board:
    """A kind of board by the name that updates and recipes call it too."""

    name: str
    title: str
    config: str
    """NVIDIA's board configuration, without `.conf`: that of the developer kit's carrier."""
    modules: Mapping[str, str]
    """USB product id in recovery mode -> module."""
    media: tuple[Medium, ...]
    """The first is the usual one."""
    releases: tuple[int, ...] = (36, 39)
    """Major numbers of L4T."""
    qspi: str = ""
    """The boot loader's own table, where it has to be named."""
    rootdev: Mapping[str, str] = field(default_factory=dict)
    """Medium -> NVIDIA's last argument."""


_KERNEL, _CFG = "tools/kernel_flash", "bootloader/generic/cfg"
_NVME = Medium("nvme", f"{_KERNEL}/flash_l4t_t234_nvme_rootfs_ab.xml", "external", 57 * GIB, "nvme0n1")
_EMMC = Medium("emmc", f"{_CFG}/flash_t234_qspi_sdmmc_rootfs_ab.xml", "sdmmc_user", 57 * GIB, "mmcblk0")
_THOR_NVME = Medium("nvme", f"{_KERNEL}/flash_l4t_t264_nvme_rootfs_ab.xml", "external", 234 * GIB, "nvme0n1")
_QSPI = f"{_CFG}/flash_t234_qspi.xml"

BOARDS = {
    board.name: board
    for board in (
        Board(
            "orin-nano", "Jetson Orin Nano", "jetson-orin-nano-devkit",
            {"7523": "Orin Nano 8 GB", "7623": "Orin Nano 4 GB"}, (_NVME,), qspi=_QSPI, rootdev={"nvme": "internal"},
        ),
        Board(
            "orin-nx", "Jetson Orin NX", "jetson-orin-nano-devkit",
            {"7323": "Orin NX 16 GB", "7423": "Orin NX 8 GB"}, (_NVME,), qspi=_QSPI, rootdev={"nvme": "internal"},
        ),
        Board(
            "agx-orin", "Jetson AGX Orin", "jetson-agx-orin-devkit",
            {"7023": "AGX Orin 64 GB", "7223": "AGX Orin 32 GB"}, (_NVME, _EMMC),
            qspi=_QSPI, rootdev={"nvme": "external", "emmc": "internal"},
        ),
        Board(
            "thor", "Jetson AGX Thor", "jetson-agx-thor-devkit", {"7026": "AGX Thor"}, (_THOR_NVME,),
            releases=(39,), rootdev={"nvme": "external"},
        ),
    )
}  # fmt: skip
MODULES = {product: module for board in BOARDS.values() for product, module in board.modules.items()}
