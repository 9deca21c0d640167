"""Finding plates: letterbox the luma, run the detector, keep the quads that can be plates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_alpr.boxes import FORMATS, FormatName
from edge_alpr.config import DetectConfig
from edge_alpr.errors import ImageError
from edge_alpr.feed import Feed, FeedBuffer
from edge_alpr.geometry import resized
from edge_alpr.ports import Session
from edge_alpr.types import Detection, Floats, Luma, Tensors

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


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a frame lies in the detector's input; `frame` and `size` there are (width, height), `origin` is (x, y)."""

    frame: tuple[int, int]
    size: tuple[int, int]
    origin: tuple[int, int] = (0, 0)

    @property
    def scale(self) -> _Doubles:
        """Input pixels per frame pixel, (2,): along x and along y (they differ by rounding only)."""
        return np.array(self.size, np.float64) / self.frame

    def to_frame(self, points: NDArray[np.floating]) -> _Doubles:
        """Input pixels to frame pixels; the last axis is x, y."""
        return (points.astype(np.float64) + self._shift) / self.scale - 0.5

    def to_input(self, points: NDArray[np.floating]) -> _Doubles:
        """Frame pixels to input pixels; the last axis is x, y."""
        return (points.astype(np.float64) + 0.5) * self.scale - self._shift

    @property
    def _shift(self) -> float | _Doubles:
        return 0.5 if self.origin == (0, 0) else 0.5 - np.array(self.origin, np.float64)


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
    if scores.size == 0:
        return []
    if scores.size > MOST_HITS:
        first = np.argsort(-scores, kind="stable")[:MOST_HITS]
        scores, quads = scores[first], quads[first]
    mapped = fit.to_frame(quads)
    usable = plate_like(mapped, fit.frame, config.min_width_px)
    mapped, scores = mapped[usable], scores[usable]
    best = nms(mapped, scores, config.nms_iou)[: config.max_plates]
    return [Detection(mapped[i].astype(np.float32), min(float(scores[i]), 1.0)) for i in best]


def plate_like(quads: _Doubles, frame: tuple[int, int], min_width_px: float) -> NDArray[np.bool_]:
    """Which of the quads (N, 4, 2) could be plates of a frame (width, height); (N,) bool.

    Out are quads that are not finite, not convex, mirrored, without area, too small, outside the frame,
    or reaching further over its border than the frame is large.
    """
    finite = np.isfinite(quads).all(axis=(1, 2), keepdims=True)
    quads = np.where(finite, quads, 0.0)  # a point, which is not convex
    size = np.array(frame, np.float64)
    low, high = quads.min(axis=1), quads.max(axis=1)
    inside = ((high > -0.5) & (low < size - 0.5) & (low >= -size) & (high <= 2 * size)).all(axis=1)
    edges = quads[:, [1, 2, 3, 0]] - quads
    before = edges[:, [3, 0, 1, 2]]
    turns = before[..., 0] * edges[..., 1] - before[..., 1] * edges[..., 0]
    convex = turns.min(axis=1) > MIN_TURN * np.abs(turns).mean(axis=1)
    lengths = np.hypot(edges[..., 0], edges[..., 1])
    wide = lengths[:, 0] + lengths[:, 2] >= 2 * min_width_px
    high_enough = lengths[:, 1] + lengths[:, 3] >= 2 * MIN_HEIGHT_PX
    return np.asarray(inside & convex & wide & high_enough)


def nms(quads: NDArray[np.floating], scores: Floats, most_iou: float) -> list[int]:
    """Greedy suppression by the IoU of the upright boxes of quads (N, 4, 2): what stays, best first.

    No two that stay overlap by more than `most_iou`; equal scores keep their order.
    """
    if len(quads) == 1:
        return [0]
    boxes = np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1).astype(np.float64)
    overlaps = _overlaps(boxes) > most_iou
    left = np.ones(len(boxes), np.bool_)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if left[i]:
            kept.append(int(i))
            left &= ~overlaps[i]
    return kept


def _overlaps(boxes: _Doubles) -> _Doubles:
    """IoU of every two boxes (xmin, ymin, xmax, ymax): (N, 4) to (N, N)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    sides = np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None])
    inter = np.prod(np.maximum(sides, 0.0), axis=2)
    areas = np.prod(high - low, axis=1)
    total = areas[:, None] + areas[None] - inter
    return np.asarray(inter / np.maximum(total, 1e-12))
