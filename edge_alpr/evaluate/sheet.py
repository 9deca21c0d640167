"""The worst cases on one sheet: what the reader saw, where it was, and truth against read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from edge_alpr.camera.pictures import load_bgr, load_luma
from edge_alpr.errors import ImageError
from edge_alpr.evaluate.drawing import GREY, INK, RED, new_figure, save
from edge_alpr.evaluate.figures import BRIGHT, DARK, FLAT, SHARP, Outcome
from edge_alpr.evidence import canonical
from edge_alpr.geometry import as_quad, box_quad
from edge_alpr.stages.rectify import cut
from edge_alpr.types import Crop, Detection, Floats, Luma

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST, MOST_MISSED = 60, 20
"""Cards on a sheet at most, and those of missed plates where there are more failures than cards."""
_COLUMNS, _GAP, _TOP = 2, 14, 64
_CARD = (640, 150)
"""Width and height of a card."""
_SCENE = (240, 135)
_CROP = (256, 64)
_LEFT = _SCENE[0] + 20
"""Where crop and texts of a card begin."""
_PITCH = 15
_MARKED, _FOUND = (64, 160, 255), (255, 140, 0)
"""RGB of the marked box and of the corners found."""
_AROUND = 4.0
"""What is shown around a plate, in widths of it."""
_NAME = 62

Canvas = NDArray[np.uint8]
"""(H, W, 3) uint8, RGB."""


class Cell(NamedTuple):
    """A character of the truth or of the read beside the other one; `·` stands for none."""

    char: str
    differs: bool


def aligned(truth: str, read: str) -> tuple[list[Cell], list[Cell]]:
    """Both texts, one below the other and of one length. O and 0, I and 1 do not count as differing."""
    rows: tuple[list[Cell], list[Cell]] = ([], [])
    for block in Levenshtein.opcodes(canonical(truth), canonical(read)):
        parts = truth[block.src_start : block.src_end], read[block.dest_start : block.dest_end]
        length = max(map(len, parts))
        for row, part in zip(rows, parts, strict=True):
            row += [Cell(char, block.tag != "equal") for char in part.ljust(length, "·")]
    return rows


Cut: TypeAlias = Callable[[Luma, Detection], Crop]
"""Cuts a crop as the reader wants it."""


def draw_sheet(failed: Sequence[Outcome], paths: Mapping[str, Path], file: Path, cut: Cut = cut) -> None:
    """Draw the failures, the worst first as they come; `paths` tells where the picture of each lies.

    Pictures that do not open are left grey. Raises `EdgeAlprError` where the file cannot be written.
    """
    cards = chosen(failed)
    rows = max(1, -(-len(cards) // _COLUMNS))
    width = _COLUMNS * (_CARD[0] + _GAP) + _GAP
    height = _TOP + rows * (_CARD[1] + _GAP)
    canvas = np.full((height, width, 3), 255, np.uint8)
    figure = new_figure(width, height)
    places = [
        (_GAP + i % _COLUMNS * (_CARD[0] + _GAP), _TOP + i // _COLUMNS * (_CARD[1] + _GAP)) for i in range(len(cards))
    ]
    pen = _Pen(figure, height)
    for (x, y), outcome in zip(places, cards, strict=True):
        _pictures(canvas[y : y + _CARD[1], x : x + _CARD[0]], outcome, paths[outcome.image], cut)
        _texts(canvas, pen, outcome, (x, y))
    _heading(pen, canvas, len(cards), len(failed))
    figure.figimage(canvas, zorder=-1)
    save(figure, file)


def chosen(failed: Sequence[Outcome]) -> list[Outcome]:
    """Which failures get a card: all where they fit, else the first of both kinds."""
    if len(failed) <= MOST:
        return list(failed)
    missed = [outcome for outcome in failed if not outcome.found]
    misread = [outcome for outcome in failed if outcome.found]
    room = max(MOST_MISSED, MOST - len(misread))
    return misread[: MOST - min(room, len(missed))] + missed[:room]


class _Pen:
    """Writes on the figure; places are pixels from the top left, of the middle of the line."""

    def __init__(self, figure: Figure, height: int) -> None:
        self._figure = figure
        self._height = height

    def write_char(self, x: float, y: float, cell: Cell) -> None:
        """A character of a plate, around `x`."""
        colour, weight = (RED, "bold") if cell.differs else (INK, "normal")
        self.write(x, y, cell.char, 12, colour, family="monospace", ha="center", weight=weight)

    def write(self, x: float, y: float, text: str, size: float = 9, colour: str = INK, **more: Any) -> None:
        self._figure.text(
            x / (self._figure.get_figwidth() * self._figure.dpi), 1 - y / self._height, text,
            size=size, color=colour, va="center_baseline", parse_math=False, **more,
        )  # fmt: skip


def _heading(pen: _Pen, canvas: Canvas, shown: int, failures: int) -> None:
    title = f"Plates missed or not read whole: {failures}"
    title += f", of which {shown} are shown" if shown < failures else ""
    pen.write(_GAP, 24, title if failures else "Every plate was found and read whole", 14, weight="bold")
    for x, colour, text in ((_GAP, _MARKED, "as marked"), (_GAP + 110, _FOUND, "as found")):
        cv2.rectangle(canvas, (x, 41), (x + 18, 51), colour, 2)
        pen.write(x + 26, 46, text, colour=GREY)
    pen.write(_GAP + 220, 46, "crop: as the reader saw it; of a missed plate as it is marked", colour=GREY)


def _pictures(card: Canvas, outcome: Outcome, path: Path, cut: Cut) -> None:
    card[...] = 247
    marked = box_quad(*outcome.box)
    quad = as_quad(outcome.quad) if outcome.quad else marked
    try:
        scene, luma = cv2.cvtColor(load_bgr(path), cv2.COLOR_BGR2RGB), load_luma(path)
    except ImageError:
        scene, crop = np.full((*_SCENE[::-1], 3), 200, np.uint8), np.full(_CROP[::-1], 200, np.uint8)
    else:
        scene = _scene(np.asarray(scene, np.uint8), marked, quad if outcome.quad else None)
        crop = _fitted(cut(luma, Detection(quad, 1.0)).image)
    card[7 : 7 + _SCENE[1], 8 : 8 + _SCENE[0]] = scene
    card[7 : 7 + crop.shape[0], _LEFT : _LEFT + crop.shape[1]] = crop[:, :, None]


def _fitted(crop: Luma) -> Luma:
    """A crop as large as there is room, its pixels to be seen."""
    rows, columns = crop.shape
    scale = min(_CROP[0] / columns, _CROP[1] / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _scene(picture: Canvas, marked: Floats, found: Floats | None) -> Canvas:
    """The plate with its surroundings, `_SCENE` in size; grey where the picture ends."""
    width = max(_AROUND * float(np.ptp(marked[:, 0])), 2.5 * float(np.ptp(marked[:, 1])) * _SCENE[0] / _SCENE[1], 48.0)
    rows, columns = picture.shape[:2]
    scale = _SCENE[0] / min(width, 1.1 * max(columns, rows * _SCENE[0] / _SCENE[1]))
    shift = np.array(_SCENE, np.float32) / 2 - scale * marked.mean(axis=0)
    size = (max(1, min(columns, round(columns * scale))), max(1, min(rows, round(rows * scale))))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # so that no detail aliases
    left = np.array([[scale * columns / size[0], 0, shift[0]], [0, scale * rows / size[1], shift[1]]], np.float32)
    view = cv2.warpAffine(small, left, _SCENE, flags=cv2.INTER_LINEAR, borderValue=(200, 200, 200))
    for quad, colour in ((marked, _MARKED), (found, _FOUND)):
        if quad is not None:
            corners = np.round((scale * quad + shift) * 8).astype(np.int32)
            cv2.polylines(view, [corners], True, colour, 1, cv2.LINE_AA, shift=3)
    return np.asarray(view, np.uint8)


def _texts(canvas: Canvas, pen: _Pen, outcome: Outcome, place: tuple[int, int]) -> None:
    x, y = place[0] + _LEFT, place[1]
    rows = aligned(outcome.truth, outcome.read) if outcome.found else ([Cell(c, False) for c in outcome.truth], [])
    for label, row, line in (("truth", rows[0], y + 89), ("read", rows[1], y + 109)):
        pen.write(x, line, label, 8, GREY)
        for i, cell in enumerate(row):
            left = x + 38 + i * _PITCH
            if cell.differs:
                canvas[line - 9 : line + 10, left - 1 : left + _PITCH - 2] = (255, 219, 214)
            pen.write_char(left + _PITCH / 2 - 1.5, line, cell)
    if not outcome.found:
        pen.write(x + 38, y + 109, "not found", 10, RED)
    elif not outcome.read:
        pen.write(x + 38, y + 109, "nothing", 10, RED)
    if not outcome.truth:
        pen.write(x + 38, y + 89, "to be found only", 10, GREY)
    name = outcome.image if len(outcome.image) <= _NAME else "…" + outcome.image[1 - _NAME :]
    pen.write(x, y + 134, name, 7.5, GREY)
    side = x + _CROP[0] + 12
    pen.write(side, y + 18, f"{outcome.score:.2f}" if outcome.found else "missed", 13, weight="bold")
    for i, fact in enumerate(facts(outcome)):
        pen.write(side, y + 40 + 16 * i, fact, 9, GREY)


def facts(outcome: Outcome) -> list[str]:
    """What may explain a failure: width, lines, sharpness, light; the usual is not said."""
    seen = outcome.conditions
    said = [f"{outcome.width_px:.0f} px wide", f"{outcome.lines} lines" if outcome.lines > 1 else ""]
    if seen is not None:
        said += [
            f"soft ({seen.sharpness:.2f})" if seen.sharpness < SHARP else "",
            "dark" if seen.light < DARK else "bright" if seen.light >= BRIGHT else "",
            "flat contrast" if seen.contrast < FLAT else "",
        ]
    return [fact for fact in said if fact]
