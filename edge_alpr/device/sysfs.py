"""Small files of the kernel, which may be missing, closed to us, or fail while they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

COLDEST_C = -100.0
"""Zones that are switched off state less (-256)."""
TRIPS_C = (80.0, 110.0)
"""Trip points outside are none at which a processor is slowed down: unset (0), or of another part of the board."""


def text(path: Path) -> str | None:
    """The content without blanks and zero bytes around it; None where it cannot be read or is empty."""
    try:
        content = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return content.strip("\0 \t\r\n") or None


def number(path: Path) -> int | None:
    """A whole number; None where there is none."""
    content = text(path)
    try:
        return None if content is None else int(content)
    except ValueError:
        return None


def hottest(paths: Iterable[Path]) -> float | None:
    """The highest of these files of millidegrees, in degrees Celsius; None where none can be read."""
    degrees = (value / 1e3 for path in paths if (value := number(path)) is not None)
    return max((one for one in degrees if one > COLDEST_C), default=None)


def zones(root: Path) -> Iterator[Path]:
    """The temperatures of all thermal zones."""
    return root.glob("sys/class/thermal/thermal_zone*/temp")


def throttles(root: Path) -> float | None:
    """The lowest trip point at which the kernel cools a thermal zone by slowing down, in degrees Celsius."""
    kinds = root.glob("sys/class/thermal/thermal_zone*/trip_point_*_type")
    passive = (kind.with_name(kind.name.removesuffix("type") + "temp") for kind in kinds if text(kind) == "passive")
    degrees = (value / 1e3 for path in passive if (value := number(path)) is not None)
    return min((one for one in degrees if TRIPS_C[0] <= one <= TRIPS_C[1]), default=None)
