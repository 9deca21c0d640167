"""Probes of everything between a camera and a decoded picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from edge_alpr.camera import open_source
from edge_alpr.camera.bindings import gst, installed
from edge_alpr.camera.decoders import CODECS, DEMUXERS, LUMA_CONVERTER, choose, package_of, software_decoder
from edge_alpr.config import Config, SourceConfig
from edge_alpr.doctor.finding import Finding, from_error
from edge_alpr.errors import SourceCorruptError, SourceNotFoundError

DEVICES = Path("/dev")


def gstreamer(config: Config) -> Iterator[Finding]:
    """The libraries, their Python binding, and what every pipeline needs."""
    version = gst().version_string().removeprefix("GStreamer ")
    needs = ("filesrc", "typefind", "identity", "appsink", LUMA_CONVERTER)
    yield _judged("GStreamer", needs, f"{version}, with its Python binding")


def recordings(config: Config) -> Iterator[Finding]:
    """What takes the files of recordings apart."""
    yield _judged("recordings", sorted(set(DEMUXERS.values())), "MP4, Matroska, AVI, FLV, MPEG-TS and MPEG-PS")


def decoders(config: Config) -> Iterator[Finding]:
    """For each codec, the decoder that is taken here."""
    found = installed()
    for codec in CODECS:
        decoder = choose(codec, found) or software_decoder(codec)
        yield _judged(codec.name, (codec.parser, decoder.element), f"decoded by {decoder.element}")


def rtsp(config: Config) -> Iterator[Finding]:
    """What `rtsp://` takes."""
    elements = ("rtspsrc", *(codec.depayloader for codec in CODECS))
    yield _judged("network camera", elements, "rtsp:// with " + ", ".join(codec.name for codec in CODECS))


def v4l2(config: Config) -> Iterator[Finding]:
    """What `v4l2://` takes, and which devices there are."""
    devices = sorted(str(path) for path in DEVICES.glob("video*"))
    uris = (source.uri for source in config.sources)
    wanted = [uri.removeprefix("v4l2://") for uri in uris if uri.startswith("v4l2://")]
    absent = ", ".join(path for path in wanted if not Path(path).exists())
    remedy = "plug the camera in, then: ls /dev/video*"
    if absent:
        yield Finding("USB camera", "missing", f"the configuration wants {absent}, there is none", remedy)
    elif not devices:
        yield Finding("USB camera", "limited", "none is plugged in; recordings and network cameras work", remedy)
    else:
        yield _judged("USB camera", ("v4l2src",), ", ".join(devices))


def sample(config: Config) -> Iterator[Finding]:
    """The sample drive: decoded to its first picture."""
    try:
        what = _first_picture(SourceConfig(uri="sample://drive"))
    except (SourceNotFoundError, SourceCorruptError) as error:
        yield replace(from_error("sample drive", error), remedy="install edge-alpr again")
    else:
        yield Finding("sample drive", "ok", what)


def _first_picture(config: SourceConfig) -> str:
    """Size of the first picture of a recording, and how long it took. Raises `SourceError`."""
    start = time.perf_counter()
    with open_source(config) as source:
        for frame in source:
            with frame:
                size = f"{frame.width}x{frame.height}"
            return f"{size}, first picture decoded after {(time.perf_counter() - start) * 1e3:.0f} ms"
    raise SourceCorruptError(f"{config.uri}: it holds no picture")


def _judged(area: str, needs: Sequence[str], what: str) -> Finding:
    """`what` where all the elements are installed, else the missing ones and the command that brings them."""
    found = installed()
    lacking = [element for element in needs if element not in found]
    if not lacking:
        return Finding(area, "ok", what)
    packages = " ".join(sorted({package_of(element) for element in lacking}))
    return Finding(area, "missing", f"not installed: {', '.join(lacking)}", f"sudo apt-get install {packages}")
