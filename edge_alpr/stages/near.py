"""A second look at small plates, from near: their corners in the frame's own pixels rather than the shrunk input's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_alpr.geometry import box_iou, quad_box
from edge_alpr.types import Detection, Floats, Luma

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
WINDOW = "window"
"""Input of a network for planes: (1, 3) float32, scale and shift of a `Window`."""
THRESHOLD, MIN_WIDTH_PX = 0.2, 8.0
"""What the second look's detector is asked for, in window pixels: it knows already that there is a plate."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where a window lies in a frame: window pixels are frame pixels times `scale`, moved by `shift` (x, y)."""

    scale: float
    shift: tuple[float, float]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The (2, 3) affine from frame to window pixels."""
        return np.array([[self.scale, 0, self.shift[0]], [0, self.scale, self.shift[1]]])

    def to_frame(self, quad: Floats) -> Floats:
        """A quad (4, 2) in window pixels to frame pixels."""
        return np.asarray((quad - np.array(self.shift)) / self.scale, np.float32)


def seen_at(frame: tuple[int, int], input_size: tuple[int, int]) -> float:
    """Pixels of the detector's input (rows, columns) for one of the frame (width, height)."""
    return min(input_size[0] / frame[1], input_size[1] / frame[0])


def window_on(
    detection: Detection, frame: tuple[int, int], size: tuple[int, int], seen: float
) -> Window | None:
    """A window of `size` (rows, columns) around a plate in a frame (width, height) that was seen at the scale `seen`.

    None where it would show nothing more, or the frame cuts the plate.
    """
    box, (rows, columns) = quad_box(detection.quad), size
    wide, high = max(box[2] - box[0], 1.0), max(box[3] - box[1], 1.0)
    scale = min(PLATE_PX / wide, MOST_HEIGHT * rows / high)
    whole = box[0] >= 0 and box[1] >= 0 and box[2] < frame[0] and box[3] < frame[1]
    if scale < WORTH * seen or not whole:
        return None
    return Window(scale, ((columns - scale * (box[0] + box[2])) / 2, (rows - scale * (box[1] + box[3])) / 2))


def settled(detection: Detection, window: Window, found: Sequence[Detection]) -> Detection:
    """The plate with the corners of what was found in its window, where that is the same plate."""
    box, quads = quad_box(detection.quad), [window.to_frame(one.quad) for one in found]
    overlap, best = max(((box_iou(quad_box(quad), box), i) for i, quad in enumerate(quads)), default=(0.0, 0))
    return Detection(quads[best], detection.score) if overlap >= SAME_PLATE_IOU else detection


def without_doubles(plates: Iterable[Detection]) -> list[Detection]:
    """Of finds, best first, that the second look drew to one plate the best scored."""
    kept: list[Detection] = []
    for plate in plates:
        box = quad_box(plate.quad)
        if all(box_iou(box, quad_box(other.quad)) <= SAME_PLATE_IOU for other in kept):
            kept.append(plate)
    return kept


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
        seen = seen_at((luma.shape[1], luma.shape[0]), self._input_size)
        return found if seen > SHRUNK else without_doubles(self._again(luma, one, seen) for one in found)

    def _again(self, luma: Luma, detection: Detection, seen: float) -> Detection:
        rows, columns = self._window.shape
        window = window_on(detection, (luma.shape[1], luma.shape[0]), (rows, columns), seen)
        if window is None:
            return detection
        cv2.warpAffine(
            luma, window.matrix, (columns, rows), self._window, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return settled(detection, window, self._look(self._window))
