"""Type faces drawn from strokes: skeletons of 0-9 A-Z inked with a pen, form and width that a seed decides.

Many plates are set in faces of which no free cut exists; a reader that meets a new face on every plate learns the
letters and not the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from training.faces import CAP_HEIGHT, MASK_HEIGHT, Face
from training.formats import ALPHABET

SCALE = 4
"""Masks are drawn so many times larger and shrunk: smooth edges."""

# A skeleton: its width in percent of the face's, then points "x,y" in a unit box (y downwards). "~" marks the corner
# of a bend, "/" lifts the pen. Closed strokes start where they run straight. "?" in front: a rare form.
_BOWL = ".5,0 ~0,0 0,.5 ~0,1 .5,1 ~1,1 1,.5 ~1,0 .5,0"
_C = "1,.27 ~1,0 .5,0 ~0,0 0,.5 ~0,1 .5,1 ~1,1 1,"
_P = "0,1 0,0 .5,0 ~1,0 1,.27 ~1,.54 .5,.54 0,.54"
_LOW = "~1,1 .5,1 ~0,1 0,"
_RING = "0,.7 ~0,1 .5,1 ~1,1 1,.7 ~1,.42 .5,.42 ~0,.42 0,.7"
SKELETONS: dict[str, tuple[str, ...]] = {
    "0": (f"100 {_BOWL}", f"96 {_BOWL}", f"?100 {_BOWL} / .72,.25 .28,.75", f"?100 {_BOWL} / .5,.47 .5,.53"),
    "1": (
        "42 0,.2 1,0 1,1", "30 0,.13 1,0 1,1", "62 .05,.2 .55,0 .55,1 / 0,1 1,1", "0 0,0 0,1", "30 0,0 1,0 1,1",
        "65 .1,0 .5,0 .5,1 / 0,1 1,1", "42 0,.28 .3,.24 ~1,.2 1,0 / 1,0 1,1",
    ),
    "2": (
        "100 0,.27 ~0,0 .5,0 ~1,0 1,.27 ~1,.42 .6,.65 0,1 1,1", "96 0,.25 ~0,0 .5,0 ~1,0 1,.25 ~1,.48 .4,.76 0,1 1,1",
        "100 0,.22 ~0,0 .5,0 ~1,0 1,.25 ~1,.5 .5,.54 ~0,.58 0,.8 0,1 1,1",
    ),
    "3": (
        f"100 0,.22 ~0,0 .5,0 ~.95,0 .95,.24 ~.95,.47 .55,.47 .35,.47 / .35,.47 .55,.47 ~1,.47 1,.74 {_LOW}.77",
        f"100 0,0 1,0 .45,.4 .55,.4 ~1,.4 1,.7 {_LOW}.78", f"95 .03,0 .95,0 .4,.42 ~1,.38 1,.7 {_LOW}.78",
    ),
    "4": (
        "105 .76,1 .76,0 0,.72 1,.72", "105 .8,1 .8,0 .66,0 0,.75 1,.75", "105 .5,0 0,.7 1,.7 / .74,.4 .74,1",
        "105 .06,0 .06,.6 1,.6 / .78,.3 .78,1",
    ),
    "5": (
        f"100 .95,0 .05,0 .05,.42 .5,.42 ~1,.42 1,.7 {_LOW}.79",
        f"100 .95,0 .1,0 .04,.47 .15,.42 ~.3,.37 .5,.37 ~1,.37 1,.68 {_LOW}.79",
        f"96 1,0 .03,0 .03,.47 .5,.47 ~1,.47 1,.72 {_LOW}.8",
    ),
    "6": (f"100 1,.21 ~1,0 .5,0 ~0,0 0,.5 {_RING}", f"100 .75,0 .11,.49 ~0,.575 {_RING}",
          f"98 .85,0 .7,0 ~0,0 0,.55 {_RING}"),
    "7": ("98 0,0 1,0 .35,1", "98 0,0 1,0 ~.4,.4 .4,1", "98 0,.16 0,0 1,0 .35,1", "?98 0,0 1,0 .35,1 / .3,.52 .95,.52",
          "90 0,0 1,0 1,.2 ~.9,.4 .7,.55 ~.4,.75 .4,1"),
    "8": (
        "100 .5,0 ~.06,0 .06,.24 ~.06,.47 .5,.47 ~.94,.47 .94,.24 ~.94,0 .5,0 / "
        ".5,.47 ~0,.47 0,.74 ~0,1 .5,1 ~1,1 1,.74 ~1,.47 .5,.47",
    ),
    "A": ("112 0,1 .5,0 1,1 / .16,.68 .84,.68", "112 0,1 .38,0 .62,0 1,1 / .14,.66 .86,.66",
          "108 0,1 .5,0 1,1 / .12,.75 .88,.75", "?100 0,1 0,.5 ~0,0 .5,0 ~1,0 1,.5 1,1 / 0,.58 1,.58"),
    "B": ("102 0,.48 0,0 .5,0 ~.93,0 .93,.24 ~.93,.48 .55,.48 0,.48 0,1 .5,1 ~1,1 1,.74 ~1,.48 .55,.48",),
    "C": (f"100 {_C}.73", f"98 {_C}.78", f"102 {_C}.68"),
    "D": ("102 0,.5 0,0 .4,0 ~1,0 1,.5 ~1,1 .4,1 0,1 0,.5",
          "?108 0,0 .45,0 ~1,0 1,.5 ~1,1 .45,1 0,1 / .14,0 .14,1"),
    "E": ("88 1,0 0,0 0,1 1,1 / 0,.48 .88,.48", "84 1,0 0,0 0,1 1,1 / 0,.5 1,.5", "88 1,0 0,0 0,1 1,1 / 0,.48 .7,.48"),
    "F": ("86 1,0 0,0 0,1 / 0,.5 .86,.5", "82 1,0 0,0 0,1 / 0,.47 .95,.47"),
    "G": (f"104 {_C}.7 1,.55 .55,.55", f"104 {_C}.75 / .55,.54 1,.54 1,1", f"104 {_C}.75 1,.53 .7,.53"),
    "H": ("102 0,0 0,1 / 1,0 1,1 / 0,.49 1,.49",),
    "I": ("0 0,0 0,1", "0 0,0 0,1", "58 0,0 1,0 / 0,1 1,1 / .5,0 .5,1"),
    "J": ("90 1,0 1,.7 ~1,1 .5,1 ~0,1 0,.72", "92 .35,0 1,0 1,.7 ~1,1 .5,1 ~0,1 0,.72", "70 1,0 1,.7 ~1,1 .4,1 0,1",
          "104 .4,0 1,0 / .75,0 .75,.7 ~.75,1 .37,1 ~0,1 0,.72"),
    "K": ("106 0,0 0,1 / 1,0 0,.62 / .3,.43 1,1", "104 0,0 0,1 / .97,0 .12,.5 1,1", "?104 0,0 0,1 / .97,0 0,.55 / "
          ".2,.45 .4,.45 ~.95,.5 1,.85 1,1"),
    "L": ("84 0,0 0,1 1,1", "78 0,0 0,1 1,1"),
    "M": ("124 0,1 0,0 .5,1 1,0 1,1", "122 0,1 0,0 .5,.62 1,0 1,1", "120 0,1 0,0 .5,.78 1,0 1,1",
          "130 0,1 .12,0 .5,.85 .88,0 1,1"),
    "N": ("106 0,1 0,0 1,1 1,0",),
    "O": (f"104 {_BOWL}", f"112 {_BOWL}", f"100 {_BOWL}"),
    "P": (f"98 {_P}",),
    "Q": (f"104 {_BOWL} / .55,.68 1.06,1.09", f"104 {_BOWL} / .5,.76 1,1.14", f"104 {_BOWL} / .68,.82 1.1,1.14",
          f"104 {_BOWL} / .5,.85 .55,1.06 ~.6,1.17 1,1.17"),
    "R": (f"103 {_P} / .5,.54 1,1", f"103 {_P} / .5,.54 ~.96,.54 .96,.8 .96,1", f"103 {_P} / .35,.54 .97,1"),
    "S": ("100 1,.22 ~1,0 .5,0 ~0,0 0,.24 ~0,.48 .5,.48 ~1,.48 1,.74 ~1,1 .5,1 ~0,1 0,.78",
          "100 .98,.23 ~.98,0 .5,0 ~.02,0 .02,.25 ~.02,.42 .5,.49 ~1,.56 1,.75 ~1,1 .5,1 ~0,1 0,.77"),
    "T": ("96 0,0 1,0 / .5,0 .5,1",),
    "U": ("102 0,0 0,.62 ~0,1 .5,1 ~1,1 1,.62 1,0",),
    "V": ("108 0,0 .5,1 1,0", "108 0,0 .43,1 .57,1 1,0"),
    "W": ("142 0,0 .25,1 .5,0 .75,1 1,0", "136 0,0 .2,1 .5,.35 .8,1 1,0", "126 0,0 0,1 .5,.4 1,1 1,0"),
    "X": ("106 0,0 1,1 / 1,0 0,1",),
    "Y": ("106 0,0 .5,.52 1,0 / .5,.52 .5,1", "106 0,0 .5,.62 1,0 / .5,.62 .5,1",
          "?100 0,0 0,.2 ~0,.52 .5,.52 ~1,.52 1,.2 1,0 / .5,.52 .5,1"),
    "Z": ("98 0,0 1,0 0,1 1,1", "?98 0,0 1,0 0,1 1,1 / .2,.5 .8,.5"),
}

NARROW_PEN = {"M": (0.86, 4.1), "W": (0.86, 4.1), "A": (0.92, 3.6), "4": (0.92, 3.5), "R": (0.96, 3.0)}
"""Glyphs that would clog: the share of the pen they are drawn with, and their least width in pens."""

Points = NDArray[np.float64]
Mask = NDArray[np.uint8]
Ends = tuple[tuple[float, float], tuple[float, float]]
Stroke = list[tuple[bool, tuple[float, float]]]
"""Points in the unit box, each with whether it is the corner of a bend."""


@dataclass(frozen=True)
class Hand:
    """What all glyphs of one face share. Lengths are shares of the cap height."""

    pen: float
    width: float
    monospaced: bool
    radius: float
    exponent: float
    """Form of a bend: 1 a chamfer, 2 an ellipse, more squarer."""
    square: bool
    """Mitred corners and flat ends; otherwise the pen is round."""
    slant: float
    contrast: float
    waist: float
    shake: float
    stencil: bool


def draw_hand(rng: np.random.Generator) -> Hand:
    form = rng.choice(4, p=[0.22, 0.38, 0.34, 0.06])  # box, round ends, ellipse, chamfer
    square = bool(rng.random() < 0.68)
    pen = 0.09 + (0.15 if square else 0.1) * rng.beta(2.0, 2.4)  # round ends reach further: heavy ones close S to 8
    return Hand(
        pen=pen,
        width=max(rng.uniform(0.4, 0.8), 2.9 * pen),
        monospaced=bool(rng.random() < 0.2),
        radius=max((rng.uniform(0.09, 0.15), rng.uniform(0.15, 0.34), 9.0, rng.uniform(0.08, 0.13))[form], 0.55 * pen),
        exponent=(2.0, 2.0, rng.uniform(2.0, 2.7), 1.0)[form],
        square=square,
        slant=rng.uniform(-0.04, 0.16) if rng.random() < 0.08 else 0.0,
        contrast=rng.uniform(0.75, 1.25) if rng.random() < 0.15 else 1.0,
        waist=rng.normal(0, 0.025),
        shake=rng.uniform(0.008, 0.022) if rng.random() < 0.1 else 0.0,
        stencil=bool(rng.random() < 0.025),
    )


def stroke_face(rng: np.random.Generator) -> Face:
    """A face that nobody cut: masks of all of ALPHABET, as Face says; everything about it comes from `rng`."""
    hand = draw_hand(rng)
    return Face("strokes", {char: draw_glyph(char, hand, rng) for char in ALPHABET})


def draw_glyph(char: str, hand: Hand, rng: np.random.Generator) -> Mask:
    """One form of `char`: (MASK_HEIGHT, w) uint8, ink from the left to the right edge."""
    share, strokes = _choose(char, rng)
    pen = hand.pen * CAP_HEIGHT * SCALE
    if hand.monospaced and share > 70:
        share = 100.0
    width = max(pen * (1.7 if share else 1.0), share / 100 * hand.width * CAP_HEIGHT * SCALE)
    if char in NARROW_PEN:
        thinner, room = NARROW_PEN[char]
        pen *= thinner
        width = max(width, room * pen)
    size = np.array([width, CAP_HEIGHT * SCALE * hand.contrast])
    rows, columns = round(MASK_HEIGHT * SCALE * hand.contrast), SCALE * round((width + 4 * pen) / SCALE)
    canvas = np.zeros((rows, columns), np.uint8)
    if hand.shake:
        strokes = _shaken(strokes, hand.shake, rng)
    draw = _ink_square if hand.square else _ink_round
    radius = hand.radius * CAP_HEIGHT * SCALE * (1.4 if char == "D" else 1.0)
    for stroke in strokes:
        ends = stroke[0][1], stroke[-1][1]
        draw(canvas, _flatten(stroke, size, pen, radius, hand), ends, size, pen)
    if all(y <= 1 for stroke in strokes for _, (_, y) in stroke):
        canvas[round(size[1]) :] = 0
    if hand.stencil and char in "0689BDOQ":
        middle, half = canvas.shape[1] // 2, round(0.025 * CAP_HEIGHT * SCALE)
        canvas[:, middle - half : middle + half] = 0
    return _finish(canvas, hand)


def _choose(char: str, rng: np.random.Generator) -> tuple[float, list[Stroke]]:
    forms = SKELETONS["6" if char == "9" else char]
    rare = [form for form in forms if form[0] == "?"]
    usual = [form for form in forms if form[0] != "?"]
    pool = rare if rare and rng.random() < 0.06 else usual
    width, strokes = _parse(pool[int(rng.integers(len(pool)))])
    if char == "9":
        strokes = [[(bend, (1 - x, 1 - y)) for bend, (x, y) in stroke] for stroke in strokes]
    return width, strokes


@lru_cache(maxsize=256)
def _parse(form: str) -> tuple[float, list[Stroke]]:
    width, path = form.lstrip("?").split(" ", 1)
    return float(width), [
        [(point[0] == "~", _pair(point.lstrip("~"))) for point in part.split()] for part in path.split("/")
    ]


def _pair(text: str) -> tuple[float, float]:
    x, y = text.split(",")
    return float(x), float(y)


def _shaken(strokes: list[Stroke], shake: float, rng: np.random.Generator) -> list[Stroke]:
    """Every point moved a little; points that coincide stay together, the cap height is kept by clipping."""
    moves: dict[tuple[float, float], tuple[float, float]] = {}
    for stroke in strokes:
        for _, (x, y) in stroke:
            dx, dy = rng.normal(0, shake, 2)
            moves.setdefault((x, y), (x + dx, y if y in (0, 1) else y + dy))
    return [[(bend, moves[point]) for bend, point in stroke] for stroke in strokes]


def _flatten(stroke: Stroke, size: Points, pen: float, radius: float, hand: Hand) -> Points:
    """The stroke's centre line in canvas pixels, bends as chords: (n, 2)."""
    points = np.array([point for _, point in stroke])
    points[:, 1] += hand.waist * 4 * points[:, 1] * (1 - points[:, 1]) * (points[:, 1] < 1)
    points = points * (size - pen) + pen / 2 + (1.5 * pen, 0)
    line: list[Points] = []
    for i, (bend, _) in enumerate(stroke):
        line.append(_bend(points[i - 1 : i + 2], radius, hand.exponent) if bend else points[i : i + 1])
    flat = np.concatenate(line)
    return flat[_moves(flat)]


