"""What a machine is, as far as a TensorRT plan depends on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.errors import BuildError, GpuError
from edge_alpr.infer.driver import Driver, open_driver
from edge_alpr.l4t import l4t_release

_MAJOR, _MINOR = 75, 76
"""CUDA's attributes for the compute capability."""
_NAME_BYTES = 256
_DRIVER = re.compile(r"\b(\d+\.\d+(?:\.\d+)?)\b")


@dataclass(frozen=True, slots=True)
class Machine:
    """Text is empty where the machine does not tell."""

    gpu: str
    sm: str
    """Compute capability, e.g. `8.7`."""
    cuda: str
    driver: str
    l4t: str
    """Release of the Jetson's system, e.g. `36.4.0`; empty on any other machine."""


def examine_machine(root: Path = Path("/"), driver: Driver | None = None) -> Machine:
    """Ask the driver of the first GPU, this machine's or another, and the files under `root`.

    Raises `BuildError` where there is no driver or no GPU.
    """
    try:
        driver = driver or open_driver()
        driver.call("cuInit", 0)
        if driver.call("cuDeviceGetCount") < 1:
            raise BuildError("CUDA finds no GPU; is it given to this container? (--runtime nvidia)")
        device = driver.call("cuDeviceGet", 0)
        name = driver.call("cuDeviceGetName", _NAME_BYTES, device)
        major, minor = (driver.call("cuDeviceGetAttribute", number, device) for number in (_MAJOR, _MINOR))
        version = driver.call("cuDriverGetVersion")
    except GpuError as error:
        raise BuildError(f"no plan can be built here: {error}") from error
    return Machine(
        gpu=name.decode("utf-8", "replace"),
        sm=f"{major}.{minor}",
        cuda=f"{version // 1000}.{version % 1000 // 10}",
        driver=driver_version(root),
        l4t=l4t_release(root / "etc/nv_tegra_release"),
    )


def driver_version(root: Path = Path("/")) -> str:
    """The kernel module's version, e.g. `540.4.0`."""
    found = _DRIVER.search(_text(root / "proc/driver/nvidia/version").partition("\n")[0])
    return found[1] if found else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
