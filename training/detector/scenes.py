"""Training scenes: a window of a real picture, its plates kept or replaced by rendered ones, others added."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from training.detector.decoys import draw_decoy
from training.detector.light import spoil, to_luma
from training.detector.model import PADDING
from training.detector.paste import Floats, Luma, PlateBank, fit_box, grow, put, random_pose, relight, solid
from training.detector.pictures import Picture
from training.detector.targets import BOX_ONLY, CORNERS, IGNORE, SCORE_ONLY

SOURCES = {"dashcam": 0.38, "openimages": 0.40, "campus": 0.08, "negatives": 0.14}
OWN = 0.3
"""Share of a set labelled with `edge-alpr label`; the shares are brought to a sum of 1."""
SMALLEST_WIDTH, SMALLEST_HEIGHT = 9.0, 3.0
"""Plates below this size, in network pixels, are neither asked for nor punished."""


SMALL_SHARE, SMALL_PX = 0.4, (11.0, 34.0)
"""Share of the added plates that are far away, and how wide these are in network pixels."""

TURNED, TURN_DEGREES = 0.3, 8.0
"""Share of scenes that are turned as a whole, as by a camera held askew, and the spread of the angle."""


@dataclass(frozen=True, eq=False)
class Scene:
    """`luma` (H, W) uint8 with `quads` (n, 4, 2) float32 in its pixels and their kinds (see targets)."""

    luma: Luma
    quads: Floats
    kinds: NDArray[np.int64]
    sure: bool


@dataclass(eq=False)
class Draft:
    """A scene in the making."""

    luma: Luma
    quads: list[Floats] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    taken: list[Floats] = field(default_factory=list)
    vehicles: Floats = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    def add(self, quad: Floats, kind: int) -> None:
        """Note a plate; too small ones, and those whose centre lies outside, become ignored."""
        low, high = quad.min(axis=0), quad.max(axis=0)
        centre = (low + high) / 2
        outside = bool((centre < 0).any() or (centre > np.array(self.luma.shape[::-1]) - 1).any())
        wide, height = high - low
        if outside or wide < SMALLEST_WIDTH or height < SMALLEST_HEIGHT:
            kind = IGNORE
        self.quads.append(quad)
        self.kinds.append(kind)
        self.taken.append(np.concatenate([low, high]))

    def free(self, box: Floats) -> bool:
        """Whether a box keeps clear of everything that was put here or labelled."""
        return not any(
            box[0] < t[2] + 4 and t[0] < box[2] + 4 and box[1] < t[3] + 4 and t[1] < box[3] + 4 for t in self.taken
        )


def turn(draft: Draft, degrees: float) -> None:
    """Turn a scene around its middle. Where only the box of a plate was known, that box is loose afterwards."""
    height, width = draft.luma.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    ground = float(draft.luma.mean())
    draft.luma = np.asarray(
        cv2.warpAffine(draft.luma, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=ground), np.uint8
    )
    quads, kinds = draft.quads, draft.kinds
    draft.quads, draft.kinds, draft.taken = [], [], []
    for quad, kind in zip(quads, kinds, strict=True):
        turned = np.asarray(quad @ matrix[:, :2].T + matrix[:, 2], np.float32)
        draft.add(turned, SCORE_ONLY if kind == BOX_ONLY else kind)


@dataclass(frozen=True)
class Window:
    """Where the scene lies in its picture: out = (in + 0.5 - origin) * scale - 0.5."""

    origin: Floats
    scale: Floats
    mirrored_width: float

    def quad(self, quad: Floats) -> Floats:
        """Corners (4, 2) in the scene; a mirrored scene has no use for them."""
        return np.asarray((quad + 0.5 - self.origin) * self.scale - 0.5, np.float32)

    def boxes(self, boxes: Floats) -> Floats:
        """Boxes (n, 4) in the scene."""
        out = ((boxes.reshape(-1, 2, 2) + 0.5 - self.origin) * self.scale - 0.5).astype(np.float32)
        if self.mirrored_width:
            out[..., 0] = self.mirrored_width - 1 - out[:, ::-1, 0]
        return out.reshape(-1, 4)


def _choose_window(
    rng: np.random.Generator, picture: Picture, size: tuple[int, int], zoom: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Origin, in pixels of the picture, and scale of a window of `size` (width, height)."""
    h, w = picture.rgb.shape[:2]
    wanted = (w * rng.uniform(1.15, 1.6), h) if picture.stretched else (w, h)
    scale = min(640 / wanted[0], 384 / wanted[1]) * np.exp(rng.uniform(np.log(zoom[0]), np.log(zoom[1])))
    stretch = np.exp(rng.normal(0, 0.1, 2))
    scales = (np.array([scale * wanted[0] / w, scale]) * stretch).astype(np.float32)
    span = np.array(size, np.float32) / scales
    room = np.maximum(np.array([w, h]) - span, 0)
    origin = rng.uniform(0, 1, 2) * room
    marks = [label.box for label in picture.labels] or list(picture.vehicles)
    if marks and rng.random() < 0.75:
        mark = marks[int(rng.integers(len(marks)))]
        origin = (mark[:2] + mark[2:]) / 2 - span * rng.uniform(0.12, 0.88, 2)
    return np.clip(origin, 0, room).astype(np.float32), scales


