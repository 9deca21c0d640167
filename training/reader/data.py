"""Samples for the reader: rendered plates seen by a camera, and real crops of the training split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_alpr.geometry import box_quad, normalise_light, rectify
from training.damage import codec, damage, noise
from training.plates import RenderedPlate, render_plate
from training.pose import posed_quad

Grey = NDArray[np.uint8]
Quad = NDArray[np.float32]

SETS = {"dashcam": 0.4, "openimages": 0.3, "campus": 0.12, "ccpd_crops": 0.18}
"""Share of each real set in the real part of a batch."""


@dataclass(frozen=True, eq=False)
class RealPlate:
    """A labelled plate with its surroundings; the box is in pixels of `luma`."""

    luma: Grey
    box: tuple[float, float, float, float]
    text: str


def rendered_sample(rng: np.random.Generator) -> tuple[Grey, str]:
    """One crop (32, 128) as the rectifier would cut it, and its text."""
    plate = render_plate(rng)
    width = float(np.exp(rng.uniform(np.log(34), np.log(260))))
    scene, quad = _photograph(plate, width, rng)
    scene = damage(scene, width, rng)
    return normalise_light(rectify(scene, jitter_quad(quad, rng, 0.03))), plate.text


def _photograph(plate: RenderedPlate, width: float, rng: np.random.Generator) -> tuple[Grey, Quad]:
    height_px, width_px = plate.luma.shape
    quad = posed_quad(width_px / height_px, width, rng)
    span = quad.max(axis=0) - quad.min(axis=0)
    margin = span * 0.2 + 5
    size = np.ceil(span + 2 * margin).astype(int)
    quad = (quad - quad.min(axis=0) + margin).astype(np.float32)
    luma = plate.luma
    shrink = width / width_px
    if shrink < 0.8:
        luma = cv2.resize(luma, None, fx=shrink * 1.1, fy=shrink * 1.1, interpolation=cv2.INTER_AREA)
    rows, columns = luma.shape
    source = box_quad(-0.5, -0.5, columns - 0.5, rows - 0.5)
    matrix = cv2.getPerspectiveTransform(source, quad)
    scene = _surroundings(size[1], size[0], quad, rng)
    shape = (int(size[0]), int(size[1]))
    warped = cv2.warpPerspective(luma, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpPerspective(np.full_like(luma, 255), matrix, shape, flags=cv2.INTER_LINEAR)
    mix = alpha.astype(np.float32) / 255
    return (scene + mix * (warped - scene)).astype(np.uint8), quad


def _surroundings(height: int, width: int, quad: Quad, rng: np.random.Generator) -> NDArray[np.float32]:
    """Bodywork: soft light, a few edges, sometimes a frame around the plate."""
    coarse = rng.normal(rng.uniform(5, 220), rng.uniform(3, 40), (3, 4)).astype(np.float32)
    scene = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(int(rng.integers(0, 4))):
        y, dy = rng.uniform(0, height), rng.uniform(-0.2, 0.2) * height
        ends = (0, int(y)), (width, int(y + dy))
        cv2.line(scene, *ends, rng.uniform(0, 255), int(rng.integers(1, 6)))
    if rng.random() < 0.5:
        centre = quad.mean(axis=0)
        frame = centre + (quad - centre) * rng.uniform(1.03, 1.15, 2)
        cv2.fillConvexPoly(scene, np.int32(np.round(frame)), rng.uniform(0, 120))
    return np.clip(scene, 0, 255)


def jitter_quad(quad: Quad, rng: np.random.Generator, amount: float) -> Quad:
    """Move a quad as a detector might: together, and each corner; `amount` is a share of the plate's size."""
    span = quad.max(axis=0) - quad.min(axis=0)
    reach = np.array([span[0] * 0.6, span[1]]) * amount
    grow = 1 + rng.normal(0.01, amount * 2.2, 2)
    centre = quad.mean(axis=0)
    moved = centre + (quad - centre) * grow + rng.normal(0, reach) + rng.normal(0, reach, (4, 2)) * 0.7
    return np.asarray(moved, np.float32)


