"""A second look at small plates, from near: their corners in the frame's own pixels rather than the shrunk input's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from edge_alpr.geometry import Rect, box_iou, quad_box
from edge_alpr.types import Detection, Luma

Find: TypeAlias = Callable[[Luma], list[Detection]]
"""Plates of a picture, quads in its pixels."""

PLATE_PX = 108.0
"""Width of a plate in the window that is looked at."""
MOST_HEIGHT = 0.55
"""Share of the window's height that a plate may take."""
SHRUNK = 0.75
"""Frames that the detector sees at a larger scale than this have nothing more to show."""
WORTH = 1.3
"""How many times larger than in the detector's input a plate must appear in the window."""
SAME_PLATE_IOU = 0.4
THRESHOLD, MIN_WIDTH_PX = 0.2, 8.0
"""What the second look's detector is asked for, in window pixels: it knows already that there is a plate."""


class Near:
    """A detector with a second look. It owns its window, so it serves one thread.

    `look` runs on windows of `window` (rows, columns), `input_size` is what `find` shrinks frames to. Scores are
    those of the first look. A plate that the second one does not see, or that the frame cuts, keeps its corners.
    Of finds that the second look draws to one plate the best scored stays.
    """

    def __init__(self, find: Find, look: Find, window: tuple[int, int], input_size: tuple[int, int]) -> None:
        self._find = find
        self._look = look
        self._window = np.zeros(window, np.uint8)
        self._input_size = input_size

    def __call__(self, luma: Luma) -> list[Detection]:
        """Find the plates of a frame (H, W) uint8, best first, quads in frame pixels. Raises as `find` does."""
        found = self._find(luma)
        rows, columns = self._input_size
        seen_at = min(rows / luma.shape[0], columns / luma.shape[1])
        if seen_at > SHRUNK:
            return found
        plates: list[Detection] = []
        for detection in found:
            again = self._again(luma, detection, seen_at)
            box = quad_box(again.quad)
            if all(box_iou(box, quad_box(other.quad)) <= SAME_PLATE_IOU for other in plates):
                plates.append(again)
        return plates

    def _again(self, luma: Luma, detection: Detection, seen_at: float) -> Detection:
        box = quad_box(detection.quad)
        scale = self._scale(box)
        height, width = luma.shape
        whole = box[0] >= 0 and box[1] >= 0 and box[2] < width and box[3] < height
        if scale < WORTH * seen_at or not whole:
            return detection
        rows, columns = self._window.shape
        shift = np.array([columns - scale * (box[0] + box[2]), rows - scale * (box[1] + box[3])]) / 2
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        cv2.warpAffine(
            luma, matrix, (columns, rows), self._window, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        quads = [((seen.quad - shift) / scale).astype(np.float32) for seen in self._look(self._window)]
        overlap, best = max(((box_iou(quad_box(q), box), i) for i, q in enumerate(quads)), default=(0.0, 0))
        return Detection(quads[best], detection.score) if overlap >= SAME_PLATE_IOU else detection

    def _scale(self, box: Rect) -> float:
        """Window pixels per frame pixel."""
        width, height = max(box[2] - box[0], 1.0), max(box[3] - box[1], 1.0)
        return min(PLATE_PX / width, MOST_HEIGHT * self._window.shape[0] / height)
