"""How sharp and how bright a marked plate lies in its picture: by the mark alone, so that no model moves it."""

from __future__ import annotations

import numpy as np

from edge_alpr.evaluate.figures import Conditions
from edge_alpr.evaluate.labels import BoxPx
from edge_alpr.geometry import box_quad, rectify
from edge_alpr.stages.rectify import sharpness
from edge_alpr.types import Luma


def conditions(luma: Luma, box: BoxPx) -> Conditions:
    """Look at a marked box, in pixels, of a picture (H, W) uint8. What lies outside of the picture is left out."""
    height = box[3] - box[1]
    inner = _part(luma, box)
    outer = _part(luma, (box[0] - height, box[1] - height, box[2] + height, box[3] + height))
    around = outer.size - inner.size
    light = (_total(outer) - _total(inner)) / around if around else float(inner.mean())
    return Conditions(sharpness(rectify(luma, box_quad(*box))), light, float(inner.std()))


def _total(part: Luma) -> float:
    return float(part.sum(dtype=np.uint64))


def _part(luma: Luma, box: BoxPx) -> Luma:
    """The pixels of a box that exist, at least one."""
    rows, columns = luma.shape
    x0, y0 = min(max(round(box[0]), 0), columns - 1), min(max(round(box[1]), 0), rows - 1)
    x1, y1 = max(round(box[2]), x0 + 1), max(round(box[3]), y0 + 1)
    return luma[y0 : min(y1, rows), x0 : min(x1, columns)]
