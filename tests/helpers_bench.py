"""A flashing bench in a folder: a stand-in of NVIDIA's Linux_for_Tegra, USB as sysfs shows it, and the host's tools."""

from __future__ import annotations

from pathlib import Path

from flash_tool.boards import BOARDS, GIB
from flash_tool.check import _TOOLS, Bench, Request

RELEASE = "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic, EABI: aarch64\n"
_RECORDER = """#!/bin/sh
{
    printf '%s\\n' "$@" "ROOTFS_AB=$ROOTFS_AB" "ROOTFS_RETRY_COUNT_MAX=$ROOTFS_RETRY_COUNT_MAX"
    pwd
} >flashed
echo "$0: writing APP"
"""


def partition(name: str, size: str, *, kind: str = "data", number: str = "", more: str = "") -> str:
    """One <partition>, laid out as those of NVIDIA's tables."""
    id_ = f' id="{number}"' if number else ""
    return (
        f'<partition name="{name}"{id_} type="{kind}"><allocation_policy> sequential </allocation_policy>'
        f"<size> {size} </size><allocation_attribute> 8 </allocation_attribute>{more}</partition>\n"
    )


def template(device: str, sectors: str) -> str:
    """A table for two root file systems in the order and with the keywords that r36's have."""
    slots = [partition("APP", "APPSIZE", number="1"), partition("APP_b", "APPSIZE", number="2")]
    names = ("A_kernel-dtb", "A_reserved_on_user", "B_kernel", "B_kernel-dtb", "B_reserved_on_user", "RECNAME")
    parts = [
        partition("master_boot_record", "512", kind="protective_master_boot_record"),
        partition("primary_gpt", "19968", kind="primary_gpt"),
        partition("A_kernel", "134217728", kind="kernel", number="3"),
        *(partition(name, "RECSIZE" if name == "RECNAME" else "33161216") for name in names),
        partition("esp", "67108864"), partition("UDA", "419430400"), *slots,
        partition("secondary_gpt", "0xFFFFFFFFFFFFFFFF", kind="secondary_gpt"),
    ]  # fmt: skip
    boot = '<device type="spi" instance="0">\n' + partition("BCT", "1048576") + "</device>"
    user = f'<device type="{device}" instance="0" sector_size="512" num_sectors="{sectors}">\n{"".join(parts)}</device>'
    start = '<?xml version="1.0"?>\n<!-- a licence -->\n<partition_layout version="01.00.0000">'
    return f"{start}\n{boot}\n{user}\n</partition_layout>"


class World:
    """The bench: all is well with it until a test spoils something."""

    def __init__(self, folder: Path) -> None:
        self.bsp, self.sysfs, self.tools = folder / "Linux_for_Tegra", folder / "sys", folder / "bin"
        self.board = BOARDS["orin-nano"]
        for medium in (medium for board in BOARDS.values() for medium in board.media):
            self.write(medium.template, template(medium.device, "EXT_NUM_SECTORS"))
        for path in ("flash.sh", "kernel/Image", self.board.qspi, "apply_binaries.sh"):
            self.write(path, "#!/bin/sh\ntouch applied\n")
        self.write("rootfs/README.txt", "unpack it here")
        self.write("rootfs/etc/nv_tegra_release", RELEASE)
        self.release(36, 4, 3)
        for name in ("jetson-orin-nano-devkit", "jetson-agx-orin-devkit", "jetson-agx-thor-devkit"):
            self.write(f"{name}.conf", "")
        self.flasher(_RECORDER)
        (self.bsp / "apply_binaries.sh").chmod(0o755)
        self.plug("7523")
        self.tools.mkdir()
        for tool in _TOOLS:
            (self.tools / tool).write_text("")
            (self.tools / tool).chmod(0o755)

    def write(self, path: str, text: str) -> None:
        """A file of the BSP folder."""
        (self.bsp / path).parent.mkdir(parents=True, exist_ok=True)
        (self.bsp / path).write_text(text)

    def release(self, *numbers: int) -> None:
        """L4T of the folder, as NVIDIA writes it there."""
        parts = zip(("BRANCH", "MAJOR", "MINOR"), numbers, strict=True)
        self.write("nv_tegra/bsp_version", "# a licence\n" + "".join(f"BSP_{name}={part}\n" for name, part in parts))

    def flasher(self, script: str) -> None:
        """What stands for NVIDIA's tool."""
        self.write("tools/kernel_flash/l4t_initrd_flash.sh", script)
        (self.bsp / "tools/kernel_flash/l4t_initrd_flash.sh").chmod(0o755)

    def plug(self, *products: str) -> None:
        """Connect these, with a hub and an interface that have other files; what was there is unplugged."""
        for file in self.sysfs.glob("bus/usb/devices/*/id*"):
            file.unlink()
        for port, (vendor, product) in enumerate([("1d6b", "0002"), *(("0955", product) for product in products)]):
            device = self.sysfs / "bus" / "usb" / "devices" / f"1-{port}"
            device.mkdir(parents=True, exist_ok=True)
            (device / "idVendor").write_text(f"{vendor}\n")
            (device / "idProduct").write_text(f"{product}\n")
        (self.sysfs / "bus" / "usb" / "devices" / "1-0:1.0").mkdir(exist_ok=True)

    def request(self, board: str = "", medium: str = "nvme", **more: object) -> Request:
        """A request for it."""
        kind = BOARDS[board] if board else self.board
        place = next(place for place in kind.media if place.name == medium)
        facts = {"config": kind.config, "slot_bytes": 12 * GIB, "disk_bytes": place.disk_bytes, **more}
        return Request(self.bsp, kind, place, **facts)  # type: ignore[arg-type]

    def bench(self, *, root: bool = True) -> Bench:
        """The machine."""
        return Bench(self.sysfs, root, str(self.tools))
