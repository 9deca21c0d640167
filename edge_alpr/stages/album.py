"""Which frames on the GPU are worth a look: pixels come to the host for those only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_alpr.geometry import Rect, box_iou, quad_box, quad_size
from edge_alpr.types import Detection

LARGER = 1.15
"""A plate so many times as high as in its last picture is worth another."""
AGAIN_NS = 500_000_000
"""So is one whose last picture is so old."""
_FORGET_NS = 200_000_000
"""A plate that was not seen for so long is as good as new."""
_SAME_IOU = 0.2


@dataclass(frozen=True, slots=True)
class _Seen:
    """A plate where it was seen last (`box`, `stamp_ns`), and its last picture."""

    box: Rect
    stamp_ns: int
    height_px: float
    pictured_ns: int


class Album:
    """Follows the plates of one camera roughly: a picture too many does no harm, and a new plate always has one."""

    def __init__(self) -> None:
        self._seen: list[_Seen] = []

    def wants(self, detections: Sequence[Detection], stamp_ns: int) -> bool:
        """Whether a frame with these plates is to be pictured. Takes every frame that was searched, in order."""
        before = [seen for seen in self._seen if 0 <= stamp_ns - seen.stamp_ns < _FORGET_NS]
        known = [(detection, _taken(before, quad_box(detection.quad))) for detection in detections]
        wanted = any(last is None or _worth(last, detection, stamp_ns) for detection, last in known)
        now = [_noted(detection, None if wanted else last, stamp_ns) for detection, last in known]
        self._seen = now + before
        return wanted


def _taken(before: list[_Seen], box: Rect) -> _Seen | None:
    """The plate that was seen where this one is; it is taken from the list."""
    overlaps = [(box_iou(seen.box, box), index) for index, seen in enumerate(before)]
    overlap, index = max(overlaps, default=(0.0, 0))
    return before.pop(index) if overlap >= _SAME_IOU else None


def _worth(last: _Seen, detection: Detection, stamp_ns: int) -> bool:
    larger = quad_size(detection.quad)[1] >= LARGER * last.height_px
    return larger or stamp_ns - last.pictured_ns >= AGAIN_NS


def _noted(detection: Detection, last: _Seen | None, stamp_ns: int) -> _Seen:
    """A plate as it is now; without `last` it is pictured in this frame."""
    box = quad_box(detection.quad)
    if last is None:
        return _Seen(box, stamp_ns, quad_size(detection.quad)[1], stamp_ns)
    return _Seen(box, stamp_ns, last.height_px, last.pictured_ns)
