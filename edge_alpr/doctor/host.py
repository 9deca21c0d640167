"""Probes of the machine: board, Python, clock, store."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edge_alpr.config import Config
from edge_alpr.doctor.finding import Finding
from edge_alpr.sinks import schema
from edge_alpr.sinks.store import FILE
from edge_alpr.sinks.trouble import translated

L4T_RELEASE = Path("/etc/nv_tegra_release")
DEVICE_TREE_MODEL = Path("/proc/device-tree/model")
_LOW_BYTES = 1 << 30
_UNSYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2): nobody keeps the clock right."""
_TIMEX_BYTES = 1024
"""More than any kernel's struct timex; all zero asks without setting."""
_BUSY_S = 2.0


def board(config: Config) -> Iterator[Finding]:
    """A Jetson or a PC, with its cores and memory."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    common = f"{platform.machine()}, {os.cpu_count()} cores, {size:.0f} GB"
    if not L4T_RELEASE.exists():
        yield Finding("board", "ok", f"PC, {common}")
        return
    release = L4T_RELEASE.read_text(encoding="utf-8").splitlines()[0].strip("# ")
    model = DEVICE_TREE_MODEL.read_text(encoding="utf-8").strip("\0\n") if DEVICE_TREE_MODEL.exists() else "Jetson"
    yield Finding("board", "ok", f"{model}, {common}, L4T {release}")


def python(config: Config) -> Iterator[Finding]:
    """The interpreter, and whether its environment sees the distribution's packages."""
    version = platform.python_version()
    if sys.prefix == sys.base_prefix:
        yield Finding("Python", "ok", f"{version}, no virtual environment")
    elif _sees_system(Path(sys.prefix) / "pyvenv.cfg"):
        yield Finding("Python", "ok", f"{version}, virtual environment with the system's packages")
    else:
        what = f"{version}, its virtual environment does not see the system's packages (GStreamer's binding)"
        remedy = f"python3 -m venv --system-site-packages {sys.prefix}  # then install edge-alpr there again"
        yield Finding("Python", "limited", what, remedy)


def _sees_system(cfg: Path) -> bool:
    lines = cfg.read_text(encoding="utf-8").lower().splitlines()
    return "include-system-site-packages=true" in {line.replace(" ", "") for line in lines}


def clock(config: Config) -> Iterator[Finding]:
    """Whether the kernel knows its clock to be kept right; event times are wrong where it is not."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    remedy = "sudo timedatectl set-ntp true"
    if 0 <= state < _UNSYNCHRONISED:
        yield Finding("clock", "ok", "synchronised")
    elif state == _UNSYNCHRONISED:
        yield Finding("clock", "limited", "not synchronised: times of events may be wrong", remedy)
    else:
        yield Finding("clock", "limited", "the system does not tell whether it is synchronised", remedy)


def store(config: Config) -> Iterator[Finding]:
    """Whether events can be written where the configuration says, and what is there is whole."""
    folder = Path(config.store.path).expanduser()
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with translated(folder):
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        free = shutil.disk_usage(nearest).free
    path = folder / FILE
    if path.exists():
        with translated(path):
            schema.inspect(path, _BUSY_S)
    if free < _LOW_BYTES:
        what, remedy = f"{folder}: only {free / 1e6:.0f} MB free", f"make room, or set store.path: du -sh {folder}"
        yield Finding("store", "limited", what, remedy)
    else:
        yield Finding("store", "ok", f"{folder}: writable, {free / 1e9:.0f} GB free")
