"""What a person says of pictures, and the lines of `labels.jsonl` that follow from it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta

from edge_alpr.errors import LabelError
from edge_alpr.evidence import canonical

Verdict: TypeAlias = Literal["", "ok", "hard", "unreadable", "ignore"]
"""Empty: nobody has looked yet. `ok` and `hard` have a text; `ignore` may or may not be a plate."""
Corner: TypeAlias = tuple[float, float]
Quad: TypeAlias = tuple[Corner, Corner, Corner, Corner]
"""Clockwise as the plate is read, from top left, in pixels of the picture."""

DEV_SHARE = 10
"""One in so many vehicles goes into the split `dev`."""
MOST_PLATES = 40


class PlateMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One plate. `text` is A-Z0-9; before a verdict it is a guess."""

    quad: Quad
    text: Annotated[str, Meta(max_length=16, pattern="^[A-Z0-9]*$")] = ""
    verdict: Verdict = ""
    lines: Literal[1, 2] = 1


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the page sends of a picture. `boxed`: the corners are right. `complete`: every plate in it is marked."""

    plates: Annotated[tuple[PlateMark, ...], Meta(max_length=MOST_PLATES)]
    boxed: bool = False
    complete: bool = True

    @property
    def done(self) -> bool:
        """Whether nothing is left to be asked."""
        return self.boxed and all(plate.verdict for plate in self.plates)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a picture, with what its line needs. `image` is its name in the set."""

    image: str
    width: int
    height: int
    said: Said


def check(said: Said, width: int, height: int) -> Said:
    """What was said, if it holds together, texts of illegible plates left out. Raises `LabelError`."""
    for plate in said.plates:
        if plate.verdict in ("ok", "hard") and not plate.text:
            raise LabelError("a plate that can be read wants its text; type it, or say unreadable")
        if not is_convex(plate.quad):
            raise LabelError("the corners cross or lie on one line; go clockwise from top left")
        left, top, right, bottom = box_of(plate.quad, width, height)
        if right - left < 1 or bottom - top < 1:
            raise LabelError("the plate lies outside the picture; drag its corners back")
    plates = tuple(
        msgspec.structs.replace(plate, text="") if plate.verdict in ("unreadable", "ignore") else plate
        for plate in said.plates
    )
    return msgspec.structs.replace(said, plates=plates)


def is_convex(quad: Quad) -> bool:
    """Whether the corners go clockwise (y down) without crossing, and span an area."""
    corners = np.asarray(quad, np.float64)
    if not np.isfinite(corners).all():
        return False
    sides = np.roll(corners, -1, axis=0) - corners
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    return bool((turns > 0).all())


def box_of(quad: Quad, width: int, height: int) -> tuple[float, float, float, float]:
    """xmin, ymin, xmax, ymax of the part inside the picture, in pixels to a tenth."""
    xs, ys = [corner[0] for corner in quad], [corner[1] for corner in quad]
    left, right = max(0.0, min(xs)), min(float(width), max(xs))
    top, bottom = max(0.0, min(ys)), min(float(height), max(ys))
    return round(left, 1), round(top, 1), round(right, 1), round(bottom, 1)


def label_lines(marks: Sequence[Mark]) -> list[dict[str, Any]]:
    """The lines of `labels.jsonl` for all pictures that are done."""
    done = [mark for mark in marks if mark.said.done]
    splits = split_by_text([(mark.image, _texts(mark)) for mark in done])
    return [_line(mark, splits[mark.image]) for mark in done]


def split_by_text(pictures: Sequence[tuple[str, Sequence[str]]]) -> Mapping[str, str]:
    """`train` or `dev` for each picture (name, texts): pictures that share a text (O=0, I=1) go together."""
    leader: dict[str, str] = {}

    def lead(text: str) -> str:
        while leader.setdefault(text, text) != text:
            text = leader[text]
        return text

    keys = {name: [canonical(text) for text in texts] or [f"picture {name}"] for name, texts in pictures}
    for texts in keys.values():
        first, *others = sorted({lead(text) for text in texts})
        leader.update(dict.fromkeys(others, first))
    return {name: "dev" if _dice(lead(texts[0])) == 0 else "train" for name, texts in keys.items()}


def _texts(mark: Mark) -> list[str]:
    return [plate.text for plate in mark.said.plates if plate.text]


def _dice(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % DEV_SHARE


def _line(mark: Mark, split: str) -> dict[str, Any]:
    plates = [_plate(plate, mark.width, mark.height) for plate in mark.said.plates]
    return {
        "image": mark.image,
        "width": mark.width,
        "height": mark.height,
        "split": split,
        "complete": mark.said.complete,
        "plates": plates,
    }


def _plate(plate: PlateMark, width: int, height: int) -> dict[str, Any]:
    line: dict[str, Any] = {
        "box": box_of(plate.quad, width, height),
        "quad": [[round(x, 2), round(y, 2)] for x, y in plate.quad],
        "text": plate.text,
        "legibility": "unreadable" if plate.verdict == "ignore" else plate.verdict,
        "lines": plate.lines,
    }
    return {**line, "ignore": True} if plate.verdict == "ignore" else line
