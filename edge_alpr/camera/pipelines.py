"""What to run for which source: pure functions to pipeline text, ending in an appsink."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edge_alpr.camera.decoders import CODECS, CUDA_CAPS, DEMUXERS, NVMM_CAPS, TO_ROWS, decode_chain
from edge_alpr.errors import SourceCorruptError, SourceError
from edge_alpr.types import Memory

PLANAR = ("I420", "NV12", "GRAY8", "YV12", "NV21", "Y42B", "Y444", "Y41B", "NV16", "NV61", "NV24")
"""Raw formats whose first plane is 8-bit luma: taken as they are."""
HEAD = "head"
SINK = "sink"
"""Names inside a pipeline: what shows its pads while running, and the appsink."""
_CAPS = {
    Memory.SYSTEM: f"video/x-raw, format=(string){{ {', '.join(PLANAR)} }}",
    Memory.NVMM: NVMM_CAPS,
    Memory.CUDA: CUDA_CAPS,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline's text, ending in the appsink `SINK`, and the elements that it needs.

    `dynamic`: the element `HEAD` shows its pads while running, and a decoding chain to `memory` is put in between.
    """

    text: str
    needs: tuple[str, ...]
    dynamic: bool = False
    memory: Memory = Memory.SYSTEM


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of pictures that a camera can send: caps name, and raw format where there is one."""

    media: str
    raw_format: str = ""


def file_plan(
    path: str, media: str, installed: Collection[str], *, convert: bool = False, memory: Memory = Memory.SYSTEM
) -> Plan:
    """A recording of a kind (caps name): every frame, as fast as it is taken.

    Raises `SourceCorruptError` for a kind that is neither a known container nor a coded stream by itself.
    """
    start, needs = f"filesrc location={quoted(path)}", ("filesrc", "appsink")
    if media in DEMUXERS:
        demuxer = DEMUXERS[media]
        text = f"{start} ! {demuxer} name={HEAD} {sink(live=False, memory=memory)}"
        return Plan(text, (*needs, demuxer), dynamic=True, memory=memory)
    if media not in {codec.media for codec in CODECS}:
        problem = "it holds no video, only" if media.startswith("audio/") else "it is no video that can be read, but"
        raise SourceCorruptError(f"{problem} {media}; give MP4, Matroska, AVI or MPEG-TS with H.264, H.265 or MJPEG")
    chain = decode_chain(media, installed, convert=convert, memory=memory)
    return Plan(f"{start} ! {chain} ! {sink(live=False, memory=memory)}", needs, memory=memory)


def rtsp_plan(uri: str, latency_ms: int, timeout_s: float, memory: Memory = Memory.SYSTEM) -> Plan:
    """A network camera, over TCP: `timeout_s` bounds the connection and each answer."""
    source = (
        f"rtspsrc name={HEAD} location={quoted(uri)} latency={latency_ms} protocols=tcp+tls "
        f"tcp-timeout={round(timeout_s * 1e6)}"
    )
    return Plan(f"{source} {sink(live=True, memory=memory)}", ("rtspsrc", "appsink"), dynamic=True, memory=memory)


def v4l2_plan(
    device: str,
    offers: Collection[Offer],
    installed: Collection[str],
    *,
    convert: bool = False,
    memory: Memory = Memory.SYSTEM,
) -> Plan:
    """A USB or capture camera: raw with a luma plane, else MJPEG, H.264, H.265, else raw and a conversion."""
    source = f"v4l2src device={quoted(device)}"
    offered = _best_offer(offers, device)
    caps = offered.media + (f",format={offered.raw_format}" if offered.raw_format else "")
    convert = convert or (offered.media == "video/x-raw" and offered.raw_format not in PLANAR)
    chain = decode_chain(offered.media, installed, convert=convert, memory=memory)
    text = f"{source} ! {caps} ! {chain} ! {sink(live=True, memory=memory)}"
    return Plan(text, ("v4l2src", "appsink"), memory=memory)


def csi_plan(sensor: int, memory: Memory = Memory.SYSTEM) -> Plan:
    """A camera on the Jetson's CSI port: NV12 in NVMM, block-linear; the image unit makes rows of it, in NVMM or in
    system memory.
    """
    rows = f"{TO_ROWS} ! {NVMM_CAPS}" if memory is Memory.NVMM else "nvvidconv ! video/x-raw,format=NV12"
    text = f"nvarguscamerasrc sensor-id={sensor} ! {NVMM_CAPS} ! {rows} ! {sink(live=True, memory=memory)}"
    return Plan(text, ("nvarguscamerasrc", "nvvidconv", "appsink"), memory=memory)


def sink(*, live: bool, memory: Memory = Memory.SYSTEM) -> str:
    """The appsink: a recording waits for its reader and drops nothing, a live camera keeps the newest."""
    keep = "max-buffers=1 drop=true" if live else "max-buffers=3 drop=false"
    return f'appsink name={SINK} sync=false qos=false {keep} enable-last-sample=false caps="{_CAPS[memory]}"'


def quoted(text: str) -> str:
    """A value for pipeline text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _best_offer(offers: Collection[Offer], device: str) -> Offer:
    order = [("video/x-raw", name) for name in PLANAR]
    order += [("image/jpeg", ""), ("video/x-h264", ""), ("video/x-h265", "")]
    for media, raw_format in order:
        if Offer(media, raw_format) in offers:
            return Offer(media, raw_format)
    for offer in offers:
        if offer.media == "video/x-raw":
            return offer
    raise SourceError(f"{device}: offers no pictures; is it a camera? try: v4l2-ctl --device {device} --all")
