"""What to run for which source: pure functions to pipeline text, ending in an appsink."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from edge_alpr.camera.decoders import CODECS, DEMUXERS, decode_chain
from edge_alpr.errors import SourceCorruptError, SourceError

PLANAR = ("I420", "NV12", "GRAY8", "YV12", "NV21", "Y42B", "Y444", "Y41B", "NV16", "NV61", "NV24")
"""Raw formats whose first plane is 8-bit luma: taken as they are."""
HEAD = "head"
SINK = "sink"
"""Names inside a pipeline: what shows its pads while running, and the appsink."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline's text, ending in the appsink `SINK`, and the elements that it needs.

    `dynamic`: the element `HEAD` shows its pads while running, and a decoding chain is put in between.
    """

    text: str
    needs: tuple[str, ...]
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of pictures that a camera can send: caps name, and raw format where there is one."""

    media: str
    raw_format: str = ""


def file_plan(path: str, media: str, installed: Collection[str], *, convert: bool = False) -> Plan:
    """A recording of a kind (caps name): every frame, as fast as it is taken.

    Raises `SourceCorruptError` for a kind that is neither a known container nor a coded stream by itself.
    """
    start, needs = f"filesrc location={quoted(path)}", ("filesrc", "appsink")
    if media in DEMUXERS:
        demuxer = DEMUXERS[media]
        return Plan(f"{start} ! {demuxer} name={HEAD} {sink(live=False)}", (*needs, demuxer), dynamic=True)
    if media not in {codec.media for codec in CODECS}:
        problem = "it holds no video, only" if media.startswith("audio/") else "it is no video that can be read, but"
        raise SourceCorruptError(f"{problem} {media}; give MP4, Matroska, AVI or MPEG-TS with H.264, H.265 or MJPEG")
    return Plan(f"{start} ! {decode_chain(media, installed, convert=convert)} ! {sink(live=False)}", needs)


def rtsp_plan(uri: str, latency_ms: int, timeout_s: float) -> Plan:
    """A network camera, over TCP: `timeout_s` bounds the connection and each answer."""
    source = (
        f"rtspsrc name={HEAD} location={quoted(uri)} latency={latency_ms} protocols=tcp+tls "
        f"tcp-timeout={round(timeout_s * 1e6)}"
    )
    return Plan(f"{source} {sink(live=True)}", ("rtspsrc", "appsink"), dynamic=True)


def v4l2_plan(device: str, offers: Collection[Offer], installed: Collection[str], *, convert: bool = False) -> Plan:
    """A USB or capture camera: raw with a luma plane, else MJPEG, H.264, H.265, else raw and a conversion."""
    source = f"v4l2src device={quoted(device)}"
    offered = _best_offer(offers, device)
    caps = offered.media + (f",format={offered.raw_format}" if offered.raw_format else "")
    convert = convert or (offered.media == "video/x-raw" and offered.raw_format not in PLANAR)
    chain = decode_chain(offered.media, installed, convert=convert)
    return Plan(f"{source} ! {caps} ! {chain} ! {sink(live=True)}", ("v4l2src", "appsink"))


def csi_plan(sensor: int) -> Plan:
    """A camera on the Jetson's CSI port: NV12 in NVMM, brought to system memory by the image unit."""
    text = (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),format=NV12 ! nvvidconv ! "
        f"video/x-raw,format=NV12 ! {sink(live=True)}"
    )
    return Plan(text, ("nvarguscamerasrc", "nvvidconv", "appsink"))


def sink(*, live: bool) -> str:
    """The appsink: a recording waits for its reader and drops nothing, a live camera keeps the newest."""
    keep = "max-buffers=1 drop=true" if live else "max-buffers=3 drop=false"
    formats = ", ".join(PLANAR)
    return (
        f"appsink name={SINK} sync=false qos=false {keep} enable-last-sample=false "
        f'caps="video/x-raw, format=(string){{ {formats} }}"'
    )


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
