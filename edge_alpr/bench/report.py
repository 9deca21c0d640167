"""What was measured, as it is written to JSON and read back."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from edge_alpr import __version__
from edge_alpr.bench.process import ThreadLoad
from edge_alpr.device.host import Processor
from edge_alpr.errors import ConfigError

VERSION = 1
SHARES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
_PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime")
_FEW = 100


class Times(msgspec.Struct, frozen=True):
    """Milliseconds a frame, over the `count` frames in which the stage had something to do."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class Setting(msgspec.Struct, frozen=True):
    """What was asked for."""

    source: str
    pace: Literal["live", "fast"]
    plates: int | None
    width: int
    height: int
    threads: int
    tier: str
    warm_up_s: float
    duration_s: float | None
    cameras: int = 1


class CameraReport(msgspec.Struct, frozen=True):
    """One of several cameras; `age` of its frames at their turn, where it is live."""

    frames: int
    dropped: int
    age: Times | None


class Machine(msgspec.Struct, frozen=True):
    """Where it ran; None where the machine does not tell."""

    board: str
    power_of: str
    """What `Report.watts` are of."""
    power_mode: str | None
    cpu: str
    cores: int
    governor: str | None
    turbo: bool | None
    versions: dict[str, str]


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement; None is what is not available. `cpu_percent` is of one core, all threads together."""

    setting: Setting
    machine: Machine
    models: dict[str, str]
    frames: int
    dropped: int
    seconds: float
    fps: float
    found_per_frame: float
    reads_per_frame: float
    stages: dict[str, Times]
    cpu_percent: float | None
    threads: list[ThreadLoad]
    rss_mb: float | None
    load_s: float | None
    first_read_s: float | None
    watts: float | None
    celsius: float | None
    mj_per_frame: float | None
    warnings: list[str]
    version: int = VERSION
    cameras: dict[str, CameraReport] = {}
    """By their ids, where there were several; `frames` and `fps` are of all of them together."""


def times(values: Sequence[float]) -> Times:
    """The percentiles of some milliseconds; there must be some."""
    found = np.percentile(np.asarray(values, np.float64), list(SHARES.values()))
    return Times(len(values), *(round(float(one), 3) for one in found))


def versions(gstreamer: str) -> dict[str, str]:
    """Of ourselves and of what does the work."""
    found = {"edge-alpr": __version__, "python": platform.python_version(), "gstreamer": gstreamer}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def warnings(processor: Processor, setting: Setting, frames: int, reads: float) -> list[str]:
    """What makes the figures worth less than they look."""
    found = []
    if processor.governor is not None and processor.governor != "performance":
        found.append(f"the governor is {processor.governor}: clocks move; sudo cpupower frequency-set -g performance")
    if processor.turbo:
        found.append("turbo is on: the first seconds are faster than the rest; measure longer, or turn it off")
    if os.getloadavg()[0] > processor.cores + 1:
        found.append(f"load average {os.getloadavg()[0]:.1f} on {processor.cores} cores: others were at work too")
    if frames < _FEW:
        found.append(f"only {frames} frames: p99 is near the worst of them; measure longer with --duration")
    if setting.plates is not None and reads < 0.98 * setting.plates:
        found.append(f"of {setting.plates} plates drawn {reads:.2f} a frame were read")
    return found


def write_json(report: Report, file: Path) -> None:
    """Write it. Raises `ConfigError` where that cannot be done."""
    try:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror or error}; name another file") from error


def read_json(file: Path) -> Report:
    """Read one back. Raises `ConfigError` for what is no report of ours."""
    try:
        report = msgspec.json.decode(file.read_bytes(), type=Report)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file}: not a report of `edge-alpr bench --json`: {error}") from error
    if report.version != VERSION:
        raise ConfigError(f"{file}: a report of version {report.version}, not {VERSION}; measure again")
    return report
