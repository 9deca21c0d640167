"""Cutting a plate out of its frame: upright, light normalised, with a measure of its sharpness."""

from __future__ import annotations

import cv2
import numpy as np

from edge_alpr import geometry
from edge_alpr.types import Crop, Detection, Floats, Luma

BORDER_PX = 1.0
"""A plate with a corner so near to the border of the frame counts as clipped."""
FLAT_STD = 1.0
"""Crops whose light varies by less (grey levels) are flat: what varies is noise, not a plate."""


def cut(
    luma: Luma, detection: Detection, shape: geometry.CropShape = geometry.CROP, normalise: bool = True
) -> Crop:
    """Cut one plate out of a frame (H, W) uint8, for a reader that wants crops of that shape.

    The crop owns its pixels; the frame may go afterwards. Without `normalise` its light stays as it was.
    """
    upright = geometry.rectify(luma, detection.quad, shape)
    width, height = geometry.quad_size(detection.quad)
    return Crop(
        image=geometry.normalise_light(upright) if normalise else upright,
        detection=detection,
        width_px=width,
        height_px=height,
        sharpness=sharpness(_comparable(upright)),
        clipped=clipped(detection.quad, (luma.shape[1], luma.shape[0])),
    )


def _comparable(upright: Luma) -> Luma:
    """The crop at the size of the shipped reader's, so that the sharpness means the same for every reader."""
    if upright.shape == (geometry.CROP_HEIGHT, geometry.CROP_WIDTH):
        return upright
    size = (geometry.CROP_WIDTH, geometry.CROP_HEIGHT)
    return np.asarray(cv2.resize(upright, size, interpolation=cv2.INTER_AREA), np.uint8)


def sharpness(crop: Luma) -> float:
    """Variance of the Laplacian over the variance of the light; 0 for a flat crop."""
    light = float(cv2.meanStdDev(crop)[1][0, 0])
    if light < FLAT_STD:
        return 0.0
    edges = float(cv2.meanStdDev(cv2.Laplacian(crop, cv2.CV_16S))[1][0, 0])
    return (edges / light) ** 2


def clipped(quad: Floats, frame: tuple[int, int]) -> bool:
    """Whether a corner of the quad lies outside the frame (width, height) or within a pixel of its border."""
    x0, y0, x1, y1 = geometry.quad_box(quad)
    last_x, last_y = frame[0] - 1 - BORDER_PX, frame[1] - 1 - BORDER_PX
    return x0 < BORDER_PX or y0 < BORDER_PX or x1 > last_x or y1 > last_y
