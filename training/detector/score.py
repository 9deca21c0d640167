"""How good a detector is on the real pictures kept for development: recall by width, precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_alpr.geometry import box_iou, quad_box
from training.detector.model import HEIGHT, PADDING, WIDTH
from training.detector.pictures import Picture

Floats = NDArray[np.float32]
Luma = NDArray[np.uint8]
Infer = Callable[[Luma], tuple[Floats, Floats]]
"""(HEIGHT, WIDTH) uint8 to scores (k,) and quads (k, 4, 2)."""
THRESHOLD = 0.35
WIDTHS = (0, 24, 40, 64, 100, 1000)


def letterbox(luma: Luma, size: tuple[int, int] = (WIDTH, HEIGHT)) -> tuple[Luma, float]:
    """Fit a picture into (width, height), left top, padded; and the scale that did it."""
    scale = min(size[0] / luma.shape[1], size[1] / luma.shape[0])
    out = np.full((size[1], size[0]), PADDING, np.uint8)
    wide, high = round(luma.shape[1] * scale), round(luma.shape[0] * scale)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    out[:high, :wide] = cv2.resize(luma, (wide, high), interpolation=way)
    return out, scale


def detect(infer: Infer, luma: Luma, threshold: float = THRESHOLD) -> tuple[Floats, Floats]:
    """Scores (n,) and quads (n, 4, 2) in pixels of the picture, overlapping ones removed."""
    fitted, scale = letterbox(luma)
    scores, quads = infer(fitted)
    kept: list[int] = []
    for index in np.flatnonzero(scores >= threshold):
        box = quad_box(quads[index])
        if all(box_iou(box, quad_box(quads[k])) < 0.3 for k in kept):
            kept.append(int(index))
    return scores[kept], np.asarray((quads[kept] + 0.5) / scale - 0.5, np.float32)


@dataclass
class Tally:
    """Found and wanted plates by width class (network pixels), and false alarms."""

    found: NDArray[np.int64]
    wanted: NDArray[np.int64]
    right: int = 0
    wrong: int = 0
    overlap: float = 0.0

    @property
    def recall(self) -> float:
        return float(self.found.sum() / max(1, self.wanted.sum()))

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    def __str__(self) -> str:
        bins = " ".join(f"{low}+:{f}/{w}" for low, f, w in zip(WIDTHS, self.found, self.wanted, strict=False) if w)
        overlap = self.overlap / max(1, int(self.found.sum()))
        return f"recall {self.recall:.3f} precision {self.precision:.3f} mean IoU {overlap:.2f} [{bins}]"


def score(infer: Infer, pictures: Sequence[Picture], threshold: float = THRESHOLD, iou: float = 0.3) -> Tally:
    """Recall over plates marked `ok`; precision over all labels (only meaningful on sure pictures)."""
    tally = Tally(np.zeros(len(WIDTHS) - 1, np.int64), np.zeros(len(WIDTHS) - 1, np.int64))
    for picture in pictures:
        luma = np.asarray(cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        _, quads = detect(infer, luma, threshold)
        boxes = [quad_box(q) for q in quads]
        scale = min(WIDTH / luma.shape[1], HEIGHT / luma.shape[0])
        for label in picture.labels:
            best = max((box_iou(b, label.box) for b in boxes), default=0.0)
            if label.legibility != "ok":
                continue
            slot = int(np.searchsorted(WIDTHS, (label.box[2] - label.box[0]) * scale, side="right")) - 1
            tally.wanted[slot] += 1
            tally.found[slot] += best >= iou
            tally.overlap += best if best >= iou else 0.0
        for box in boxes:
            good = any(box_iou(box, label.box) >= iou for label in picture.labels)
            tally.right += good
            tally.wrong += not good
    return tally