def load_real(data: Path, split: str = "train") -> dict[str, list[RealPlate]]:
    """Readable plates of every set that is there, with a margin of their surroundings."""
    return {name: _load_set(data / name, split) for name in SETS if (data / name / "labels.jsonl").exists()}


def _load_set(folder: Path, split: str) -> list[RealPlate]:
    plates = []
    for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["split"] != split:
            continue
        luma = cv2.imread(str(folder / record["image"]), cv2.IMREAD_GRAYSCALE)
        for plate in record["plates"]:
            text = plate.get("latin", plate["text"])
            if text and plate.get("legibility", "ok") != "unreadable":
                plates.append(_with_margin(luma, plate.get("box"), text))
    return plates


def _with_margin(luma: Grey, box: list[float] | None, text: str) -> RealPlate:
    if box is None:  # the picture is the crop
        height, width = luma.shape
        return RealPlate(luma, (-0.02 * width, -0.02 * height, 1.02 * width, 1.02 * height), text)
    x0, y0, x1, y1 = box
    pad_x, pad_y = 0.25 * (x1 - x0) + 4, 0.5 * (y1 - y0) + 4
    left, top = max(0, int(x0 - pad_x)), max(0, int(y0 - pad_y))
    part = luma[top : int(y1 + pad_y), left : int(x1 + pad_x)].copy()
    return RealPlate(part, (x0 - left, y0 - top, x1 - left, y1 - top), text)


def real_sample(plate: RealPlate, rng: np.random.Generator) -> tuple[Grey, str]:
    """A real crop under other light, scale, blur and codec, cut by a shaken quad."""
    luma, quad = plate.luma, box_quad(*plate.box)
    width = plate.box[2] - plate.box[0]
    if rng.random() < 0.5 and width > 45:
        scale = float(np.exp(rng.uniform(np.log(max(36 / width, 0.2)), 0)))
        luma = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        quad = quad * scale
    luma = _relight(luma, float(quad[1, 0] - quad[0, 0]), rng)
    quad = jitter_quad(quad, rng, 0.04)
    if rng.random() < 0.5:  # corners that follow a slanted plate worse or better than the box does
        slant = rng.normal(0, 0.08) * (quad[2, 1] - quad[0, 1])
        quad = quad + np.array([[0, -slant], [0, slant], [0, slant], [0, -slant]], np.float32)
    return normalise_light(rectify(luma, quad)), plate.text


def _relight(luma: Grey, width: float, rng: np.random.Generator) -> Grey:
    soft = luma.astype(np.float32)
    if rng.random() < 0.4:
        soft = cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.3, 0.5 + width * 0.008))
    if rng.random() < 0.15:
        soft += rng.uniform(0.3, 1.5) * (soft - cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.8, 2.0)))
    soft = 255 * (np.clip(soft, 0, 255) / 255) ** float(np.exp(rng.normal(0, 0.35)))
    soft = np.asarray(soft * rng.uniform(0.4, 1.25) + rng.uniform(-10, 30), np.float32)
    return codec(np.clip(noise(soft, rng), 0, 255).astype(np.uint8), width, rng)


def batch(
    size: int, real_share: float, real: dict[str, list[RealPlate]], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], list[str]]:
    """(N, 1, 32, 128) crops and their texts, mixed of rendered and real ones."""
    names = [name for name in SETS if real.get(name)]
    weights = np.array([SETS[name] for name in names])
    crops = np.empty((size, 1, 32, 128), np.uint8)
    texts = []
    for row in range(size):
        if names and rng.random() < real_share:
            plates = real[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
            crops[row, 0], text = real_sample(plates[int(rng.integers(len(plates)))], rng)
        else:
            crops[row, 0], text = rendered_sample(rng)
        texts.append(text)
    return crops, texts
