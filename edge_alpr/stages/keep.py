"""The pictures kept with an event: small copies taken while the frame is lent, encoded only when told."""

from __future__ import annotations

import cv2
import numpy as np

from edge_alpr.geometry import quad_box, quad_size, resized
from edge_alpr.types import Detection, Floats, Frame, Luma, Observation, Scene

SCENE_WIDTH = 960
"""Widest picture kept of a frame, in pixels."""
PATCH_MARGIN = 0.35
"""What is kept around a plate, as a share of its width and height."""
PATCH_WIDTH = 640


def small_scene(frame: Frame) -> Scene:
    """A copy of the frame at the size of its chroma planes, at most SCENE_WIDTH wide."""
    width, height = frame.width, frame.height
    scale = min(0.5, SCENE_WIDTH / width) if width > 320 else 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    luma = _fit(frame.luma, size)
    return Scene(luma, tuple(_fit(plane, size) for plane in _split(frame.chroma)), width, height)


def _split(chroma: tuple[Luma, ...]) -> tuple[Luma, ...]:
    """(U, V) as they are; the interleaved UV plane of NV12, (H/2, W), as two strided views."""
    if len(chroma) == 1:
        return chroma[0][:, 0::2], chroma[0][:, 1::2]
    return chroma


def _fit(plane: Luma, size: tuple[int, int]) -> Luma:
    if (plane.shape[1], plane.shape[0]) == size:
        return plane.copy()
    return resized(plane, size)


def surroundings(luma: Luma, detection: Detection) -> tuple[Luma, Detection]:
    """The `patch` of a plate, and the plate in its pixels."""
    height, width = luma.shape
    return patch(luma, detection), Detection(patch_quad(detection.quad, width, height), detection.score)


def patch(luma: Luma, detection: Detection) -> Luma:
    """The plate as the camera saw it with a margin, cut to the frame, at most PATCH_WIDTH wide; a copy."""
    left, top, right, bottom = _surroundings(detection.quad, luma.shape[1], luma.shape[0])
    if right - left < 1 or bottom - top < 1:
        return luma[:1, :1].copy()
    region = luma[top:bottom, left:right]
    scale = PATCH_WIDTH / region.shape[1]
    if scale >= 1:
        return region.copy()
    return _fit(region, (PATCH_WIDTH, max(1, round(region.shape[0] * scale))))


def patch_quad(quad: Floats, width: int, height: int) -> Floats:
    """Where `quad` lies in the `patch` that was cut of a frame of `width` x `height`: (4, 2) float32, its pixels."""
    left, top, right, _ = _surroundings(quad, width, height)
    scale = min(1.0, PATCH_WIDTH / max(1, right - left))
    return np.asarray((quad - np.array([left, top]) + 0.5) * scale - 0.5, np.float32)


def _surroundings(quad: Floats, frame_width: int, frame_height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is kept around a plate, in pixels of the frame."""
    width, height = quad_size(quad)
    x0, y0, x1, y1 = quad_box(quad)
    left, top = max(0, int(x0 - PATCH_MARGIN * width)), max(0, int(y0 - PATCH_MARGIN * height))
    right = min(frame_width, int(x1 + PATCH_MARGIN * width) + 1)
    return left, top, right, min(frame_height, int(y1 + PATCH_MARGIN * height) + 1)


def encode(observation: Observation, quality: int) -> tuple[bytes, bytes]:
    """JPEGs of the plate and of the scene with the plate outlined; empty where nothing was kept."""
    plate = b"" if observation.patch is None else _jpeg(observation.patch, quality)
    if observation.scene is None:
        return plate, b""
    scene = observation.scene
    canvas = picture(scene)
    scale = np.array([scene.luma.shape[1] / scene.width, scene.luma.shape[0] / scene.height])
    outline = np.round(observation.detection.quad * scale).astype(np.int32)
    cv2.polylines(canvas, [outline], True, (80, 220, 80), 2, cv2.LINE_AA)
    return plate, _jpeg(canvas, quality)


def picture(scene: Scene) -> Luma:
    """(H, W, 3) BGR of a scene."""
    if len(scene.chroma) != 2:
        return np.asarray(cv2.cvtColor(scene.luma, cv2.COLOR_GRAY2BGR), np.uint8)
    u, v = scene.chroma
    # cameras and files use the limited range of BT.601/709; OpenCV's YCrCb is full range
    luma = cv2.addWeighted(scene.luma, 255 / 219, scene.luma, 0, -16 * 255 / 219)
    return np.asarray(cv2.cvtColor(cv2.merge([luma, v, u]), cv2.COLOR_YCrCb2BGR), np.uint8)


def _jpeg(canvas: Luma, quality: int) -> bytes:
    done, packed = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return packed.tobytes() if done else b""
