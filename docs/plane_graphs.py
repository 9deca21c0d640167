"""What the graphs for the GPU lose to the CPU's way: the best five classes of each step, and the second look's window.

    pip install -e .[export,train]
    python docs/plane_graphs.py --data ../shared/data

By ONNX Runtime on the CPU in single precision, on real crops of `dev`, damaged ones of `train`, the labelled dash cam
frames and the sample drive. What a GPU's kernels add is for the golden check on the board.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from onnx import ModelProto

from edge_alpr.characters import from_best, posteriors
from edge_alpr.config import DetectConfig
from edge_alpr.evidence import ALPHABET, read_from_slots
from edge_alpr.infer.card import DetectorTier, Kind
from edge_alpr.infer.package import load_package, shipped
from edge_alpr.stages.detect import Letterbox, decode
from edge_alpr.stages.near import MIN_WIDTH_PX, THRESHOLD, WINDOW, seen_at, settled, window_on
from edge_alpr.stages.read import ctc_slots
from edge_alpr.stages.rectify import cut
from edge_alpr.types import Detection, Floats, Luma
from export.alike import frames_of
from export.compose import KEPT, Plane, bytes_out, near_for_gpu
from export.judge import damaged_crops
from export.nodes import load_full
from export.product import CoreSession, detector, finder, input_size
from training.reader.train import dev_crops

PLANE = Plane(1280, 720, 1536)
SAMPLE = Path(__file__).resolve().parents[1] / "edge_alpr" / "samples" / "drive.mp4"
DRIVE_EVERY = 5
"""Which frames of the drive are looked at: each fifth."""


def core_of(kind: Kind, tier: DetectorTier = "large") -> ModelProto:
    """A shipped graph in single precision; a reader has no tier."""
    return load_full(load_package(shipped(kind, tier)).model)


def pad_of(tier: DetectorTier) -> int:
    """What a shipped detector's letterbox is filled with."""
    card = load_package(shipped("detector", tier)).card
    return card.detector.pad if card.detector else 0


def drive() -> Iterator[Luma]:
    """Frames of the sample drive in the plane's size."""
    video, number = cv2.VideoCapture(str(SAMPLE)), 0
    while (got := video.read())[0]:
        number += 1
        if number % DRIVE_EVERY == 0:
            grey = cv2.cvtColor(got[1], cv2.COLOR_BGR2GRAY)
            yield np.asarray(cv2.resize(grey, (PLANE.width, PLANE.height), interpolation=cv2.INTER_AREA), np.uint8)


def compare_reads(name: str, session: CoreSession, crops: NDArray[np.uint8]) -> None:
    """Read crops (N, 1, H, W) by all classes, and by the best few as they leave the GPU."""
    parts = (crops[n : n + 64] for n in range(0, len(crops), 64))
    everything: Floats = np.concatenate([session.run({"crops": part})["logprobs"] for part in parts])
    classes = np.argsort(-everything, axis=-1, kind="stable")[..., :KEPT]
    best: Floats = np.take_along_axis(everything, classes, axis=-1).astype(np.float16).astype(np.float32)
    told = from_best(best, classes.astype(np.uint8), len(ALPHABET) + 1)
    pairs = [
        (read_from_slots(ctc_slots(a)), read_from_slots(ctc_slots(b)))
        for a, b in zip(posteriors(everything), told, strict=True)
    ]
    same, change = sum(a.plate == b.plate for a, b in pairs), [abs(a.score - b.score) for a, b in pairs]
    print(f"{name}: {same} of {len(pairs)} texts the same, score differs by {max(change):.5f} at most")
    for a, b in pairs:
        if a.plate != b.plate:
            print(f"    {a.plate} {a.score:.3f} by all classes, {b.plate} {b.score:.3f} by the best {KEPT}")


class Looks:
    """The second look by the CPU's way and by the composed graph."""

    def __init__(self) -> None:
        first, near = core_of("detector", "large"), core_of("detector", "near")
        self.find, self.seen = finder(first, pad_of("large")), seen_at((PLANE.width, PLANE.height), input_size(first))
        self.size, self._asked = input_size(near), DetectConfig(threshold=THRESHOLD, min_width_px=MIN_WIDTH_PX)
        self._cpu = detector(CoreSession(near), self.size, pad_of("near"), self._asked)
        self._gpu = CoreSession(near_for_gpu(near, PLANE))

    def both(self, luma: Luma, plate: Detection) -> tuple[Detection, Detection] | None:
        """Settled by each; None where no window is worth it."""
        window = window_on(plate, (PLANE.width, PLANE.height), self.size, self.seen)
        if window is None:
            return None
        inside = (self.size[1], self.size[0])
        seen = cv2.warpAffine(luma, window.matrix, inside, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        surface = np.full((1, 1, PLANE.height, PLANE.pitch), 255, np.uint8)
        surface[0, 0, :, : PLANE.width] = luma
        where: Floats = np.array([[window.scale, *window.shift]], np.float32)
        found = decode(self._gpu.run({"luma": surface, WINDOW: where}), Letterbox(inside, inside), self._asked)
        return settled(plate, window, self._cpu(np.asarray(seen, np.uint8))), settled(plate, window, found)


def compare_looks(name: str, looks: Looks, frames: Iterable[Luma]) -> None:
    """Corners of both ways, and plates that only one of them settles."""
    moved, differ = [], 0
    for luma in frames:
        for plate in looks.find(luma):
            if (pair := looks.both(luma, plate)) is None:
                continue
            differ += (pair[0] is plate) != (pair[1] is plate)
            moved.append(float(np.abs(pair[0].quad - pair[1].quad).max()))
    far = f"{np.median(moved):.3f} px median, {np.percentile(moved, 99):.3f} of 99 in 100, {max(moved):.3f} at most"
    print(f"{name}: {len(moved)} windows, {differ} settled by one way only, corners differ by {far}")


def main(data: Annotated[Path, typer.Option(help="Labelled pictures.")] = Path("../shared/data")) -> None:
    """Print the figures."""
    print(f"bytes of a frame: {({n: bytes_out(n) for n in (0, 1, 2, 8, 12)})}")
    reader, looks = CoreSession(core_of("reader")), Looks()
    for name, (crops, _) in dev_crops(data).items():
        compare_reads(f"{name} dev", reader, crops.numpy())
    compare_reads("damaged train", reader, np.stack([crop for crop, _ in damaged_crops(data, 1000, 11)])[:, None])
    on_drive = list(drive())
    found = [(luma, plate) for luma in on_drive for plate in looks.find(luma)]
    compare_reads("sample drive", reader, np.stack([cut(luma, plate).image for luma, plate in found])[:, None])
    compare_looks("sample drive", looks, on_drive)
    compare_looks("dash cam", looks, (luma for luma, _ in frames_of(data, PLANE)))


if __name__ == "__main__":
    typer.run(main)
