"""Make the drive that ships with the product: edge_alpr/samples/drive.mp4 and drive.jsonl.

    python -m training.sample_drive

Every picture follows from one seed; no photo and no real plate is in it. Needs GStreamer with x264enc.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from training.drive.script import FPS, FRAMES
from training.drive.stage import Seen, Stage
from training.drive.strips import Image
from training.drive.view import HEIGHT, WIDTH

SAMPLES = Path("edge_alpr/samples")
LEAST_WIDTH_PX, LEAST_VISIBLE = 16.0, 0.5
"""Plates that are smaller or more hidden are not in the truth."""

_stages: list[Stage] = []


def _prepare(fonts: Path) -> None:
    cv2.setNumThreads(1)
    _stages.append(Stage(fonts))


def _draw(index: int) -> tuple[Image, list[Seen]]:
    return _stages[0].frame(index)


def frames(fonts: Path, workers: int) -> Iterator[tuple[Image, list[Seen]]]:
    """All frames in order: BGR (HEIGHT, WIDTH, 3) uint8 and the plates in it."""
    with ProcessPoolExecutor(workers, initializer=_prepare, initargs=(fonts,)) as pool:
        yield from pool.map(_draw, range(FRAMES), chunksize=4)


def truth_line(index: int, seen: list[Seen]) -> str:
    """One line of drive.jsonl, or nothing where no plate is worth telling."""
    plates = [
        {
            "text": one.vehicle.plate.text,
            "quad": [[round(float(x), 2), round(float(y), 2)] for x, y in one.quad],
            "vehicle": one.vehicle.name,
            "visible": round(one.visible, 2),
        }
        for one in seen
        if width_px(one) >= LEAST_WIDTH_PX and one.visible >= LEAST_VISIBLE
    ]
    return json.dumps({"index": index, "plates": plates}) + "\n" if plates else ""


def width_px(one: Seen) -> float:
    """Mean length of the plate's upper and lower edge."""
    top, bottom = one.quad[1] - one.quad[0], one.quad[2] - one.quad[3]
    return float(np.hypot(*top) + np.hypot(*bottom)) / 2


def encoder(target: Path, quantizer: int) -> list[str]:
    """The command that takes raw I420 frames on its standard input and writes an H.264 mp4."""
    pipeline = (
        f"fdsrc fd=0 ! rawvideoparse format=i420 width={WIDTH} height={HEIGHT} framerate={FPS}/1 "
        f"! x264enc pass=qual quantizer={quantizer} speed-preset=slow key-int-max={5 * FPS} threads=2 "
        "! video/x-h264,profile=high ! h264parse ! mp4mux faststart=true ! filesink"
    )
    return ["gst-launch-1.0", "-q", *pipeline.split(), f"location={target}"]


def make(target: Path, fonts: Path, quantizer: int, workers: int) -> None:
    """Render, encode and write the truth. Raises CalledProcessError when the encoder fails."""
    command = encoder(target / "drive.mp4", quantizer)
    with (
        (target / "drive.jsonl").open("w", encoding="utf-8") as truth,
        subprocess.Popen(command, stdin=subprocess.PIPE) as process,
    ):
        if process.stdin is None:
            raise RuntimeError("the encoder has no input")
        for index, (image, seen) in enumerate(frames(fonts, workers)):
            process.stdin.write(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).tobytes())
            truth.write(truth_line(index, seen))
            if index % 30 == 29:
                print(f"\r{index + 1}/{FRAMES} frames", end="", file=sys.stderr, flush=True)
        process.stdin.close()
    print(file=sys.stderr)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, default=Path("../shared/data/fonts"), help="folder of the plate faces")
    parser.add_argument("--target", type=Path, default=SAMPLES, help="folder to write to")
    parser.add_argument("--quantizer", type=int, default=27, help="x264 quality: lower is better and bigger")
    parser.add_argument("--workers", type=int, default=1, help="processes that render")
    given = parser.parse_args()
    if not given.fonts.is_dir():
        parser.error(f"{given.fonts}: no such folder; give the one with the plate faces by --fonts")
    given.target.mkdir(parents=True, exist_ok=True)
    make(given.target, given.fonts, given.quantizer, given.workers)


if __name__ == "__main__":
    main()
