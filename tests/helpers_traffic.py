"""A small world of plates that drive through a picture, read with the noise of a real reader. Seeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from edge_alpr.evidence import ALPHABET, NONE, read_from_slots
from edge_alpr.geometry import box_quad, quad_size
from edge_alpr.types import Crop, Detection, Floats, Observation

WIDTH, HEIGHT = 1280, 720
CONFUSED = ("0ODQ", "1I", "2Z", "5S", "8B", "6G", "UV", "MNHW", "EF", "CG", "38", "4A", "7T", "9P", "JL", "KXY", "R")
BLANK_CROP = np.zeros((32, 128), np.uint8)


def slots_of(text: str, sure: float = 0.98, length: int = 0) -> Floats:
    """Slots that say `text`, each character with the same probability."""
    rows = np.full((max(len(text), length), NONE + 1), (1 - sure) / NONE, np.float32)
    for row, column in zip(rows, [ALPHABET.index(c) for c in text] + [NONE] * length, strict=False):
        row[column] = sure
    return rows


def observation(
    slots: Floats, box: tuple[float, float, float, float] = (600, 400, 700, 422), sharpness: float = 0.4
) -> Observation:
    quad = box_quad(*box)
    width, height = quad_size(quad)
    clipped = box[0] < 0 or box[1] < 0 or box[2] > WIDTH or box[3] > HEIGHT
    detection = Detection(quad, 0.9)
    crop = Crop(BLANK_CROP, detection, width, height, sharpness, clipped)
    return Observation(detection, crop, read_from_slots(slots))


def plate_text(rng: np.random.Generator) -> str:
    letters, digits = list("ABCDEFGHIJKLMNOPRSTUVWXYZ"), list("0123456789")
    kinds = ("LDDLLL", "LLDDLLL", "LDDDLLL", "DLLLDDD", "LLLDLDD", "LLDDLLDDDD")
    return "".join(rng.choice(letters if k == "L" else digits) for k in rng.choice(kinds))


def _neighbours(char: str) -> str:
    return "".join(g for g in CONFUSED if char in g).replace(char, "")


@dataclass
class NoisyText:
    """A plate's characters under noise that lasts: part of it for good (dirt, a screw), part for half a second."""

    text: str
    rng: np.random.Generator
    overconfident: float = 1.3
    _lasting: Floats = field(init=False)
    _passing: Floats = field(init=False)

    def __post_init__(self) -> None:
        self._lasting = self._noise()
        self._passing = self._noise()

    def _noise(self) -> Floats:
        return self.rng.normal(0, 1, (len(self.text), NONE + 1)).astype(np.float32)

    def read(self, height_px: float, dt_s: float) -> Floats:
        """One frame's slots; small plates are harder."""
        keep = float(np.exp(-dt_s / 0.4))
        self._passing = keep * self._passing + np.float32(np.sqrt(1 - keep**2)) * self._noise()
        clear = min(1.0, max(0.1, (height_px - 4) / 22))
        logits = np.full((len(self.text), NONE + 1), -8.0 * clear, np.float32)
        spread = np.full_like(logits, 1.0)
        for logit, wide, char in zip(logits, spread, self.text, strict=True):
            alike = [ALPHABET.index(other) for other in _neighbours(char)]
            logit[alike], wide[alike] = -5.5 * clear, 2.2
            logit[ALPHABET.index(char)] = 0.0
        logits += spread * (0.6 * self._lasting + 0.8 * self._passing)
        powers = np.exp(self.overconfident * logits)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


@dataclass
class Vehicle:
    """A plate on its way: comes from far away or from the side, is followed, leaves over the border."""

    text: str
    rng: np.random.Generator
    enters_s: float
    stays_s: float
    start: tuple[float, float] = (640, 380)
    end: tuple[float, float] = (1320, 460)
    heights: tuple[float, float] = (12, 34)
    noise: NoisyText = field(init=False)

    def __post_init__(self) -> None:
        self.noise = NoisyText(self.text, self.rng)

    def box(self, at_s: float) -> tuple[float, float, float, float] | None:
        """Where the plate is; None before it comes and after it has gone."""
        share = (at_s - self.enters_s) / self.stays_s
        if not 0 <= share <= 1:
            return None
        x, y = (a + (b - a) * share**2 for a, b in zip(self.start, self.end, strict=True))
        h = self.heights[0] + (self.heights[1] - self.heights[0]) * share
        return x - 2.35 * h, y - h / 2, x + 2.35 * h, y + h / 2


def look(vehicle: Vehicle, at_s: float, dt_s: float, shake: tuple[float, float]) -> Observation | None:
    """What detector and reader make of a vehicle in one frame, if they find it."""
    rng, place = vehicle.rng, vehicle.box(at_s)
    if place is None or rng.random() < 0.08:
        return None
    height = place[3] - place[1]
    jitter = rng.normal(0, 0.06 * height, 4)
    box = tuple(float(v + j + shake[i % 2]) for i, (v, j) in enumerate(zip(place, jitter, strict=True)))
    shown = max(0.0, min(box[2], WIDTH) - max(box[0], 0)) / (box[2] - box[0])
    if shown < 0.3:
        return None
    slots = vehicle.noise.read(height, dt_s)
    if shown < 0.98:
        count = max(1, round(shown * len(slots)))
        slots = slots[:count] if box[2] > WIDTH else slots[-count:]
    if rng.random() < 0.01:
        slots = NoisyText(plate_text(rng), rng).read(14, 1.0)
    return observation(slots, (box[0], box[1], box[2], box[3]), float(rng.uniform(0.2, 0.7)))


def drive(
    vehicles: list[Vehicle], fps: float, rng: np.random.Generator, shake_px: float = 0.0
) -> Iterator[tuple[int, list[Observation], Floats]]:
    """Stamp in ns, observations in random order, camera motion; frame by frame."""
    end_s = max(v.enters_s + v.stays_s for v in vehicles)
    before = np.zeros(2)
    for index in range(int(end_s * fps) + 1):
        at_s = index / fps
        shake = rng.normal(0, shake_px, 2) if shake_px else np.zeros(2)
        seen = [look(v, at_s, 1 / fps, (float(shake[0]), float(shake[1]))) for v in vehicles]
        found = [o for o in seen if o is not None]
        rng.shuffle(found)  # type: ignore[arg-type]
        motion = np.eye(2, 3, dtype=np.float32)
        motion[:, 2] = shake - before
        before = shake
        yield round(at_s * 1e9), found, motion
