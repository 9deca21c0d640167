"""Which decoder for which codec: tables, and pure functions from what is installed to pipeline text.

No colour conversion: decoders give planar or semi-planar pictures whose 8-bit Y plane lies there ready.
Only a picture without one (packed YUY2 of a webcam, 10-bit video, RGB) gets a converter.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edge_alpr.errors import MissingElementError, SourceError
from edge_alpr.types import Memory

LUMA_CONVERTER = "videoconvert"
CONVERTED = "I420"
FED = "fed"
"""Name of the element that counts the coded pictures given to the decoder."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder element. `download` names elements of which one must bring its pictures to system memory; `memory` is
    where they can be had without.
    """

    element: str
    package: str
    settings: str = ""
    download: tuple[str, ...] = ()
    memory: Memory = Memory.SYSTEM


@dataclass(frozen=True, slots=True)
class Codec:
    """A way of coding video: its caps name, parser, RTP depayloader, and decoders, the best first."""

    name: str
    media: str
    parser: str
    depayloader: str
    encoding: str
    decoders: tuple[Decoder, ...]


_CORE = "libgstreamer1.0-0"
_LIBAV = "gstreamer1.0-libav"
_L4T = "nvidia-l4t-gstreamer"
_BASE = "gstreamer1.0-plugins-base"
_GOOD = "gstreamer1.0-plugins-good"
_BAD = "gstreamer1.0-plugins-bad"
_NVMM = ("nvvidconv", "nvvideoconvert")

NVMM_CAPS = "video/x-raw(memory:NVMM),format=NV12"
CUDA_CAPS = "video/x-raw(memory:CUDAMemory),format=NV12"
TO_ROWS = "nvvidconv bl-output=false output-buffers=8"
"""The image unit writes plain rows. Of its eight surfaces one is lent, the sink holds one as its last sample and up to
three that wait, one is being written.
"""

CODECS = (
    Codec(
        "H.264",
        "video/x-h264",
        "h264parse",
        "rtph264depay",
        "H264",
        (
            Decoder("nvv4l2decoder", _L4T, download=_NVMM, memory=Memory.NVMM),
            Decoder("nvh264dec", _BAD, memory=Memory.CUDA),
            Decoder("vah264dec", _BAD),
            Decoder("avdec_h264", _LIBAV),
        ),
    ),
    Codec(
        "H.265",
        "video/x-h265",
        "h265parse",
        "rtph265depay",
        "H265",
        (
            Decoder("nvv4l2decoder", _L4T, download=_NVMM, memory=Memory.NVMM),
            Decoder("nvh265dec", _BAD, memory=Memory.CUDA),
            Decoder("vah265dec", _BAD),
            Decoder("avdec_h265", _LIBAV),
        ),
    ),
    Codec(
        "MJPEG",
        "image/jpeg",
        "jpegparse",
        "rtpjpegdepay",
        "JPEG",
        (
            Decoder("nvv4l2decoder", _L4T, "mjpeg=1", _NVMM, Memory.NVMM),
            Decoder("vajpegdec", _BAD),
            Decoder("avdec_mjpeg", _LIBAV),
            Decoder("jpegdec", _GOOD),
        ),
    ),
)

DEMUXERS = {
    "video/quicktime": "qtdemux",
    "application/x-3gp": "qtdemux",
    "audio/x-m4a": "qtdemux",
    "video/x-matroska": "matroskademux",
    "video/webm": "matroskademux",
    "audio/x-matroska": "matroskademux",
    "audio/webm": "matroskademux",
    "video/x-msvideo": "avidemux",
    "video/x-flv": "flvdemux",
    "video/mpegts": "tsdemux",
    "video/mpeg": "mpegpsdemux",
}
"""Containers by their caps name, and what takes them apart."""

_PACKAGES = {
    "filesrc": _CORE,
    "typefind": _CORE,
    "fakesink": _CORE,
    "identity": _CORE,
    "appsink": _BASE,
    **{demuxer: _GOOD for demuxer in DEMUXERS.values()},
    "tsdemux": _BAD,
    "mpegpsdemux": _BAD,
    LUMA_CONVERTER: _BASE,
    "rtspsrc": _GOOD,
    "v4l2src": _GOOD,
    "nvarguscamerasrc": _L4T,
    "nvvidconv": _L4T,
    "nvvideoconvert": _L4T,
    "cudaupload": _BAD,
    "cudaconvert": _BAD,
    **{codec.parser: _BAD for codec in CODECS},
    **{codec.depayloader: _GOOD for codec in CODECS},
    **{decoder.element: decoder.package for codec in CODECS for decoder in codec.decoders},
}
KNOWN_ELEMENTS = frozenset(_PACKAGES)


def package_of(element: str) -> str:
    """The Debian or Ubuntu package (on a Jetson: NVIDIA's) that brings an element."""
    return _PACKAGES[element]


def missing(element: str, why: str = "") -> MissingElementError:
    """The error for an element that is not installed."""
    package = _PACKAGES[element]
    hint = f"it comes with JetPack, package {package}" if package == _L4T else f"sudo apt-get install {package}"
    return MissingElementError(f"{why or 'GStreamer'} needs the element '{element}', not installed; {hint}")


def require(needs: Collection[str], installed: Collection[str], why: str = "") -> None:
    """Raise `MissingElementError` for the first of `needs` that is not installed."""
    for element in needs:
        if element not in installed:
            raise missing(element, why)


def choose(codec: Codec, installed: Collection[str], memory: Memory = Memory.SYSTEM) -> Decoder | None:
    """The best decoder that is usable here, with its way to `memory`; None where there is none."""
    if memory is not Memory.SYSTEM:
        able = (decoder for decoder in codec.decoders if decoder.memory is memory)
        return next((decoder for decoder in able if decoder.element in installed), None)
    for decoder in codec.decoders:
        if decoder.element in installed and (not decoder.download or _first(decoder.download, installed)):
            return decoder
    return None


def software_decoder(codec: Codec) -> Decoder:
    """The decoder that needs no special hardware: what to install where there is none."""
    return next(decoder for decoder in codec.decoders if decoder.package == _LIBAV)


def decode_chain(
    stream: str, installed: Collection[str], *, convert: bool = False, memory: Memory = Memory.SYSTEM
) -> str:
    """The elements from a coded stream to raw pictures in `memory`, as pipeline text; in device memory they are NV12.

    `stream` is a caps name (`video/x-h264`), `rtp/video/` and an encoding name (`rtp/video/H264`), or `video/x-raw`.
    `convert` adds the conversion for pictures without an 8-bit Y plane. Raises `MissingElementError` when
    no decoder is installed, `SourceError` for a codec that is not supported.
    """
    raw = stream == "video/x-raw"
    end = _end(installed, memory, convert=convert, raw=raw)
    if raw:
        return end or "identity"
    codec = _codec(stream)
    decoder = choose(codec, installed, memory)
    if decoder is None:
        raise _undecodable(codec, memory)
    parts = [codec.parser, f"identity name={FED}", f"{decoder.element} {decoder.settings}".strip()]
    if stream.startswith("rtp/"):
        parts.insert(0, codec.depayloader)
        require([codec.depayloader], installed, f"receiving {codec.name}")
    require([codec.parser], installed, f"decoding {codec.name}")
    if decoder.download and memory is Memory.SYSTEM:
        parts += [_first(decoder.download, installed), "capsfilter caps=video/x-raw,format=NV12"]
    return " ! ".join([*parts, end] if end else parts)


def converter(installed: Collection[str]) -> str:
    """The way to 8-bit luma for pictures that have no such plane."""
    require([LUMA_CONVERTER], installed, "a picture format without an 8-bit luma plane")
    return f"{LUMA_CONVERTER} ! capsfilter caps=video/x-raw,format={CONVERTED}"


def _end(installed: Collection[str], memory: Memory, *, convert: bool, raw: bool) -> str:
    """What brings pictures to their memory, and to 8-bit luma where that must be asked for; may be nothing."""
    if memory is Memory.NVMM:
        require(["nvvidconv"], installed, "frames in video memory")
        return f'{TO_ROWS} ! capsfilter caps="{NVMM_CAPS}"'
    if memory is Memory.CUDA:
        parts = ["cudaupload"] * raw + ["cudaconvert"] * (raw or convert)
        require(parts, installed, "frames in GPU memory")
        return " ! ".join([*parts, f'capsfilter caps="{CUDA_CAPS}"'])
    return converter(installed) if convert else ""


def _undecodable(codec: Codec, memory: Memory) -> SourceError:
    """The error where no decoder for a codec is installed, or none is known that leaves pictures in `memory`."""
    why = f"decoding {codec.name}"
    if memory is Memory.SYSTEM:
        return missing(software_decoder(codec).element, why)
    able = [decoder.element for decoder in codec.decoders if decoder.memory is memory]
    if not able:
        return SourceError(f"{why} into {memory.value} memory is not supported; read frames from system memory")
    return missing(able[0], f"{why} into {memory.value} memory")


def _first(names: Collection[str], installed: Collection[str]) -> str:
    return next((name for name in names if name in installed), "")


def _codec(stream: str) -> Codec:
    for codec in CODECS:
        if stream in (codec.media, f"rtp/video/{codec.encoding}"):
            return codec
    known = ", ".join(codec.name for codec in CODECS)
    raise SourceError(f"the video is coded as '{stream}', which is not supported; record it as {known}")
