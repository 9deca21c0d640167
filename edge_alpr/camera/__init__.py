"""Frame sources: recordings, live cameras and folders of frames, behind `open_source`."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edge_alpr.camera.bindings import installed
from edge_alpr.camera.decoders import require
from edge_alpr.camera.folder import Folder, picture_names
from edge_alpr.camera.lender import DeviceFrames
from edge_alpr.camera.live import Camera, Live, redact
from edge_alpr.camera.offers import offers
from edge_alpr.camera.pictures import is_picture
from edge_alpr.camera.pipelines import Plan, csi_plan, rtsp_plan, v4l2_plan
from edge_alpr.camera.recording import Recording
from edge_alpr.camera.trouble import BrokenError
from edge_alpr.config import SourceConfig
from edge_alpr.errors import ConfigError, SourceError, SourceNotFoundError
from edge_alpr.ports import FrameSource
from edge_alpr.types import Memory

WallClock = Callable[[], int]
Opener = Callable[[str, SourceConfig, WallClock, "DeviceFrames | None"], FrameSource]
"""Opens what stands behind `scheme://` in a URI."""


def wall_ms() -> int:
    """The computer's own clock: UTC, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def open_source(
    config: SourceConfig, wall_clock: WallClock = wall_ms, device: DeviceFrames | None = None
) -> FrameSource:
    """Open the source that `config.uri` names. The caller closes it: use it as a context manager.

    With `device` its frames lie in that memory; those of still pictures always lie in system memory.
    Raises `ConfigError` for a scheme that is not known, and what the source's own class says.
    """
    scheme, separator, rest = config.uri.partition("://")
    if not separator:
        return _open_path(Path(config.uri), config, wall_clock, device)
    if scheme.lower() not in SOURCES:
        known = ", ".join(f"{name}://" for name in SOURCES)
        raise ConfigError(f"{redact(config.uri)}: unknown kind of source; use a path or one of {known}")
    return SOURCES[scheme.lower()](rest, config, wall_clock, device)


def _open_path(path: Path, config: SourceConfig, clock: WallClock, device: DeviceFrames | None) -> FrameSource:
    path = path.expanduser()
    if path.is_dir():
        return Folder(path, picture_names(path), config.uri, config.camera_id, clock)
    if path.is_file() and is_picture(path):
        return Folder(path.parent, [path.name], config.uri, config.camera_id, clock)
    return Recording(path, config.uri, config.camera_id, clock, device)


def _open_file(rest: str, config: SourceConfig, clock: WallClock, device: DeviceFrames | None) -> FrameSource:
    return _open_path(Path(unquote(rest.removeprefix("localhost"))), config, clock, device)


def _open_dir(rest: str, config: SourceConfig, clock: WallClock, _device: DeviceFrames | None) -> FrameSource:
    folder = Path(rest).expanduser()
    return Folder(folder, picture_names(folder), config.uri, config.camera_id, clock)


def _open_sample(rest: str, config: SourceConfig, clock: WallClock, device: DeviceFrames | None) -> FrameSource:
    path = Path(str(files("edge_alpr.samples") / f"{rest}.mp4"))
    if not rest.isidentifier() or not path.is_file():
        raise SourceNotFoundError(f"{config.uri}: this installation has no such sample; there is: sample://drive")
    return Recording(path, config.uri, config.camera_id, clock, device)


def _open_rtsp(_rest: str, config: SourceConfig, clock: WallClock, device: DeviceFrames | None) -> FrameSource:
    if not urlsplit(config.uri).hostname:
        raise ConfigError(f"{redact(config.uri)}: names no host; write rtsp://HOST[:PORT]/PATH")
    require(("rtspsrc",), installed(), "a network camera")

    def plan(_convert: bool) -> Plan:
        return rtsp_plan(config.uri, config.latency_ms, config.stall_s, _memory(device))

    advice = "check its power, its cable, the address and the password"
    return Live(Camera(redact(config.uri), plan, advice), config, clock, device)


def _open_v4l2(rest: str, config: SourceConfig, clock: WallClock, device: DeviceFrames | None) -> FrameSource:
    require(("v4l2src",), installed(), "a USB camera")

    def plan(convert: bool) -> Plan:
        if not Path(rest).exists():
            raise SourceNotFoundError(f"{config.uri}: there is no {rest}; there are: {_video_devices()}")
        return v4l2_plan(rest, offers("v4l2src", rest), installed(), convert=convert, memory=_memory(device))

    try:
        plan(False)
    except BrokenError as error:
        raise SourceError(f"{config.uri}: {error}; free it, or: sudo usermod -aG video $USER") from error
    return Live(Camera(config.uri, plan, "check its cable and: ls -l /dev/video*"), config, clock, device)


def _open_csi(rest: str, config: SourceConfig, clock: WallClock, device: DeviceFrames | None) -> FrameSource:
    if not rest.isdecimal():
        raise ConfigError(f"{config.uri}: names no sensor; write csi://0 for the first")
    plan = csi_plan(int(rest), _memory(device))
    require(plan.needs, installed(), "a CSI camera (Jetson only)")
    advice = "check its ribbon cable and: sudo systemctl restart nvargus-daemon"
    return Live(Camera(config.uri, lambda _convert: plan, advice), config, clock, device)


def _memory(device: DeviceFrames | None) -> Memory:
    return Memory.SYSTEM if device is None else device.memory


def _video_devices() -> str:
    return ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "no cameras at all"


SOURCES: dict[str, Opener] = {
    "file": _open_file,
    "dir": _open_dir,
    "rtsp": _open_rtsp,
    "rtsps": _open_rtsp,
    "v4l2": _open_v4l2,
    "csi": _open_csi,
    "sample": _open_sample,
}
