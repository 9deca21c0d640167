"""Makes an H.264 clip with so many plates in view, to measure a drive with its decoding.

    python docs/hd_clip.py CLIP.mp4 [--plates 1] [--seconds 20] [--size 1920x1080] [--mbit 12]
    edge-alpr bench --source CLIP.mp4 --duration 30

The road and cars of `edge-alpr bench --plates`, seen from a car that sways, with a sensor's noise in each frame: so
the decoder has the work that a dash cam's pictures give it. Coded as a camera's chip does: a key frame each second, no
B-frames. The bit rate that was reached is printed.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_alpr.bench.rendered import RATE, draw
from edge_alpr.bench.request import parse_size
from edge_alpr.camera.bindings import gst, parse
from edge_alpr.types import Luma

SWAY_X, SWAY_Y = 24, 8
"""Most pixels to each side."""
NOISE = 3.0
"""Standard deviation in grey levels."""
_GREY = 128
_PATIENCE_S = 60


def pictures(plates: int, size: tuple[int, int], count: int) -> Iterator[Luma]:
    """So many frames (H, W) uint8, cut out of one larger drawing where the camera looks just then."""
    width, height = size
    scene = draw(plates, (width + 2 * SWAY_X, height + 2 * SWAY_Y), 0)
    source = np.random.default_rng(5)
    grain = source.normal(0, NOISE, (2 * height, 2 * width)).astype(np.int16)
    for index in range(count):
        x = SWAY_X + round(SWAY_X * math.sin(index / 11))
        y = SWAY_Y + round(SWAY_Y * math.sin(index / 7))
        left, top = int(source.integers(width)), int(source.integers(height))
        view, noise = scene[y : y + height, x : x + width], grain[top : top + height, left : left + width]
        yield np.asarray(cv2.add(view, noise, dtype=cv2.CV_8U), np.uint8)


def film(path: Path, frames: Iterator[Luma], size: tuple[int, int], mbit: float) -> None:
    """Write frames of a `size` (width, height) as MP4, 30 a second, chroma neutral. Raises `RuntimeError`.

    The width is a multiple of 8 and the height of 2: rows without padding.
    """
    width, height = size
    caps = f"video/x-raw,format=I420,width={width},height={height},framerate={RATE}/1"
    encoder = f"x264enc bitrate={round(1000 * mbit)} speed-preset=veryfast bframes=0 key-int-max={RATE}"
    source = f'appsrc name=source caps="{caps}" format=time block=true max-bytes={8 * width * height}'
    pipeline = parse(f'{source} ! {encoder} ! h264parse ! mp4mux ! filesink location="{path}"')
    pipeline.set_state(gst().State.PLAYING)
    feed = pipeline.get_by_name("source")
    chroma = bytes([_GREY]) * (width * height // 2)
    for index, luma in enumerate(frames):
        feed.push_buffer(_buffer(luma.tobytes() + chroma, index))
    feed.end_of_stream()
    kinds = gst().MessageType.EOS | gst().MessageType.ERROR
    message = pipeline.get_bus().timed_pop_filtered(_PATIENCE_S * gst().SECOND, kinds)
    pipeline.set_state(gst().State.NULL)
    if message is None or message.type != gst().MessageType.EOS:
        raise RuntimeError(f"{path}: not written: {message.parse_error() if message else 'the encoder does not end'}")


def _buffer(data: bytes, index: int) -> Any:
    buffer = gst().Buffer.new_wrapped(data)
    buffer.pts = buffer.dts = index * gst().SECOND // RATE
    buffer.duration = gst().SECOND // RATE
    return buffer


def main() -> None:
    """Film, and say how large it became."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--plates", type=int, default=1, help="0 to 12")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--size", type=parse_size, default=(1920, 1080))
    parser.add_argument("--mbit", type=float, default=12.0, help="a second")
    asked = parser.parse_args()
    if asked.size[0] % 8 or asked.size[1] % 2:
        parser.error("--size: a width that is a multiple of 8, an even height")
    count = round(asked.seconds * RATE)
    film(asked.clip, pictures(asked.plates, asked.size, count), asked.size, asked.mbit)
    reached = asked.clip.stat().st_size * 8 / asked.seconds / 1e6
    print(f"{asked.clip}: {count} frames, {reached:.1f} Mbit/s")


if __name__ == "__main__":
    main()