def _moves(line: Points) -> NDArray[np.bool_]:
    keep = np.ones(len(line), bool)
    keep[1:] = np.abs(line[1:] - line[:-1]).max(axis=1) > 0.3
    return keep


@lru_cache(maxsize=8)
def _quarter(exponent: float) -> tuple[Points, Points]:
    angle = np.linspace(0, np.pi / 2, 2 if exponent == 1 else 10)[:, None]
    return np.clip(np.cos(angle), 0, 1) ** (2 / exponent), np.sin(angle) ** (2 / exponent)


def _bend(legs: Points, radius: float, exponent: float) -> Points:
    corner = legs[1]
    start, end = (corner + (p - corner) * min(1.0, radius / max(hypot(*(p - corner)), 1e-6)) for p in legs[::2])
    across, down = _quarter(exponent)
    centre = start + end - corner
    bend: Points = centre + (start - centre) * across + (end - centre) * down
    return bend


def _ink_round(canvas: Mask, line: Points, ends: Ends, size: Points, pen: float) -> None:
    cv2.polylines(canvas, [np.rint(line).astype(np.int32)], False, 255, max(1, round(pen)))


def _ink_square(canvas: Mask, line: Points, ends: Ends, size: Points, pen: float) -> None:
    """Flat ends, those at the edge of the box drawn out to it, and mitred corners."""
    half = pen / 2
    if ends[0] == ends[1]:
        _ink_round(canvas, line, ends, size, pen)
    else:
        line = np.concatenate([line[:1] + _reach(line[0] - line[1], ends[0], pen), line[1:-1],
                               line[-1:] + _reach(line[-1] - line[-2], ends[1], pen)])
    steps = line[1:] - line[:-1]
    steps /= np.hypot(steps[:, 0], steps[:, 1])[:, None]
    normals = np.stack([-steps[:, 1], steps[:, 0]], axis=1)
    turns = (steps[:-1] * steps[1:]).sum(axis=1)
    left, right = 1.5 * pen, 1.5 * pen + size[0]
    runs = [0, *(np.flatnonzero(turns < 0.8) + 1).tolist(), len(line) - 1]
    for start, stop in pairwise(runs):
        _ink_run(canvas, line[start : stop + 1], normals[start:stop], half)
    for at in runs[1:-1]:
        before, after = normals[at - 1], normals[at]
        side = -np.sign(before[0] * after[1] - before[1] * after[0])
        tip = line[at] + side * half * (before + after) / max(1 + before @ after, 0.04)
        tip[0] = np.clip(tip[0], left, right)
        _fill(canvas, np.stack([line[at], line[at] + side * half * before, tip, line[at] + side * half * after]))


