"""Rendered plates: format-aware text in many faces, with borders, strips, screws, stickers, dirt and light."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.emblems import emblem, scenery, small_print
from training.faces import CAP_HEIGHT, MASK_HEIGHT, Face, load_faces
from training.formats import MIDDLE, TWO_LINES, Layout, draw_layout, draw_text, plain
from training.strokes import stroke_face

PLATE_HEIGHT = 80
"""Height of a rendered plate in pixels; a two-line plate is 112 high."""
TWO_LINE_HEIGHT = 112

Grey = NDArray[np.uint8]
Mask = NDArray[np.float32]


def font_folders() -> tuple[Path, ...]:
    """Where faces are looked for: the data's, the distribution's and those that scripts/training-fonts fetched."""
    data = Path(os.environ.get("EDGE_ALPR_DATA", "../shared/data"))
    return data / "fonts", Path("/usr/share/fonts"), Path(__file__).resolve().parent.parent / "runs" / "fonts"


STROKE_SHARE, STROKE_POOL = 0.3, 1000
"""Share of plates whose face is drawn from strokes, and how many such faces there are."""


@lru_cache(maxsize=STROKE_POOL)
def _stroke_face(number: int) -> Face:
    return stroke_face(np.random.default_rng((77, number)))


def draw_face(rng: np.random.Generator) -> Face:
    """A type face by its weight, or one drawn from strokes that nobody has seen before."""
    if rng.random() < STROKE_SHARE:
        return _stroke_face(int(rng.integers(STROKE_POOL)))
    faces, weights = load_faces(font_folders())
    return faces[int(rng.choice(len(faces), p=weights))]


@dataclass(frozen=True, eq=False)
class RenderedPlate:
    """An upright plate, cut at its edges: `luma` (H, W) uint8, `text` A-Z0-9, `lines` 1 or 2."""

    luma: Grey
    text: str
    lines: int


@dataclass(frozen=True)
class Style:
    """What all characters of one plate share. Heights and gaps are shares of the character height."""

    stretch: float
    gap: float
    space: float
    weight: int
    monospaced: bool
    emblems: float
    """Chance that a gap between two groups holds a mark."""
    filling: bool
    """Whether the text is spread over all the room there is."""
    aside: float
    """Where the text lies in the room it leaves: 0 at the left, 0.5 in the middle."""


def render_plate(rng: np.random.Generator) -> RenderedPlate:
    """Draw one plate; everything about it comes from `rng`."""
    face = draw_face(rng)
    layout = draw_layout(rng)
    text = draw_text(layout, rng)
    height = TWO_LINE_HEIGHT if layout is TWO_LINES else PLATE_HEIGHT
    width = round(height * rng.uniform(*layout.aspect))
    ground, ink = _colours(rng)
    plate = _ground(height, width, ground, rng)
    columns = _strips(plate, rng) if rng.random() < layout.strip else slice(0, width)
    rows = _bands(plate, face, rng) if rng.random() < layout.band else slice(0, height)
    mask = np.zeros((height, width), np.float32)
    _write_text(mask[rows, columns], text, layout, face, rng)
    _border(mask, rng)
    plate = plate + mask * (ink - plate)
    if rng.random() < 0.35:
        plate += _emboss(mask) * rng.uniform(-45, 45)
    _screws_and_stickers(plate, rng)
    _weather(plate, rng)
    return RenderedPlate(np.clip(plate, 0, 255).astype(np.uint8), plain(text), 2 if "/" in text else 1)


def _colours(rng: np.random.Generator) -> tuple[float, float]:
    if rng.random() < 0.2:  # light on dark
        ground = rng.uniform(10, 110)
        return ground, min(255.0, ground + rng.uniform(70, 190))
    ground = rng.uniform(110, 250)
    return ground, max(0.0, ground - rng.uniform(60, 230))


def _ground(height: int, width: int, level: float, rng: np.random.Generator) -> Mask:
    plate = np.full((height, width), level, np.float32)
    if rng.random() < 0.3:  # state graphics, reflective film: a soft pattern
        coarse = rng.normal(0, rng.uniform(4, 22), (3, 6)).astype(np.float32)
        plate += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.15:
        scenery(plate, rng)
    return plate


def _strips(plate: Mask, rng: np.random.Generator) -> slice:
    """A country strip at the left (sometimes one at the right too); returns the columns left for the text."""
    height, width = plate.shape
    strip = round(height * rng.uniform(0.3, 0.48))
    level = rng.uniform(20, 120)
    sides = [slice(0, strip)] + ([slice(width - strip, width)] if rng.random() < 0.12 else [])
    for side in sides:
        plate[:, side] = level
        if rng.random() < 0.8:
            code = "".join(chr(65 + int(c)) for c in rng.integers(0, 26, int(rng.integers(1, 4))))
            badge = np.zeros((height, strip), np.uint8)
            cv2.putText(badge, code, (3, height - 10), 0, 0.5 * strip / 20 / len(code), 255, 1, cv2.LINE_AA)
            cv2.circle(badge, (strip // 2, height // 3), strip // 4, 160, 1, cv2.LINE_AA)
            plate[:, side] += badge * ((rng.uniform(170, 255) - level) / 255)
    return slice(strip, width - strip if len(sides) == 2 else width)


def _bands(plate: Mask, face: Face, rng: np.random.Generator) -> slice:
    """A dark band along the upper edge with a word in it (seldom one below too); returns the rows left for the text."""
    height, width = plate.shape
    band = round(height * rng.uniform(0.14, 0.27))
    sides = [slice(0, band)] + ([slice(height - band // 2, height)] if rng.random() < 0.2 else [])
    for side in sides:
        rows = plate[side]
        level = rng.uniform(10, 120)
        rows[:] = level
        if rng.random() < 0.85:
            ink = small_print(round(rows.shape[0] * rng.uniform(0.45, 0.8)), round(width * 0.9), face, rng)
            x, y = round((width - ink.shape[1]) * rng.uniform(0.1, 0.9)), max(0, round(rows.shape[0] * 0.15))
            part = rows[y : y + ink.shape[0], x : x + ink.shape[1]]
            part += ink[: part.shape[0]] * np.float32(rng.uniform(150, 255) - level)
    return slice(band, height - band // 2 if len(sides) == 2 else height)


def _write_text(mask: Mask, text: str, layout: Layout, face: Face, rng: np.random.Generator) -> None:
    height, width = mask.shape
    style = Style(
        stretch=rng.uniform(0.65, 1.2),
        gap=rng.uniform(0.07, 0.24),
        space=rng.uniform(0.25, 0.75),
        weight=int(rng.choice([-3, 0, 3, 5], p=[0.15, 0.55, 0.2, 0.1])),
        monospaced=bool(rng.random() < 0.25),
        emblems=float(rng.choice([0.0, 0.9], p=[0.65, 0.35])),
        filling=bool(rng.random() < 0.4),
        aside=float(rng.uniform(0.4, 0.6) if rng.random() < 0.6 else rng.uniform(0.05, 0.95)),
    )
    lines = text.split("/")
    crowded = layout.aspect[0] < 2.3 and len(lines) == 1  # short plates leave room for captions
    share = rng.uniform(0.45, 0.66) if crowded else rng.uniform(0.62, 0.84)
    row = height / len(lines)
    for number, line in enumerate(lines):
        cap = row * share * (rng.uniform(0.9, 1.0) if len(lines) > 1 else 1.0)
        ink = _set_line(line, cap, (style, face), width * rng.uniform(0.9, 0.96), rng)
        room_x, room_y = width - ink.shape[1], row - cap
        x = round(max(0.0, room_x * style.aside))
        y = round(number * row + max(0.0, room_y * rng.uniform(0.4, 0.6)))
        part = mask[y : y + ink.shape[0], x : x + ink.shape[1]]
        np.maximum(part, ink[: part.shape[0], : part.shape[1]], out=part)
    if crowded or (len(lines) == 1 and rng.random() < (0.3 if layout is MIDDLE else 0.15)):
        _captions(mask, height * (1 - share) / 2, face, rng)


def _set_line(line: str, cap: float, look: tuple[Style, Face], room: float, rng: np.random.Generator) -> Mask:
    """The ink of one line, `cap` pixels high, narrowed until it fits into `room` pixels."""
    style, face = look
    cell = max(glyph.shape[1] for glyph in face.glyphs.values()) * 0.95
    pieces = [_piece(char, style, face, cell, rng) for char in line]
    gap = np.zeros((MASK_HEIGHT, max(1, round(style.gap * CAP_HEIGHT))), np.uint8)
    strip = np.hstack([part for piece in pieces for part in (piece, gap)][:-1])
    if style.weight:
        kernel = np.ones((abs(style.weight), abs(style.weight)), np.uint8)
        strip = (cv2.dilate if style.weight > 0 else cv2.erode)(strip, kernel)
    scale = cap / CAP_HEIGHT
    natural = strip.shape[1] * scale * style.stretch
    width = min(natural * 1.5 if style.filling else natural, room)
    size = (max(8, round(width)), max(8, round(MASK_HEIGHT * scale)))
    return cv2.resize(strip, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _piece(char: str, style: Style, face: Face, cell: float, rng: np.random.Generator) -> Grey:
    if char in face.glyphs:
        glyph = face.glyphs[char]
        if not style.monospaced or glyph.shape[1] >= cell:
            return glyph
        pad = round(cell - glyph.shape[1])
        return np.pad(glyph, ((0, 0), (pad // 2, pad - pad // 2)))
    if rng.random() < style.emblems:
        return emblem(max(12, round(max(style.space, 0.4) * CAP_HEIGHT * rng.uniform(0.7, 1.6))), rng)
    piece = np.zeros((MASK_HEIGHT, max(2, round(style.space * CAP_HEIGHT))), np.uint8)
    middle = CAP_HEIGHT // 2
    if char == "-":
        piece[middle - 5 : middle + 5, 2:-2] = 255
    elif char == ".":
        cv2.circle(piece, (piece.shape[1] // 2, middle), 7, 255, -1)
    return piece


def _captions(mask: Mask, room: float, face: Face, rng: np.random.Generator) -> None:
    """Small words above and below the text: states, slogans. Never part of the label."""
    height, width = mask.shape
    for top in (0.1 * room, height - room * 0.95):
        if rng.random() < 0.65:
            ink = small_print(round(room * rng.uniform(0.5, 0.9)), round(width * 0.9), face, rng)
            x, y = round((width - ink.shape[1]) * rng.uniform(0.2, 0.8)), max(0, round(top))
            part = mask[y : y + ink.shape[0], x : x + ink.shape[1]]
            np.maximum(part, ink[: part.shape[0]] * np.float32(rng.uniform(0.5, 1.0)), out=part)


def _border(mask: Mask, rng: np.random.Generator) -> None:
    if rng.random() < 0.6:
        height, width = mask.shape
        inset, thick = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        cv2.rectangle(mask, (inset, inset), (width - 1 - inset, height - 1 - inset), rng.uniform(0.5, 1.0), thick)


def _emboss(mask: Mask) -> Mask:
    return mask - np.roll(mask, (1, 1), (0, 1))


def _screws_and_stickers(plate: Mask, rng: np.random.Generator) -> None:
    height, width = plate.shape
    if rng.random() < 0.4:
        level, radius = rng.uniform(20, 240), int(rng.integers(2, 6))
        y = int(rng.uniform(0.1, 0.9) * height)
        x = int(rng.uniform(0.04, 0.35) * width)
        for cx in (x, width - x):
            cv2.circle(plate, (cx, y), radius, level, -1, cv2.LINE_AA)
    for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.75, 0.12, 0.08, 0.05]))):  # stickers: inspection, month, year
        x, y = rng.uniform(0.02, 0.98) * width, rng.choice([rng.uniform(0.05, 0.2), rng.uniform(0.8, 0.95)]) * height
        reach, level = int(height * rng.uniform(0.05, 0.11)), rng.uniform(30, 240)
        if rng.random() < 0.5:
            cv2.circle(plate, (int(x), int(y)), reach, level, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(plate, (int(x) - 2 * reach, int(y) - reach), (int(x) + 2 * reach, int(y) + reach), level, -1)


def _weather(plate: Mask, rng: np.random.Generator) -> None:
    height, width = plate.shape
    if rng.random() < 0.35:  # dirt: darker and flatter in patches
        coarse = rng.uniform(0, 1, (int(rng.integers(2, 6)), int(rng.integers(4, 12)))).astype(np.float32)
        dirt = np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1) ** 2
        dirt *= rng.uniform(0.1, 0.6)
        plate += dirt * (rng.uniform(40, 150) - plate)
    if rng.random() < 0.3:  # the shadow of the boot lid or of a light's edge
        edge = rng.uniform(0.1, 0.9) * height + rng.uniform(-0.4, 0.4) * np.linspace(-1, 1, width) * height
        inside = (np.arange(height)[:, None] < edge[None]).astype(np.float32)
        plate *= 1 - inside * rng.uniform(0.1, 0.6)
    if rng.random() < 0.35:  # lamps above or at the side: a gradient
        slope = np.linspace(rng.uniform(0.6, 1.3), rng.uniform(0.6, 1.3), width, dtype=np.float32)[None]
        slope = slope * np.linspace(rng.uniform(0.6, 1.3), rng.uniform(0.6, 1.3), height, dtype=np.float32)[:, None]
        plate *= slope
