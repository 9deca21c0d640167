"""Finding plates: letterbox the luma, run the detector, keep the quads that can be plates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_alpr.boxes import FORMATS, FormatName
from edge_alpr.config import DetectConfig
from edge_alpr.errors import ImageError
from edge_alpr.feed import Feed, FeedBuffer
from edge_alpr.geometry import Points, Rect, box_iou, points_box, resized
from edge_alpr.ports import Session
from edge_alpr.types import Detection, Luma, Tensors

MOST_ENLARGED = 2.0
MOST_HITS = 512
"""Hits over the threshold that are looked at, the best scored first."""
MIN_HEIGHT_PX = 2.0
MIN_TURN = 0.05
"""Least corner of a quad as a share of its mean corner (cross products of edges); below, it is degenerate."""

_Doubles = NDArray[np.float64]


_FEED = Feed("luma", (1, 1, 384, 640))


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What the stage must know of a detector; the defaults are the shipped ones' way."""

    feed: Feed = _FEED
    outputs: tuple[str, ...] = ("scores", "quads")
    format: FormatName = "quads"
    plates: tuple[int, ...] = (0,)
    """The classes that are number plates."""
    pad: int = 114
    """Grey level around the frame."""
    centred: bool = False
    """Whether the frame lies in the middle of the input, or top left."""


SHIPPED = DetectorSpec()


@dataclass(frozen=True)
class Letterbox:
    """How a frame lies in the detector's input; `frame` and `size` there are (width, height), `origin` is (x, y)."""

    frame: tuple[int, int]
    size: tuple[int, int]
    origin: tuple[int, int] = (0, 0)

    @property
    def scale(self) -> _Doubles:
        """Input pixels per frame pixel, (2,): along x and along y (they differ by rounding only)."""
        return np.array(self._scale)

    def to_frame(self, points: Points) -> list[list[float]]:
        """Points in input pixels to frame pixels."""
        (sx, sy), (x0, y0) = self._scale, self.origin
        return [[(x - x0 + 0.5) / sx - 0.5, (y - y0 + 0.5) / sy - 0.5] for x, y in points]

    def to_input(self, points: NDArray[np.floating]) -> _Doubles:
        """Frame pixels to input pixels; the last axis is x, y."""
        return (points.astype(np.float64) + 0.5) * self.scale - 0.5 + np.array(self.origin, np.float64)

    @cached_property
    def _scale(self) -> tuple[float, float]:
        return self.size[0] / self.frame[0], self.size[1] / self.frame[1]


def letterbox(frame: tuple[int, int], input_size: tuple[int, int], centred: bool = False) -> Letterbox:
    """Fit a frame (width, height) into an input (rows, columns): aspect kept, enlarged at most twice."""
    rows, columns = input_size
    scale = min(columns / frame[0], rows / frame[1], MOST_ENLARGED)
    width, height = (max(1, round(side * scale)) for side in frame)
    width, height = min(width, columns), min(height, rows)
    origin = ((columns - width) // 2, (rows - height) // 2) if centred else (0, 0)
    return Letterbox(frame, (width, height), origin)


class Detector:
    """Luma in, plates out. It owns its input buffer, so a detector serves one thread."""

    def __init__(self, session: Session, config: DetectConfig, spec: DetectorSpec = SHIPPED) -> None:
        self._session = session
        self._config = config
        self._spec = spec
        self._buffer = FeedBuffer(spec.feed, 1)
        self._letterbox: Letterbox | None = None

    def __call__(self, luma: Luma) -> list[Detection]:
        """Find the plates of a frame (H, W) uint8, best first, quads in frame pixels.

        Raises `ImageError` for an array that is no luma and `ModelError` when the network fails.
        """
        if luma.ndim != 2 or luma.dtype != np.uint8 or luma.size == 0:
            raise ImageError(f"a frame is (H, W) uint8, not {luma.shape} {luma.dtype}; convert it to grey first")
        fit = self._fill(luma)
        outputs = self._session.run(self._buffer.feeds(1))
        return decode(outputs, fit, self._config, self._spec)

    def _fill(self, luma: Luma) -> Letterbox:
        """Resize the frame into the buffer; the padding is written only when the frame size changes."""
        frame = (luma.shape[1], luma.shape[0])
        plane, fit = self._buffer.planes[0], self._letterbox
        if fit is None or fit.frame != frame:
            fit = letterbox(frame, self._spec.feed.size, self._spec.centred)
            plane.fill(self._spec.pad)
            self._letterbox = fit
        (x, y), (width, height) = fit.origin, fit.size
        resized(luma, fit.size, plane[y : y + height, x : x + width])
        return fit


def decode(outputs: Tensors, fit: Letterbox, config: DetectConfig, spec: DetectorSpec = SHIPPED) -> list[Detection]:
    """Turn the outputs of a detector into plates in frame pixels, best first.

    Raises `ModelError` for scores that are no probabilities: that is a broken network, not an empty street.
    """
    pick = FORMATS[spec.format].pick
    scores, quads = pick([outputs[name] for name in spec.outputs], spec.plates, config.threshold)
    first = sorted(zip(scores, quads, strict=True), key=lambda hit: -hit[0])[:MOST_HITS]
    mapped = [fit.to_frame(quad) for _, quad in first]
    best = choose_plates(mapped, fit.frame, config)
    return [Detection(np.array(mapped[i], np.float32), min(first[i][0], 1.0)) for i in best]


def choose_plates(quads: Sequence[Points], frame: tuple[int, int], config: DetectConfig) -> list[int]:
    """Which of a frame's quads, best first, are plates: no two of them overlap by more than `nms_iou`.

    Greedy suppression by the IoU of their upright boxes; what is not `plate_like` suppresses nothing.
    """
    chosen: list[int] = []
    boxes: list[Rect] = []
    for i, quad in enumerate(quads):
        box = points_box(quad)
        if any(box_iou(box, other) > config.nms_iou for other in boxes):
            continue
        if plate_like(quad, frame, config.min_width_px):
            chosen.append(i)
            boxes.append(box)
            if len(chosen) == config.max_plates:
                break
    return chosen


def plate_like(quad: Points, frame: tuple[int, int], min_width_px: float) -> bool:
    """Whether a quad could be a plate of a frame (width, height).

    Out are quads that are not finite, not convex, mirrored, without area, too small, outside the frame,
    or reaching further over its border than the frame is large.
    """
    if not all(math.isfinite(v) for point in quad for v in point):
        return False
    low_x, low_y, high_x, high_y = points_box(quad)
    (width, height), (a, b, c, d) = frame, quad
    if not (-0.5 < high_x <= 2 * width and -width <= low_x < width - 0.5):
        return False
    if not (-0.5 < high_y <= 2 * height and -height <= low_y < height - 0.5):
        return False
    turns = [_turn(d, a, b), _turn(a, b, c), _turn(b, c, d), _turn(c, d, a)]
    if not min(turns) > MIN_TURN * sum(map(abs, turns)) / 4:
        return False
    wide = math.dist(a, b) + math.dist(c, d) >= 2 * min_width_px
    return wide and math.dist(b, c) + math.dist(d, a) >= 2 * MIN_HEIGHT_PX


def _turn(before: Sequence[float], corner: Sequence[float], after: Sequence[float]) -> float:
    """Cross product of the edges to a corner and from it: positive where the way turns as a plate's corners do."""
    x, y = corner
    return (x - before[0]) * (after[1] - y) - (y - before[1]) * (after[0] - x)