def _reach(outwards: Points, end: tuple[float, float], pen: float) -> Points:
    """How far an end is drawn out: to the edge of the box, and past it where the canvas is cut off anyway."""
    direction = outwards / hypot(*outwards)
    if end[1] in (0, 1) and abs(direction[1]) > 0.4:
        return direction * pen * 1.3
    return direction * (pen / 2 if end[0] in (0, 1) and abs(direction[0]) > 0.9 else 0.0)


def _ink_run(canvas: Mask, line: Points, normals: Points, half: float) -> None:
    """A piece without sharp corners: its outline, and a round pen along its inner part for bends tighter than it."""
    mean = np.concatenate([normals[:1], normals[:-1] + normals[1:], normals[-1:]])
    mean /= np.hypot(mean[:, 0], mean[:, 1])[:, None]
    _fill(canvas, np.concatenate([line + half * mean, (line - half * mean)[::-1]]))
    if len(line) < 4:
        return
    along = np.cumsum(np.sqrt(((line[1:] - line[:-1]) ** 2).sum(axis=1)))
    inner = line[1:-1][(along[:-1] >= half) & (along[:-1] <= along[-1] - half)]
    if len(inner) > 1:
        cv2.polylines(canvas, [np.rint(inner).astype(np.int32)], False, 255, max(1, round(2 * half)))


def _fill(canvas: Mask, outline: Points) -> None:
    cv2.fillPoly(canvas, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_8, 4)


def _finish(canvas: Mask, hand: Hand) -> Mask:
    if hand.slant:
        height, width = canvas.shape
        lean = hand.slant / hand.contrast
        shear = np.array([[1, -lean, max(lean, 0) * height], [0, 1, 0]])
        width += SCALE * round(abs(lean) * height / SCALE)
        canvas = np.asarray(cv2.warpAffine(canvas, shear, (width, height)), np.uint8)
    size = canvas.shape[1] // SCALE, MASK_HEIGHT
    if hand.contrast == 1.0:  # halving twice is much the faster way
        canvas = _shrunk(canvas, (2 * size[0], 2 * size[1]))
    mask = _shrunk(canvas, size)
    inked = np.flatnonzero(mask.max(axis=0) > 40)
    return np.ascontiguousarray(mask[:, inked[0] : inked[-1] + 1])


def _shrunk(mask: Mask, size: tuple[int, int]) -> Mask:
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