def _cut(
    rng: np.random.Generator, picture: Picture, size: tuple[int, int], view: tuple[Floats, Floats]
) -> tuple[Luma, Floats, Floats]:
    """The luma of the window, resized and padded, with the origin and scale that whole pixels made of it."""
    origin, scales = view
    h, w = picture.rgb.shape[:2]
    x0, y0 = (int(v) for v in origin)
    x1 = int(min(np.ceil(x0 + size[0] / scales[0]), w))
    y1 = int(min(np.ceil(y0 + size[1] / scales[1]), h))
    part = picture.rgb[y0:y1, x0:x1]
    out = (max(8, round((x1 - x0) * float(scales[0]))), max(8, round((y1 - y0) * float(scales[1]))))
    exact = np.array([out[0] / (x1 - x0), out[1] / (y1 - y0)], np.float32)
    way = cv2.INTER_AREA if exact.max() < 1 else cv2.INTER_LINEAR
    small = to_luma(rng, np.asarray(cv2.resize(part, out, interpolation=way), np.uint8))
    small = small[: size[1], : size[0]]
    return np.ascontiguousarray(small), np.array([x0, y0], np.float32), exact


class Composer:
    """Makes scenes; all chance comes from the generator that is handed in."""

    def __init__(self, pictures: dict[str, list[Picture]], bank: PlateBank) -> None:
        self.pictures = {name: found for name, found in pictures.items() if found}
        shares = np.array([SOURCES.get(name, OWN) for name in self.pictures])
        self.shares = shares / shares.sum()
        self.bank = bank

    def scene(self, rng: np.random.Generator, size: tuple[int, int], zoom: tuple[float, float]) -> Scene:
        """One scene of `size` (width, height); `zoom` is the range around the scale that fits 640 x 384."""
        name = list(self.pictures)[int(rng.choice(len(self.shares), p=self.shares))]
        picture = self.pictures[name][int(rng.integers(len(self.pictures[name])))]
        view = _choose_window(rng, picture, size, zoom)
        luma, origin, scales = _cut(rng, picture, size, view)
        replace = rng.random() < 0.5
        mirror = (replace or not picture.labels) and rng.random() < 0.5
        if mirror:
            luma = np.ascontiguousarray(luma[:, ::-1])
        window = Window(origin, scales, float(luma.shape[1]) if mirror else 0.0)
        draft = Draft(luma, vehicles=window.boxes(picture.vehicles))
        self._own_plates(rng, draft, picture, window, replace)
        for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.45, 0.3, 0.15, 0.1]))):
            self._another_plate(rng, draft)
        for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.45, 0.25, 0.2, 0.1]))):
            _decoy(rng, draft)
        if rng.random() < TURNED:
            turn(draft, float(rng.normal(0, TURN_DEGREES)))
        luma = spoil(rng, draft.luma)
        full = np.full((size[1], size[0]), PADDING, np.uint8)
        full[: luma.shape[0], : luma.shape[1]] = luma
        quads = np.asarray(draft.quads, np.float32).reshape(-1, 4, 2)
        return Scene(full, quads, np.asarray(draft.kinds, np.int64), picture.sure)

    def _own_plates(
        self, rng: np.random.Generator, draft: Draft, picture: Picture, window: Window, replace: bool
    ) -> None:
        for label in picture.labels:
            box = window.boxes(label.box)[0]
            if box[2] < 0 or box[3] < 0 or box[0] >= draft.luma.shape[1] or box[1] >= draft.luma.shape[0]:
                continue
            if label.doubtful:
                draft.add(_box_quad(box), IGNORE)
            elif replace and box[2] - box[0] > 12:
                self._replace(rng, draft, box)
            elif label.quad is not None and not window.mirrored_width:
                draft.add(window.quad(label.quad), CORNERS)
            else:
                draft.add(_box_quad(box), SCORE_ONLY if picture.loose else BOX_ONLY)

    def _replace(self, rng: np.random.Generator, draft: Draft, box: Floats) -> None:
        """A rendered plate over a real one, in its light."""
        size = box[2:] - box[:2]
        aspect = float(size[0] / max(size[1], 1.0))
        best, plate = None, self.bank.pick(rng)
        for _ in range(4):
            candidate = self.bank.pick(rng)
            pose = random_pose(rng, candidate.shape[1] / candidate.shape[0])
            wide, high = pose.max(axis=0) - pose.min(axis=0)
            miss = abs(np.log(wide / high / aspect))
            if best is None or miss < best[0]:
                best, plate = (miss, pose), candidate
        assert best is not None
        margin = size * rng.uniform(0.02, 0.08) + 0.5
        quad = fit_box(best[1], np.concatenate([box[:2] - margin, box[2:] + margin]))
        mean, spread = _light_at(draft.luma, box)
        mean, spread = mean * rng.uniform(0.85, 1.2) + rng.normal(0, 5), spread * rng.uniform(0.8, 1.5) + 3
        cover = grow(quad, 1.06, 1.12)
        put(draft.luma, solid(np.full((8, 8), mean * rng.uniform(0.3, 0.8))), cover, rng.uniform(0, 1))
        self._put_plate(rng, draft, plate, quad, (mean, spread))

    def _put_plate(
        self, rng: np.random.Generator, draft: Draft, plate: Luma, quad: Floats, light: tuple[float, float]
    ) -> None:
        height = float(quad[:, 1].max() - quad[:, 1].min())
        soft = abs(rng.normal(0, 0.35)) + (rng.uniform(0.02, 0.1) * height if rng.random() < 0.25 else 0)
        put(draft.luma, solid(relight(rng, plate.astype(np.float32), *light)), quad, min(soft, 5.0))
        draft.add(quad, CORNERS)

    def _another_plate(self, rng: np.random.Generator, draft: Draft) -> None:
        """A rendered plate where there was none: on a vehicle, or anywhere."""
        plate = self.bank.pick(rng)
        h, w = draft.luma.shape
        pose = random_pose(rng, plate.shape[1] / plate.shape[0])
        span = pose.max(axis=0) - pose.min(axis=0)
        far = rng.random() < SMALL_SHARE
        widths = np.log(SMALL_PX if far else (14, min(0.8 * w, 450)))
        for _ in range(4):
            width = float(np.exp(rng.uniform(*widths)))
            centre = rng.uniform(0.03, 0.97, 2) * (w, h)
            if len(draft.vehicles) and rng.random() < 0.6:
                car = draft.vehicles[int(rng.integers(len(draft.vehicles)))]
                width = width if far else float((car[2] - car[0]) * rng.uniform(0.12, 0.4))
                centre = car[:2] + (car[2:] - car[:2]) * rng.uniform([0.15, 0.35], [0.85, 0.95])
            quad = np.asarray(pose / span[0] * width + centre, np.float32)
            if width > 10 and draft.free(np.concatenate([quad.min(axis=0), quad.max(axis=0)])):
                break
        else:
            return
        mean, _ = _light_at(draft.luma, np.concatenate([quad.min(axis=0), quad.max(axis=0)]))
        mean = min(230.0, max(12.0, mean * np.exp(rng.normal(0.2, 0.45))))
        if rng.random() < 0.6:
            tones = np.linspace(rng.uniform(0.2, 1.3), rng.uniform(0.2, 1.3), 8)[:, None] * mean
            mount = grow(quad, rng.uniform(1.04, 1.9), rng.uniform(1.08, 2.6))
            put(draft.luma, solid(tones.repeat(8, 1).clip(0, 255)), mount, rng.uniform(0, 3))
        spread = mean * rng.uniform(0.15, 0.55) + 2
        self._put_plate(rng, draft, plate, quad, (mean, spread))


