"""Whether the graphs for the GPU see what the CPU's way sees: both on real frames, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from onnx import ModelProto

from edge_alpr.camera.pictures import load_luma
from edge_alpr.config import DetectConfig
from edge_alpr.evaluate import load_dataset
from edge_alpr.evaluate.stills import MATCH_IOU
from edge_alpr.evidence import read_from_slots
from edge_alpr.geometry import box_iou, quad_box
from edge_alpr.stages.detect import Letterbox, decode
from edge_alpr.stages.read import SHIPPED as READER
from edge_alpr.stages.read import ctc_slots, plane_chances
from edge_alpr.types import Detection, Floats, Luma, Read
from export.compose import BATCHES, Plane, detector_for_gpu, reader_for_gpu
from export.product import CoreSession, Find, ReadPlates, same_plates

LEAST_SAME_READS = 0.99
MOST_MOVED_PX = 1.0
"""99 of 100 corners move less: a corner may jump where light differs by a grey level."""


@dataclass(slots=True)
class Alike:
    """What was compared. Reads are of labelled plates; `moved_px` is each plate's corner that moved most."""

    frames: int = 0
    plates: int = 0
    same: int = 0
    unpaired: int = 0
    moved_px: list[float] = field(default_factory=list)
    score_change: list[float] = field(default_factory=list)

    @property
    def moved_most(self) -> float:
        """Pixels."""
        return max(self.moved_px, default=0.0)

    @property
    def moved_p99(self) -> float:
        """Pixels."""
        return float(np.percentile(self.moved_px, 99)) if self.moved_px else 0.0

    def problem(self) -> str:
        """Why the graphs must not be used; empty where they may."""
        return self.reader_problem() or self.detector_problem()

    def reader_problem(self) -> str:
        """What is wrong with the reads."""
        if not self.plates:
            return "no labelled plate was found in the frames: nothing was compared"
        if self.same < LEAST_SAME_READS * self.plates:
            return f"only {self.same} of {self.plates} plates read the same as on the CPU"
        return ""

    def detector_problem(self) -> str:
        """What is wrong with the finds."""
        if self.moved_p99 > MOST_MOVED_PX:
            return f"corners lie up to {self.moved_p99:.2f} px (99 of 100) from the CPU's, the limit is {MOST_MOVED_PX}"
        if self.unpaired > 0.01 * (len(self.moved_px) + self.unpaired):
            return f"{self.unpaired} finds of {len(self.moved_px) + self.unpaired} are missing"
        return ""


class GpuPair:
    """Both composed graphs, run by ONNX Runtime on the CPU: what a board would be asked."""

    def __init__(self, detector: ModelProto, reader: ModelProto, plane: Plane, pad: int) -> None:
        self._plane = plane
        self._detector = CoreSession(detector_for_gpu(detector, plane, pad))
        self._reader = CoreSession(reader_for_gpu(reader, plane))
        self._surface = np.full((1, 1, plane.height, plane.pitch), 255, np.uint8)

    def find(self, luma: Luma) -> list[Detection]:
        """Plates of a frame (H, W) of the plane's size."""
        self._surface[0, 0, :, : self._plane.width] = luma
        size = self._plane.width, self._plane.height
        return decode(self._detector.run({"luma": self._surface}), Letterbox(size, size), DetectConfig())

    def read(self, luma: Luma, plates: Sequence[Detection]) -> list[Read]:
        """Read plates of a frame in batches of the profiles' sizes, the last one filled up with its first quad."""
        self._surface[0, 0, :, : self._plane.width] = luma
        reads: list[Read] = []
        for first in range(0, len(plates), BATCHES[-1]):
            quads = np.stack([plate.quad for plate in plates[first : first + BATCHES[-1]]])
            size = next(size for size in BATCHES if size >= len(quads))
            filled: Floats = np.concatenate([quads, np.repeat(quads[:1], size - len(quads), axis=0)])
            chances = plane_chances(self._reader.run({"luma": self._surface, "quads": filled}), READER, None)
            reads += [read_from_slots(ctc_slots(one)) for one in chances[: len(quads)]]
        return reads


def compare(find: Find, read: ReadPlates, gpu: GpuPair, frames: Iterable[tuple[Luma, list[Floats]]]) -> Alike:
    """Run both ways on frames with the boxes of their readable plates.

    The GPU's reader is given the CPU's corners, so that each of the two graphs is judged alone.
    """
    alike = Alike()
    for luma, boxes in frames:
        alike.frames += 1
        plates = find(luma)
        pairs = same_plates(plates, gpu.find(luma))
        alike.unpaired += len(plates) - len(pairs)
        alike.moved_px += [float(np.abs(a.quad - b.quad).max()) for a, b in pairs]
        labelled = [p for p in plates if any(box_iou(quad_box(p.quad), box) >= MATCH_IOU for box in boxes)]
        for a, b in zip(read(luma, labelled), gpu.read(luma, labelled), strict=True):
            alike.plates += 1
            alike.same += a.plate == b.plate
            alike.score_change.append(abs(a.score - b.score))
    return alike


def frames_of(data: Path, plane: Plane, every: int = 1) -> Iterator[tuple[Luma, list[Floats]]]:
    """Dash cam frames, brought to the size of the plane where they have another, and the boxes of readable plates."""
    for image in load_dataset(data / "dashcam")[::every]:
        luma = load_luma(image.path)
        scale = np.tile(np.array([plane.width, plane.height]) / luma.shape[::-1], 2).astype(np.float32)
        if luma.shape != (plane.height, plane.width):
            luma = np.asarray(cv2.resize(luma, (plane.width, plane.height), interpolation=cv2.INTER_AREA), np.uint8)
        yield luma, [np.array(plate.box, np.float32) * scale for plate in image.plates if plate.known]
