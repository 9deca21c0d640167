"""NVIDIA Jetson: INA3221 power monitor, thermal zones, nvpmodel. The paths are documented, not tried on a board yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edge_alpr.device import sysfs
from edge_alpr.device.board import BoardReading

WHOLE_BOARD = "VDD_IN"
"""The rail that feeds everything. Boards without it have none that does: their other rails are not summed."""
USUAL_THROTTLE_C = 95.0
"""Where the kernel tells no trip point; Orin modules have it at 99."""
_MONITORS = ("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*", "sys/class/hwmon/hwmon*")
_MODEL = "proc/device-tree/model"
_MODE = re.compile(r"POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)")
_STATUS = re.compile(r"pmode:(\d+)")


def is_jetson(root: Path) -> bool:
    """Whether the tree under `root` is that of a Jetson."""
    return (root / "etc/nv_tegra_release").exists() or "Jetson" in (sysfs.text(root / _MODEL) or "")


class Jetson:
    """A `Board`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._meter = next(_rails(root, WHOLE_BOARD), None)

    @property
    def name(self) -> str:
        """As the device tree tells."""
        return sysfs.text(self._root / _MODEL) or "Jetson"

    @property
    def rail(self) -> str:
        """The whole board, where it has a meter for that."""
        return f"whole board ({WHOLE_BOARD})" if self._meter else ""

    @property
    def throttles_c(self) -> float | None:
        """The kernel's trip point, or a careful guess."""
        return sysfs.throttles(self._root) or USUAL_THROTTLE_C

    def read(self) -> BoardReading:
        """Read the sensors."""
        return BoardReading(self._watts(), sysfs.hottest(sysfs.zones(self._root)), self._mode())

    def _watts(self) -> float | None:
        if self._meter is None:
            return None
        millivolts, milliamperes = (sysfs.number(path) for path in self._meter)
        return None if millivolts is None or milliamperes is None else millivolts * milliamperes / 1e6

    def _mode(self) -> str | None:
        """The name of the mode that nvpmodel was set to; its default mode is not taken for the one that runs."""
        status = _STATUS.search(sysfs.text(self._root / "var/lib/nvpmodel/status") or "")
        if status is None:
            return None
        names = {int(n): name for n, name in _MODE.findall(sysfs.text(self._root / "etc/nvpmodel.conf") or "")}
        return names.get(int(status[1]))


def _rails(root: Path, wanted: str) -> Iterator[tuple[Path, Path]]:
    """Voltage (mV) and current (mA) files of each rail with that label."""
    for pattern in _MONITORS:
        for folder in sorted(root.glob(pattern)):
            for label in sorted(folder.glob("in*_label")):
                if sysfs.text(label) == wanted:
                    channel = label.name.removeprefix("in").removesuffix("_label")
                    yield folder / f"in{channel}_input", folder / f"curr{channel}_input"