def _decoy(rng: np.random.Generator, draft: Draft) -> None:
    patch = draw_decoy(rng)
    h, w = draft.luma.shape
    pose = random_pose(rng, patch.light.shape[1] / patch.light.shape[0])
    pose = pose / (pose.max(axis=0) - pose.min(axis=0))[0]
    width = float(np.exp(rng.uniform(np.log(16), np.log(0.7 * w))))
    quad = np.asarray(pose * width + rng.uniform(0, 1, 2) * (w, h), np.float32)
    box = np.concatenate([quad.min(axis=0), quad.max(axis=0)])
    if not draft.free(box):
        return
    draft.taken.append(box)
    if rng.random() < 0.5:
        patch = type(patch)(patch.light * (draft.luma.mean() / 128), patch.alpha)
    put(draft.luma, patch, quad, abs(rng.normal(0, 0.5)))


def _box_quad(box: Floats) -> Floats:
    return np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]], np.float32)


def _light_at(luma: Luma, box: Floats) -> tuple[float, float]:
    """Mean and standard deviation of the luma inside a box."""
    x0, y0 = (max(0, int(v)) for v in box[:2])
    part = luma[y0 : max(y0 + 1, int(box[3]) + 1), x0 : max(x0 + 1, int(box[2]) + 1)]
    if part.size == 0:
        return 90.0, 40.0
    mean, spread = cv2.meanStdDev(part)
    return float(mean[0, 0]), float(spread[0, 0])
