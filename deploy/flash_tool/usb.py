"""Which Jetsons are connected, read from sysfs: no lsusb, no root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flash_tool.boards import BOARDS, MODULES, RUNNING, VENDOR, Board
from flash_tool.problems import Problem, problem


@dataclass(frozen=True, slots=True)
class Connected:
    """A device of NVIDIA's on USB."""

    product: str
    port: str
    """As sysfs names it: `1-3`."""

    @property
    def told(self) -> str:
        """For people: module and port."""
        return f"{MODULES.get(self.product, f'{VENDOR}:{self.product}')} at {self.port}"


def connected(sysfs: Path) -> tuple[Connected, ...]:
    """NVIDIA's devices under `sysfs`/bus/usb/devices, by port."""
    found = []
    for device in sorted((sysfs / "bus" / "usb" / "devices").glob("*")):
        try:
            vendor, product = (device / "idVendor").read_text().strip(), (device / "idProduct").read_text().strip()
        except OSError:
            continue  # an interface, or gone in this moment
        if vendor == VENDOR:
            found.append(Connected(product.lower(), device.name))
    return tuple(found)


def board_problems(board: Board, devices: Sequence[Connected]) -> list[Problem]:
    """What keeps the one board that is to be flashed from being found."""
    ready = [device for device in devices if device.product in MODULES]
    if not ready:
        runs = any(device.product == RUNNING for device in devices)
        return [problem("board-runs" if runs else "no-board")]
    if len(ready) > 1:
        return [problem("two-boards", count=len(ready), which=", ".join(device.told for device in ready))]
    if ready[0].product in board.modules:
        return []
    right = next(other.name for other in BOARDS.values() if ready[0].product in other.modules)
    return [problem("wrong-board", module=MODULES[ready[0].product], title=board.title, right=right)]
