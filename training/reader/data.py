"""Samples for the reader: rendered plates seen by a camera, and real crops of the training split."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_alpr.geometry import box_iou, box_quad, normalise_light, quad_box, rectify
from training.damage import codec, damage, noise
from training.detector.corners import Find, corners
from training.emblems import small_print
from training.plates import RenderedPlate, draw_face, render_plate
from training.pose import posed_quad

Grey = NDArray[np.uint8]
Quad = NDArray[np.float32]

SETS = {"dashcam": 0.4, "openimages": 0.3, "campus": 0.12, "ccpd_crops": 0.18}
"""Share of each real set in the real part of a batch."""
OWN = 0.3
"""That of a set labelled with `edge-alpr label`; the shares are brought to a sum of 1."""
WIDTHS_PX = (28.0, 300.0)
"""Narrowest and widest plate rendered, in pixels of its frame."""
FLAT = 9.0
"""Grey levels of contrast (standard deviation) below which the middle of a crop shows nothing."""


@dataclass(frozen=True, eq=False)
class RealPlate:
    """A labelled plate with its surroundings; the quads, (4, 2) float32, are in pixels of `luma`.

    The first quad is the best known: labelled corners, those seen from near, or the label's box; a second one is
    what the product's detector says, where it finds the plate.
    """

    luma: Grey
    quads: tuple[Quad, ...]
    text: str


def rendered_sample(rng: np.random.Generator) -> tuple[Grey, str]:
    """One crop (32, 128) as the rectifier would cut it, light normalised, and its text."""
    plate = render_plate(rng)
    return normalise_light(photographed(plate, rng)), plate.text


def photographed(plate: RenderedPlate, rng: np.random.Generator) -> Grey:
    """A rendered plate as a camera sees it and the rectifier cuts it, (32, 128), its light as it is."""
    width = float(np.exp(rng.uniform(*np.log(WIDTHS_PX))))
    scene, quad = _photograph(plate, width, rng)
    quad = jitter_quad(quad, rng, shake(rng))
    for _ in range(3):
        crop = rectify(damage(scene, width, rng), quad)
        if crop[8:24, 16:112].std() > FLAT:  # blown out or blacked out altogether: there is nothing to learn
            break
    return crop


def shake(rng: np.random.Generator) -> float:
    """How far the detector is off, as a share of the plate's size: mostly little, at times a lot."""
    return float(rng.choice([0.02, 0.035, 0.06], p=[0.45, 0.4, 0.15]))


