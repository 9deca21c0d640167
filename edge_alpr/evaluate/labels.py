"""Labelled pictures: a folder with `labels.jsonl`, one line a picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from edge_alpr.camera.pictures import load_luma
from edge_alpr.errors import DatasetError, ImageError

FILE = "labels.jsonl"
Legibility: TypeAlias = Literal["ok", "hard", "unreadable"]
BoxPx: TypeAlias = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax in pixels of the picture."""

_TEXT = re.compile("[A-Z0-9]*")


@dataclass(frozen=True, slots=True)
class LabelledPlate:
    """A plate that somebody marked. `text` is A-Z0-9, empty where it cannot be read.

    `legibility`: `ok` can be read on its own, `hard` is known only from neighbouring frames, `unreadable`.
    `ignore` marks what may or may not be a plate: it counts neither when found nor when missed.
    """

    box: BoxPx
    text: str
    legibility: Legibility
    lines: int = 1
    ignore: bool = False

    @property
    def known(self) -> bool:
        """Whether its text is known."""
        return bool(self.text) and self.legibility != "unreadable" and not self.ignore


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A picture with its plates.

    `name` is its path within the set. `complete` says that every plate in it is marked, `crop` that the whole
    picture is one plate. A frame of a ride has the ride's name and the second within it.
    """

    path: Path
    name: str
    split: str
    plates: tuple[LabelledPlate, ...]
    complete: bool = False
    crop: bool = False
    ride: str = ""
    second: float = 0.0


class _Plate(msgspec.Struct):
    text: str = ""
    latin: str | None = None
    """The text without characters outside A-Z0-9, where `text` has such."""
    box: BoxPx | None = None
    legibility: Legibility | None = None
    lines: Annotated[int, Meta(ge=1)] = 1
    ignore: bool = False


class _Line(msgspec.Struct):
    image: Annotated[str, Meta(min_length=1)]
    plates: list[_Plate]
    split: str = ""
    complete: bool = False
    crop: bool = False
    ride: str = ""
    second: float | None = None


def load_dataset(folder: Path, split: str | None = None) -> list[LabelledImage]:
    """Read `labels.jsonl` of a folder; of one split, or all where `split` is None.

    Raises `DatasetError` for a set without pictures and for the first line that does not hold, naming it.
    """
    path = folder / FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}; a data set is a folder with {FILE}") from error
    images = [_image(folder, line, f"{path}:{i}") for i, line in enumerate(lines, 1) if line.strip()]
    chosen = [image for image in images if split in (None, image.split)]
    if not chosen:
        splits = ", ".join(sorted({image.split or "(none)" for image in images})) or "no picture at all"
        raise DatasetError(f"{path}: no picture of split '{split}'; the file has: {splits}")
    return chosen


def _image(folder: Path, text: str, where: str) -> LabelledImage:
    try:
        line = msgspec.json.decode(text, type=_Line)
    except msgspec.DecodeError as error:
        raise DatasetError(f"{where}: {str(error).replace('`', chr(39))}; mend that line") from error
    if bool(line.ride) != (line.second is not None):
        raise DatasetError(f"{where}: 'ride' and 'second' go together; give both or none")
    path = folder / line.image
    whole = _whole(path, where) if line.crop else None
    return LabelledImage(
        path=path,
        name=line.image,
        split=line.split,
        plates=tuple(_plate(plate, whole, where) for plate in line.plates),
        complete=line.complete,
        crop=line.crop,
        ride=line.ride,
        second=line.second or 0.0,
    )


def _plate(plate: _Plate, whole: BoxPx | None, where: str) -> LabelledPlate:
    text = plate.text if plate.latin is None else plate.latin
    if not _TEXT.fullmatch(text):
        raise DatasetError(f"{where}: text '{text}' is not A-Z0-9; write what is of it in 'latin'")
    box = plate.box or whole
    if box is None:
        raise DatasetError(f"{where}: a plate without a box; add it, or 'crop': true for a picture of one plate")
    if not (box[0] < box[2] and box[1] < box[3]):
        raise DatasetError(f"{where}: box {list(box)} is empty; a box is [xmin, ymin, xmax, ymax]")
    legibility = plate.legibility or ("ok" if text else "unreadable")
    if legibility != "unreadable" and not text:
        raise DatasetError(f"{where}: legibility '{legibility}' wants a text; give it, or say 'unreadable'")
    return LabelledPlate(box, text, legibility, plate.lines, plate.ignore)


def _whole(path: Path, where: str) -> BoxPx:
    """The box of a whole picture. Its size is not taken from the label: a crop may lack it."""
    try:
        height, width = load_luma(path).shape
    except ImageError as error:
        raise DatasetError(f"{where}: {error}") from error
    return (0.0, 0.0, float(width), float(height))
