"""Labelled pictures: a folder with `labels.jsonl`, one line a picture."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from edge_alpr.camera.pictures import load_luma
from edge_alpr.errors import DatasetError, ImageError

FILE = "labels.jsonl"
Legibility: TypeAlias = Literal["ok", "hard", "unreadable", "textless"]
BoxPx: TypeAlias = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax in pixels of the picture."""

_TEXT = re.compile("[A-Z0-9]*")


@dataclass(frozen=True, slots=True)
class LabelledPlate:
    """A plate that somebody marked. `text` is A-Z0-9, empty where it cannot be read.

    `legibility`: `ok` can be read on its own, `hard` is known only from neighbouring frames, `unreadable` need not
    be found, `textless` is to be found, but nobody wrote down its text.
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

    @property
    def wanted(self) -> bool:
        """Whether it counts as missed when it is not found."""
        return self.known or (self.legibility == "textless" and not self.ignore)


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


class PlateLine(msgspec.Struct, omit_defaults=True):
    """A plate as it is written in a line; what is left out has its usual value."""

    text: str = ""
    latin: str | None = None
    """The text without characters outside A-Z0-9, where `text` has such."""
    box: BoxPx | None = None
    legibility: Legibility | None = None
    lines: Annotated[int, Meta(ge=1)] = 1
    ignore: bool = False


class ImageLine(msgspec.Struct, omit_defaults=True):
    """A line of the file: a picture and its plates."""

    image: Annotated[str, Meta(min_length=1)]
    plates: list[PlateLine]
    split: str = ""
    complete: bool = False
    crop: bool = False
    ride: str = ""
    second: float | None = None


def load_labels(path: Path) -> list[LabelledImage]:
    """Read a `labels.jsonl`; pictures are named from its folder. Raises `DatasetError`, naming the first bad line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}; a data set is a folder with {FILE}") from error
    return [_image(path.parent, line, f"{path}:{i}") for i, line in enumerate(lines, 1) if line.strip()]


def encode_labels(images: Iterable[LabelledImage], folder: Path) -> bytes:
    """The `labels.jsonl` that says the same, for a file that is to lie in `folder`."""
    return b"".join(msgspec.json.encode(_line(image, folder)) + b"\n" for image in images)


def _line(image: LabelledImage, folder: Path) -> ImageLine:
    name = Path(os.path.relpath(image.path.absolute(), folder.absolute())).as_posix()
    second = image.second if image.ride else None
    plates = [
        PlateLine(p.text, None, None if image.crop else p.box, p.legibility, p.lines, p.ignore) for p in image.plates
    ]
    return ImageLine(name, plates, image.split, image.complete, image.crop, image.ride, second)


def _image(folder: Path, text: str, where: str) -> LabelledImage:
    try:
        line = msgspec.json.decode(text, type=ImageLine)
    except msgspec.DecodeError as error:
        raise DatasetError(f"{where}: {str(error).replace('`', chr(39))}; mend that line") from error
    return make_image(folder, line, where)


def make_image(folder: Path, line: ImageLine, where: str) -> LabelledImage:
    """The picture that a line, which stands at `where`, speaks of. Raises `DatasetError` where it does not hold."""
    if bool(line.ride) != (line.second is not None):
        raise DatasetError(f"{where}: 'ride' and 'second' go together; give both or none")
    path = folder / line.image
    whole = whole_box(path, where) if line.crop else None
    return LabelledImage(
        path=path,
        name=line.image,
        split=line.split,
        plates=tuple(make_plate(plate, where, whole) for plate in line.plates),
        complete=line.complete,
        crop=line.crop,
        ride=line.ride,
        second=line.second or 0.0,
    )


def make_plate(plate: PlateLine, where: str, whole: BoxPx | None = None) -> LabelledPlate:
    """The plate that a line speaks of; `whole` is the box of the picture where that is one plate.

    Raises `DatasetError` where something is missing or does not hold, saying `where`.
    """
    text = plate.text if plate.latin is None else plate.latin
    if not _TEXT.fullmatch(text):
        raise DatasetError(f"{where}: text '{text}' is not A-Z0-9; write what is of it in 'latin'")
    box = plate.box or whole
    if box is None:
        raise DatasetError(f"{where}: a plate without a box; add it, or 'crop': true for a picture of one plate")
    if not (box[0] < box[2] and box[1] < box[3]):
        raise DatasetError(f"{where}: box {list(box)} is empty; a box is [xmin, ymin, xmax, ymax]")
    legibility = plate.legibility or ("ok" if text else "unreadable")
    if legibility in ("ok", "hard") and not text:
        raise DatasetError(f"{where}: legibility '{legibility}' wants a text; give it, or say 'unreadable'")
    if legibility == "textless" and text:
        raise DatasetError(f"{where}: 'textless' with the text '{text}'; leave out one of them")
    return LabelledPlate(box, text, legibility, plate.lines, plate.ignore)


def whole_box(path: Path, where: str) -> BoxPx:
    """The box of a whole picture. Its size is not taken from the label: a crop may lack it."""
    try:
        height, width = load_luma(path).shape
    except ImageError as error:
        raise DatasetError(f"{where}: {error}") from error
    return (0.0, 0.0, float(width), float(height))