def _photograph(plate: RenderedPlate, width: float, rng: np.random.Generator) -> tuple[Grey, Quad]:
    """A plate seen by a camera, `width` pixels wide, on what it is mounted on; and its quad there."""
    height_px, width_px = plate.luma.shape
    quad = posed_quad(width_px / height_px, width, rng)
    span = quad.max(axis=0) - quad.min(axis=0)
    margin = span * 0.25 + 5
    size = np.ceil(span + 2 * margin).astype(int)
    quad = (quad - quad.min(axis=0) + margin).astype(np.float32)
    luma, inner = mounted(plate.luma, rng) if rng.random() < 0.5 else (plate.luma, (0, 0))
    shrink = width / width_px
    scale = shrink * 1.1 if shrink < 0.8 else 1.0
    if scale < 1.0:
        luma = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    left, top = inner[0] * scale - 0.5, inner[1] * scale - 0.5
    source = box_quad(left, top, left + width_px * scale, top + height_px * scale)
    matrix = cv2.getPerspectiveTransform(source, quad)
    scene = _surroundings(size[1], size[0], rng)
    shape = (int(size[0]), int(size[1]))
    warped = cv2.warpPerspective(luma, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpPerspective(np.full_like(luma, 255), matrix, shape, flags=cv2.INTER_LINEAR)
    mix = alpha.astype(np.float32) / 255
    return (scene + mix * (warped - scene)).astype(np.uint8), quad


def mounted(plate: Grey, rng: np.random.Generator) -> tuple[Grey, tuple[int, int]]:
    """A plate in its holder or recess, with a dealer's words on it; and where the plate's corner lies (x, y)."""
    height, width = plate.shape
    left, right = (round(width * rng.uniform(0.005, 0.09)) + 1 for _ in range(2))
    top, bottom = (round(height * rng.choice([rng.uniform(0.02, 0.1), rng.uniform(0.1, 0.35)])) + 1 for _ in range(2))
    tone, ink = rng.uniform(0, 200), rng.uniform(0, 255)
    board = np.full((height + top + bottom, width + left + right), tone, np.float32)
    for y, room in ((0, top), (height + top, bottom)):
        if room > 0.12 * height and rng.random() < 0.6:
            words = small_print(round(room * rng.uniform(0.5, 0.9)), width, draw_face(rng), rng)
            x = left + round((width - words.shape[1]) * rng.uniform(0.1, 0.9))
            spot = board[y + round(room * 0.05) :, x:][: words.shape[0], : words.shape[1]]
            spot += (ink - spot) * words[: spot.shape[0], : spot.shape[1]]
    board[top : top + height, left : left + width] = plate
    if rng.random() < 0.12:  # the holder's lip or a tow bar before the plate
        cover = round(height * rng.uniform(0.02, 0.09))
        board[top : top + cover] = tone
        board[top + height - cover : top + height] = tone
    return np.clip(board, 0, 255).astype(np.uint8), (left, top)


def _surroundings(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Bodywork: soft light, a few edges."""
    coarse = rng.normal(rng.uniform(5, 220), rng.uniform(3, 40), (3, 4)).astype(np.float32)
    scene = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(int(rng.integers(0, 4))):
        y, dy = rng.uniform(0, height), rng.uniform(-0.2, 0.2) * height
        ends = (0, int(y)), (width, int(y + dy))
        cv2.line(scene, *ends, rng.uniform(0, 255), int(rng.integers(1, 6)))
    return np.clip(scene, 0, 255)


def jitter_quad(quad: Quad, rng: np.random.Generator, amount: float) -> Quad:
    """Move a quad as a detector might: together, and each corner; `amount` is a share of the plate's size."""
    span = quad.max(axis=0) - quad.min(axis=0)
    reach = np.array([span[0] * 0.6, span[1]]) * amount
    grow = 1 + rng.normal(0.01, amount * 2.2, 2)
    centre = quad.mean(axis=0)
    moved = centre + (quad - centre) * grow + rng.normal(0, reach) + rng.normal(0, reach, (4, 2)) * 0.7
    return np.asarray(moved, np.float32)


def read_luma(path: Path) -> Grey:
    """A picture's luma."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def load_real(
    data: Path,
    split: str = "train",
    find: Find | None = None,
    read: Callable[[Path], Grey] = read_luma,
    own: Sequence[Path] = (),
) -> dict[str, list[RealPlate]]:
    """Readable plates of every set that is there, with a margin of their surroundings, as `read` shows them.

    `own` are more folders with a `labels.jsonl`, which must be there.
    """
    folders = [folder for name in SETS if ((folder := data / name) / "labels.jsonl").exists()]
    sets = {folder.name: _load_set(folder, split, find, read) for folder in folders}
    return sets | {str(folder): _load_set(folder, split, find, read) for folder in own}


def _load_set(
    folder: Path, split: str, find: Find | None = None, read: Callable[[Path], Grey] = read_luma
) -> list[RealPlate]:
    plates = []
    for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["split"] != split:
            continue
        luma = read(folder / record["image"])
        found = find(luma) if find and any("box" in plate for plate in record["plates"]) else ()
        for plate in record["plates"]:
            text = plate.get("latin", plate["text"])
            if text and plate.get("legibility", "ok") != "unreadable":
                box = plate.get("box")
                near = np.float32(plate["quad"]) if "quad" in plate else None
                if near is None and find and box:
                    near = corners(find, luma, np.array(box, np.float32))
                plates.append(_with_margin(luma, box, ([near] if near is not None else [], found), text))
    return plates


def _with_margin(
    luma: Grey, box: list[float] | None, quads: tuple[Sequence[Quad], Sequence[Quad]], text: str
) -> RealPlate:
    if box is None:  # the picture is the crop
        height, width = luma.shape
        return RealPlate(luma, (box_quad(-0.02 * width, -0.02 * height, 1.02 * width, 1.02 * height),), text)
    x0, y0, x1, y1 = box
    mark = np.array(box, np.float32)
    near, found = quads
    chosen = [*near, box_quad(*box)][:1] + [quad for quad in found if box_iou(quad_box(quad), mark) > 0.4][:1]
    pad_x, pad_y = 0.3 * (x1 - x0) + 4, 0.6 * (y1 - y0) + 4
    left, top = max(0, int(x0 - pad_x)), max(0, int(y0 - pad_y))
    part = luma[top : int(y1 + pad_y), left : int(x1 + pad_x)].copy()
    return RealPlate(part, tuple(quad - np.float32([left, top]) for quad in chosen), text)


def real_sample(plate: RealPlate, rng: np.random.Generator) -> tuple[Grey, str]:
    """A real crop under other light, scale, blur and codec, cut by a shaken quad, light normalised; and its text."""
    return normalise_light(seen_again(plate, rng)), plate.text


def seen_again(plate: RealPlate, rng: np.random.Generator) -> Grey:
    """A real crop (32, 128) under other light, scale, blur and codec, cut by a shaken quad."""
    luma, found = plate.luma, len(plate.quads) > 1 and rng.random() < 0.6
    quad = plate.quads[1 if found else 0]
    width = float(quad[1, 0] - quad[0, 0])
    if rng.random() < 0.5 and width > 45:
        scale = float(np.exp(rng.uniform(np.log(max(36 / width, 0.2)), 0)))
        luma = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        quad = quad * scale
    luma = _relight(luma, float(quad[1, 0] - quad[0, 0]), rng)
    quad = jitter_quad(quad, rng, 0.7 * shake(rng) if found else shake(rng))
    if not found and rng.random() < 0.4:  # corners that follow a slanted plate worse or better than the box does
        slant = rng.normal(0, 0.08) * (quad[2, 1] - quad[0, 1])
        quad = quad + np.array([[0, -slant], [0, slant], [0, slant], [0, -slant]], np.float32)
    return rectify(luma, quad)


def _relight(luma: Grey, width: float, rng: np.random.Generator) -> Grey:
    soft = luma.astype(np.float32)
    if rng.random() < 0.4:
        soft = cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.3, 0.5 + width * 0.008))
    if rng.random() < 0.15:
        soft += rng.uniform(0.3, 1.5) * (soft - cv2.GaussianBlur(soft, (0, 0), rng.uniform(0.8, 2.0)))
    soft = 255 * (np.clip(soft, 0, 255) / 255) ** float(np.exp(rng.normal(0, 0.35)))
    soft = np.asarray(soft * rng.uniform(0.4, 1.25) + rng.uniform(-10, 30), np.float32)
    return codec(np.clip(noise(soft, rng), 0, 255).astype(np.uint8), width, rng)


def draw_real(real: dict[str, list[RealPlate]], rng: np.random.Generator) -> RealPlate:
    """One real plate, the sets by their share."""
    names = [name for name, plates in real.items() if plates]
    weights = np.array([SETS.get(name, OWN) for name in names])
    plates = real[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
    return plates[int(rng.integers(len(plates)))]


def batch(
    size: int, real_share: float, real: dict[str, list[RealPlate]], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], list[str]]:
    """(N, 1, 32, 128) crops and their texts, mixed of rendered and real ones."""
    crops = np.empty((size, 1, 32, 128), np.uint8)
    texts = []
    for row in range(size):
        if any(real.values()) and rng.random() < real_share:
            crops[row, 0], text = real_sample(draw_real(real, rng), rng)
        else:
            crops[row, 0], text = rendered_sample(rng)
        texts.append(text)
    return crops, texts
