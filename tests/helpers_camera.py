"""Small videos, made by GStreamer itself, and an RTSP camera in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from helpers_parts import missing

from edge_alpr.camera import open_source
from edge_alpr.camera.bindings import gst
from edge_alpr.config import SourceConfig
from edge_alpr.errors import MissingElementError
from edge_alpr.ports import FrameSource
from edge_alpr.types import Frame, Luma, SourceCounters, SourceInfo

SOLID = "videotestsrc pattern=solid-color foreground-color=0xff{grey:02x}{grey:02x}{grey:02x}"
GREY = 200
"""sRGB grey of the solid clips; `GREY_LUMA` is its luma in the limited range of video."""
GREY_LUMA = 16 + GREY * 219 / 255

H264 = "x264enc speed-preset=ultrafast key-int-max=15 ! h264parse"
BYTES = f"{H264} ! video/x-h264,stream-format=byte-stream"
H265 = "x265enc speed-preset=ultrafast ! h265parse"
MJPEG = "jpegenc"


def need_elements(*names: str) -> None:
    """Skip, visibly, where GStreamer or one of these elements is not installed."""
    try:
        absent = [name for name in names if gst().ElementFactory.find(name) is None]
    except MissingElementError as error:
        missing(str(error))
    if absent:
        missing(f"GStreamer's {', '.join(absent)} not installed")


def run_pipeline(text: str) -> None:
    """Run a pipeline to its end."""
    pipeline = gst().parse_launch(text)
    pipeline.set_state(gst().State.PLAYING)
    kinds = gst().MessageType.EOS | gst().MessageType.ERROR
    message = pipeline.get_bus().timed_pop_filtered(60 * gst().SECOND, kinds)
    pipeline.set_state(gst().State.NULL)
    assert message is not None and message.type == gst().MessageType.EOS, (text, message and message.parse_error())


@dataclass(frozen=True)
class Clip:
    """What to film. `source` and `encoder` are pipeline text."""

    frames: int = 30
    width: int = 320
    height: int = 240
    source: str = "videotestsrc pattern=ball"
    raw_format: str = "I420"
    encoder: str = H264
    muxer: str = "mp4mux"
    rate: int = 30


def film(path: Path, clip: Clip = Clip()) -> Path:
    """Make a video file."""
    need_elements(clip.encoder.split()[0], clip.muxer.split()[0])
    caps = f"video/x-raw,format={clip.raw_format},width={clip.width},height={clip.height},framerate={clip.rate}/1"
    source = f"{clip.source} num-buffers={clip.frames} ! {caps}"
    run_pipeline(f'{source} ! {clip.encoder} ! {clip.muxer} ! filesink location="{path}"')
    return path


def opened(uri: Path | str, **settings: float) -> FrameSource:
    """The source of a URI with the settings of its configuration."""
    return open_source(SourceConfig(uri=str(uri), **settings))  # type: ignore[arg-type]


class Around:
    """A `FrameSource` around another one; a test overrides `__iter__` to look at what passes."""

    def __init__(self, source: FrameSource) -> None:
        self.inner = source

    @property
    def info(self) -> SourceInfo:
        return self.inner.info

    @property
    def counters(self) -> SourceCounters:
        return self.inner.counters

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.inner)

    def close(self) -> None:
        self.inner.close()

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.inner.__exit__(kind, error, trace)


def frames_of(uri: Path | str) -> list[Frame]:
    """All frames of a source, with pixels of their own."""
    with opened(uri) as source:
        return [copied(frame) for frame in source]


def copied(frame: Frame) -> Frame:
    """A frame that may be kept."""
    return Frame(
        luma=frame.luma.copy(),
        index=frame.index,
        stamp_ns=frame.stamp_ns,
        epoch_ms=frame.epoch_ms,
        camera_id=frame.camera_id,
        chroma=tuple(plane.copy() for plane in frame.chroma),
        origin=frame.origin,
    )


def mean_error(luma: Luma, expected: float) -> float:
    """Mean distance of all pixels from a grey."""
    return float(np.abs(luma.astype(np.float32) - expected).mean())


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


_SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1"); server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(sys.argv[2]); factory.set_shared(True)
server.get_mount_points().add_factory("/front", factory)
assert server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""

FILM = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width={width},height={height},framerate=30/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 )"
)


class RtspCamera:
    """An RTSP server on loopback that can be killed, started again, frozen and thawed."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def uri(self) -> str:
        """Where its stream is."""
        return f"rtsp://127.0.0.1:{self.port}/front"

    def start(self, width: int = 320, height: int = 240) -> None:
        """On a free port the first time, then on the same one."""
        command = [sys.executable, "-c", _SERVER, str(self.port), FILM.format(width=width, height=height)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """As if its cable was cut off."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """It stays connected and sends nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def rtsp_camera() -> Iterator[RtspCamera]:
    """A running camera; skipped, visibly, where the RTSP server of GStreamer is not installed."""
    need_elements("rtspsrc", "x264enc", "rtph264pay")
    import gi  # noqa: PLC0415

    try:
        gi.require_version("GstRtspServer", "1.0")
    except ValueError:
        missing("gir1.2-gst-rtsp-server-1.0 not installed")
    camera = RtspCamera()
    camera.start()
    try:
        yield camera
    finally:
        camera.kill()


def wait_until(done: float) -> None:
    """Sleep until a monotonic time."""
    time.sleep(max(0.0, done - time.monotonic()))
