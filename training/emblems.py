"""What stands on and around a plate besides its text: seals, small words, pictures, dealer frames; never labelled."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.faces import CAP_HEIGHT, MASK_HEIGHT, Face
from training.formats import ALPHABET

Mask = NDArray[np.float32]
Ink = NDArray[np.uint8]
HANDS = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
    cv2.FONT_HERSHEY_COMPLEX | cv2.FONT_ITALIC,
)  # fmt: skip
VOWELS, CONSONANTS = "aeiou", "bcdfghklmnprstvz"


def emblem(width: int, rng: np.random.Generator) -> Ink:
    """A mark between two groups of characters, (MASK_HEIGHT, width) uint8: seal, star, map, tiny stacked words."""
    ink = np.zeros((MASK_HEIGHT, width), np.uint8)
    EMBLEMS[int(rng.integers(len(EMBLEMS)))](ink, rng)
    if rng.random() < 0.4:  # printed, not stamped: paler than the characters
        ink = np.asarray(ink * rng.uniform(0.25, 0.9), np.uint8)
    return ink


def _seals(ink: Ink, rng: np.random.Generator) -> None:
    """One round sticker, or two above each other, with something in them."""
    radius = max(3, round(min(ink.shape[1] / 2 - 1, CAP_HEIGHT * rng.uniform(0.14, 0.25))))
    for y in (0.27, 0.75) if rng.random() < 0.5 else (rng.uniform(0.3, 0.7),):
        centre = ink.shape[1] // 2, round(y * CAP_HEIGHT)
        filled = rng.random() < 0.6
        cv2.circle(ink, centre, radius, 255, -1 if filled else 2, cv2.LINE_AA)
        inner, light = max(1, round(radius * rng.uniform(0.2, 0.7))), int(rng.integers(0, 160))
        cv2.circle(ink, centre, inner, light if filled else 255, -1 if rng.random() < 0.6 else 1, cv2.LINE_AA)


def _shape(ink: Ink, rng: np.random.Generator) -> None:
    """A map, crest, heart or star: a closed line around a centre."""
    corners = int(rng.integers(5, 14))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = rng.uniform(0.45, 1.0, corners) * min(ink.shape[1] / 2 - 1, CAP_HEIGHT * 0.36)
    middle = ink.shape[1] / 2, CAP_HEIGHT * rng.uniform(0.35, 0.65)
    points = np.stack([middle[0] + reach * np.cos(angles), middle[1] + reach * np.sin(angles)], 1)
    if rng.random() < 0.7:
        cv2.fillPoly(ink, [np.int32(np.round(points))], 255, cv2.LINE_AA)
    else:
        cv2.polylines(ink, [np.int32(np.round(points))], True, 255, 2, cv2.LINE_AA)


def _dash(ink: Ink, rng: np.random.Generator) -> None:
    """A short bar, dot or diamond."""
    half = max(2, round(ink.shape[1] * rng.uniform(0.12, 0.4))), int(rng.integers(3, 9))
    y, x = round(CAP_HEIGHT * rng.uniform(0.35, 0.7)), ink.shape[1] // 2
    if rng.random() < 0.6:
        cv2.rectangle(ink, (x - half[0], y - half[1]), (x + half[0], y + half[1]), 255, -1)
    else:
        points = np.array([[x - half[0], y], [x, y - half[0]], [x + half[0], y], [x, y + half[0]]])
        cv2.fillConvexPoly(ink, points, 255, cv2.LINE_AA)


def _stacked(ink: Ink, rng: np.random.Generator) -> None:
    """Two or three tiny lines, or strokes of another script."""
    rows = int(rng.integers(2, 5))
    for row in range(rows):
        y = round(CAP_HEIGHT * (row + 1) / rows) - 2
        if rng.random() < 0.6:
            size = 0.75 * CAP_HEIGHT / rows / 22
            word = "".join(ALPHABET[int(c)] for c in rng.integers(0, 36, int(rng.integers(1, 3))))
            cv2.putText(ink, word, (1, y), 0, min(size, ink.shape[1] / 20 / len(word)), 255, 1, cv2.LINE_AA)
        else:
            xs = np.sort(rng.integers(1, max(2, ink.shape[1] - 1), int(rng.integers(3, 7))))
            ys = y - rng.integers(0, max(2, CAP_HEIGHT // rows), len(xs))
            cv2.polylines(ink, [np.stack([xs, ys], 1).astype(np.int32)], False, 255, 2, cv2.LINE_AA)


EMBLEMS = (_seals, _seals, _shape, _dash, _stacked)


def word(rng: np.random.Generator) -> str:
    """A pronounceable word or two, in capitals, capitalised or small."""
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        letters = [
            (VOWELS if n % 2 else CONSONANTS)[int(rng.integers(5 if n % 2 else 16))]
            for n in range(int(rng.integers(2, 9)))
        ]
        parts.append("".join(letters))
    text = " ".join(parts)[:18]
    kind = rng.random()
    if kind < 0.5:
        return text.upper()
    return text.title() if kind < 0.8 else "www." + text.replace(" ", "-") + ".com"


def small_print(height: int, room: int, face: Face, rng: np.random.Generator) -> Mask:
    """One line of small words, `height` pixels high and at most `room` wide, as ink 0 to 1."""
    text = word(rng)
    if rng.random() < 0.5:
        gap = np.zeros((MASK_HEIGHT, 10), np.uint8)
        glyphs = [face.glyphs.get(c, np.zeros((MASK_HEIGHT, 30), np.uint8)) for c in text.upper()]
        ink = np.hstack([part for glyph in glyphs for part in (glyph, gap)])
    else:
        hand = HANDS[int(rng.integers(len(HANDS)))]
        (width, high), base = cv2.getTextSize(text, hand, 1.2, 2)
        ink = np.zeros((high + base + 6, width + 8), np.uint8)
        cv2.putText(ink, text, (4, high + 2), hand, 1.2, 255, int(rng.integers(2, 5)), cv2.LINE_AA)
    width = min(round(ink.shape[1] * height / ink.shape[0]), room)
    size = max(4, width), max(3, height)
    return np.asarray(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), np.float32) / 255


def scenery(plate: Mask, rng: np.random.Generator) -> None:
    """A printed picture behind the text: bands, hills, a tree, letters washed out. In place, low in contrast."""
    height, width = plate.shape
    level = float(plate.mean())
    for _ in range(int(rng.integers(1, 4))):
        tone = level + rng.uniform(-70, 45)
        layer = plate.copy()
        kind = rng.random()
        if kind < 0.35:  # bands at the top or bottom
            edge = round(height * rng.uniform(0.08, 0.3))
            layer[:edge] = tone
            if rng.random() < 0.6:
                layer[height - edge :] = tone + rng.uniform(-20, 20)
        elif kind < 0.75:  # hills, water
            xs = np.linspace(0, width, int(rng.integers(4, 9)))
            ys = height * rng.uniform(0.3, 0.95, len(xs))
            hill = np.concatenate([np.stack([xs, ys], 1), [[width, height], [0, height]]])
            cv2.fillPoly(layer, [np.int32(hill)], tone)
        else:
            centre = int(rng.uniform(0, width)), int(rng.uniform(0, height))
            axes = int(height * rng.uniform(0.15, 0.6)), int(height * rng.uniform(0.15, 0.6))
            cv2.ellipse(layer, centre, axes, rng.uniform(0, 180), 0, 360, tone, -1)
        plate += (layer - plate) * rng.uniform(0.2, 0.9)
