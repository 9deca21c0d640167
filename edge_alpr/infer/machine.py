"""What a machine is, as far as a TensorRT plan depends on it."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_alpr.errors import BuildError

LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76
"""CUDA's attributes for the compute capability."""
_NAME_BYTES = 256
_RELEASE = re.compile(r"#\s*R(\d+).*?REVISION:\s*([\d.]+)")
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


def examine_machine(root: Path = Path("/"), cuda: Any = None) -> Machine:
    """Ask the driver of the first GPU (`cuda` stands in for its library) and the files under `root`.

    Raises `BuildError` where there is no driver or no GPU.
    """
    driver = cuda or _library()
    _call(driver, "cuInit", 0)
    count, version, device, major, minor = (ctypes.c_int() for _ in range(5))
    _call(driver, "cuDeviceGetCount", ctypes.byref(count))
    if count.value < 1:
        raise BuildError("CUDA finds no GPU; is it given to this container? (--runtime nvidia)")
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _call(driver, "cuDeviceGet", ctypes.byref(device), 0)
    _call(driver, "cuDeviceGetName", name, _NAME_BYTES, device)
    _call(driver, "cuDeviceGetAttribute", ctypes.byref(major), _MAJOR, device)
    _call(driver, "cuDeviceGetAttribute", ctypes.byref(minor), _MINOR, device)
    _call(driver, "cuDriverGetVersion", ctypes.byref(version))
    return Machine(
        gpu=name.value.decode("utf-8", "replace"),
        sm=f"{major.value}.{minor.value}",
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        driver=driver_version(root),
        l4t=l4t_release(root),
    )


def l4t_release(root: Path = Path("/")) -> str:
    """`36.4.0` from `# R36 (release), REVISION: 4.0, …`; empty where there is no such file."""
    found = _RELEASE.search(_text(root / "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else ""


def driver_version(root: Path = Path("/")) -> str:
    """The kernel module's version, e.g. `540.4.0`."""
    found = _DRIVER.search(_text(root / "proc/driver/nvidia/version").partition("\n")[0])
    return found[1] if found else ""


def _library() -> Any:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise BuildError(
            f"there is no NVIDIA driver here ({LIBRARY} cannot be loaded); install it, or run on the board"
        ) from error


def _call(driver: Any, function: str, *arguments: Any) -> None:
    status = getattr(driver, function)(*arguments)
    if status:
        raise BuildError(f"the GPU does not answer: {function} gives {status}; see edge-alpr doctor")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
