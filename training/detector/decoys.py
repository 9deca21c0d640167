"""Things that look a little like plates and are none: lettering, signs, time stamps, lamps, grilles."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from training.detector.paste import Floats, Patch, solid

WORDS = (
    "Police", "Taxi", "Ambulanta", "www.auto.ro", "0742 123 456", "24h", "Exit", "Stop", "Sale", "Parking",
    "Mercedes-Benz", "Quattro", "turbo", "Diesel", "Hotel", "Pizza", "Baby on board", "Servis", "Bank",
    "Kilometer", "Rent a car", "School bus", "One way", "For sale", "Welcome", "Zentrum", "km/h",
    "Schmidt & Sohn", "Logistics", "Express", "Peugeot", "Toyota", "Octavia", "Sport", "4x4", "GT", "Café",
    "Apotheke", "Open", "Mall", "No entry", "info@firma.com", "Tel. 021/555 01 23", "Bus", "Line 41",
    "Caution", "Long vehicle", "How am I driving?", "City cargo", "Fresh fish",
)  # fmt: skip
FACES = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_COMPLEX | cv2.FONT_ITALIC,
)


def _line(rng: np.random.Generator, text: str) -> Floats:
    """Ink of one line of text, (48, w) float32, 0 to 1."""
    face = FACES[int(rng.integers(len(FACES)))]
    thick = int(rng.integers(2, 6))
    (width, high), base = cv2.getTextSize(text, face, 1.2, thick)
    ink = np.zeros((high + base + 8, width + 12), np.uint8)
    cv2.putText(ink, text, (6, high + 4), face, 1.2, 255, thick, cv2.LINE_AA)
    out = cv2.resize(ink, (max(8, int(ink.shape[1] * 48 / ink.shape[0])), 48), interpolation=cv2.INTER_AREA)
    return np.asarray(out, np.float32) / 255


def _two_tones(rng: np.random.Generator) -> tuple[float, float]:
    dark, light = float(rng.uniform(0, 110)), float(rng.uniform(130, 255))
    return (dark, light) if rng.random() < 0.5 else (light, dark)


def lettering(rng: np.random.Generator) -> Patch:
    """Words straight on what is there: stickers, badges, painted lettering."""
    text = WORDS[int(rng.integers(len(WORDS)))]
    ink = _line(rng, text.upper() if rng.random() < 0.3 else text)
    return Patch(np.full(ink.shape, _two_tones(rng)[0], np.float32), ink)


def stamp(rng: np.random.Generator) -> Patch:
    """A time stamp or caption as a camera writes it, with an outline."""
    h, m, s, day, month = (int(rng.integers(n)) for n in (24, 60, 60, 29, 12))
    date = f"{2015 + day % 11}-{month + 1:02}-{day + 1:02} {h:02}:{m:02}"
    text = (f"{h:02}:{m:02}:{s:02}", date, f"{m} km/h")[int(rng.integers(3))]
    ink = _line(rng, text)
    outline = cv2.dilate(ink, np.ones((5, 5), np.uint8))
    return Patch(255 * ink, outline if rng.random() < 0.6 else ink)


def sign(rng: np.random.Generator) -> Patch:
    """A board with one mixed-case line or several lines."""
    ground, ink_tone = _two_tones(rng)
    count = int(rng.choice([1, 2, 3, 4], p=[0.3, 0.15, 0.3, 0.25]))
    width = int(rng.integers(160, 420))
    board = np.full((int(count * 52 + rng.integers(8, 60)), width), ground, np.float32)
    top = (board.shape[0] - count * 52) // 2
    for row in range(count):
        ink = _line(rng, WORDS[int(rng.integers(len(WORDS)))])
        if ink.shape[1] > width - 8:
            ink = cv2.resize(ink, (width - 8, 44), interpolation=cv2.INTER_AREA)
        left = int(rng.integers(4, max(5, width - ink.shape[1])))
        spot = board[top + row * 52 :, left:][: ink.shape[0], : ink.shape[1]]
        spot += (ink_tone - spot) * ink[: spot.shape[0], : spot.shape[1]]
    if rng.random() < 0.4:
        cv2.rectangle(board, (2, 2), (width - 3, board.shape[0] - 3), ink_tone, 3)
    return solid(board)


def lamp(rng: np.random.Generator) -> Patch:
    """A blank bright shape: lamp, window, reflector, empty panel."""
    h, w = int(rng.integers(20, 80)), int(rng.integers(30, 240))
    alpha = np.zeros((h, w), np.float32)
    if rng.random() < 0.5:
        cv2.ellipse(alpha, (w // 2, h // 2), (w // 2 - 1, h // 2 - 1), 0, 0, 360, 1.0, -1)
    else:
        alpha[:] = 1.0
    light = np.linspace(rng.uniform(60, 255), rng.uniform(60, 255), w, dtype=np.float32)[None].repeat(h, 0)
    if rng.random() < 0.4:
        light[:: int(rng.integers(4, 12))] *= 0.6
    return Patch(light, alpha)


def grille(rng: np.random.Generator) -> Patch:
    """Bars: radiators, railings, bricks, shutters."""
    h, w = int(rng.integers(30, 100)), int(rng.integers(80, 300))
    light = np.full((h, w), rng.uniform(20, 160), np.float32)
    step, bar, tone = int(rng.integers(6, 30)), int(rng.integers(1, 8)), float(rng.uniform(30, 240))
    for x in range(0, w, step):
        light[:, x : x + bar] = tone
    if rng.random() < 0.5:
        for y in range(0, h, int(rng.integers(8, 30))):
            light[y : y + max(1, bar // 2)] = tone
    return solid(light.T if rng.random() < 0.3 else light)


def stripes(rng: np.random.Generator) -> Patch:
    """A hazard board: slanted stripes, or chevrons."""
    h, w = int(rng.integers(30, 70)), int(rng.integers(90, 320))
    dark, bright = _two_tones(rng)
    across, down = np.arange(w)[None], np.arange(h)[:, None] * rng.uniform(0.6, 1.6)
    if rng.random() < 0.3:
        down = np.abs(down - down.mean())
    band = ((across + down * rng.choice([-1.0, 1.0])) / rng.uniform(14, 45)) % 2 < 1
    return solid(np.where(band, dark, bright))


def roundel(rng: np.random.Generator) -> Patch:
    """A round sign with a number."""
    alpha, light = np.zeros((96, 96), np.float32), np.full((96, 96), rng.uniform(150, 255), np.float32)
    cv2.circle(alpha, (48, 48), 46, 1.0, -1, cv2.LINE_AA)
    cv2.circle(light, (48, 48), 43, float(rng.uniform(40, 140)), 8, cv2.LINE_AA)
    ink = _line(rng, str(int(rng.integers(1, 14)) * 10))[:, :60]
    spot = light[24 : 24 + ink.shape[0], (96 - ink.shape[1]) // 2 :][:, : ink.shape[1]]
    spot *= 1 - ink
    return Patch(light, alpha)


Draw = Callable[[np.random.Generator], Patch]
DECOYS: tuple[Draw, ...] = (
    lettering, lettering, stamp, sign, sign, lamp, grille, stripes, roundel,
)  # fmt: skip


def draw_decoy(rng: np.random.Generator) -> Patch:
    return DECOYS[int(rng.integers(len(DECOYS)))](rng)
