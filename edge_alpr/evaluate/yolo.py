"""YOLO: a text file a picture, a line a box, in shares of the picture's sides."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np

from edge_alpr.errors import DatasetError
from edge_alpr.evaluate.foreign import found_only, picture_beside, plain_text, plate_classes, read_text
from edge_alpr.evaluate.labels import BoxPx, LabelledImage, LabelledPlate, PlateLine, whole_box

_NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt")
_YAML_FILES = ("data.yaml", "dataset.yaml", "data.yml")
_BOX, _CORNERS = 4, 8
_SLACK = 0.01
"""How far over the picture's edge a box may reach, as a share of its side: labellers round."""
_NUMBERED = re.compile(r"^\s*(?:-|\d+\s*:)")


def read_yolo(folder: Path, files: Sequence[Path]) -> list[LabelledImage]:
    """Read `labels/[SPLIT/]*.txt` with their pictures in `images/`. All plates of a picture count as marked.

    A line is `class x y width height [TEXT]`, or the class and four corners (`x y` each) and a text; without one, a
    plate is to be found only. Names of classes come from `classes.txt`, `obj.names` or `data.yaml`; without them,
    every class must be 0. Raises `DatasetError`, naming file and line.
    """
    names = _class_names(folder)
    plates = plate_classes(names, str(folder)) if names else frozenset()
    wanted = [i for i, name in enumerate(names) if name in plates] if names else [0]
    return [_image(folder, path, len(names) or 1, wanted) for path in files if path.name != "classes.txt"]


def _image(folder: Path, path: Path, classes: int, wanted: Sequence[int]) -> LabelledImage:
    inside = path.parent.relative_to(folder / "labels")
    picture = picture_beside([folder / "images" / inside, folder / "images", path.parent, folder], path.stem + ".jpg")
    if picture is None:
        wanted_at = folder / "images" / inside / path.stem
        raise DatasetError(f"{path}: no picture {wanted_at}.*; add it or take the file out")
    whole = whole_box(picture, str(path))
    plates = [
        _plate(line, whole, f"{path}:{i}", classes, wanted)
        for i, line in enumerate(read_text(path).splitlines(), 1)
        if line.strip()
    ]
    name, split = picture.relative_to(folder).as_posix(), inside.parts[0] if inside.parts else ""
    return LabelledImage(picture, name, split, tuple(p for p in plates if p is not None), complete=True)


def _plate(line: str, whole: BoxPx, where: str, classes: int, wanted: Sequence[int]) -> LabelledPlate | None:
    """None for a box of another class."""
    number, *rest = line.split()
    if not number.isdecimal() or int(number) >= classes:
        raise DatasetError(f"{where}: class '{number}', but there are {classes}, from 0; mend it, or name all classes")
    values = _numbers(rest)
    count = _CORNERS if len(values) >= _CORNERS else _BOX
    if len(values) < _BOX or not all(-_SLACK <= value <= 1 + _SLACK for value in values[:count]):
        raise DatasetError(f"{where}: wants a class and four shares of the picture, 0 to 1: x y width height")
    text = "" if len(rest) <= count or "." in rest[count] else plain_text("".join(rest[count:]))  # a dot: a score
    plate = PlateLine(text=text, box=_box(np.array(values[:count]), whole))
    return found_only(plate, where) if int(number) in wanted else None


def _numbers(words: Sequence[str]) -> list[float]:
    """The numbers at the beginning, before a text if there is one."""
    values: list[float] = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError:
            break
    return values


def _box(shares: np.ndarray[tuple[int], np.dtype[np.float64]], whole: BoxPx) -> BoxPx:
    if len(shares) == _BOX:
        centre, half = shares[:2], shares[2:] / 2
        low, high = centre - half, centre + half
    else:
        corners = shares.reshape(4, 2)
        low, high = corners.min(axis=0), corners.max(axis=0)
    (x0, y0), (x1, y1) = (np.clip(side, 0, 1) * whole[2:] for side in (low, high))
    return round(float(x0), 2), round(float(y0), 2), round(float(x1), 2), round(float(y1), 2)


def _class_names(folder: Path) -> list[str]:
    """The names in order, empty where no file tells them."""
    for name in _NAME_FILES:
        if (folder / name).is_file():
            return [line.strip() for line in read_text(folder / name).splitlines() if line.strip()]
    for name in _YAML_FILES:
        if (folder / name).is_file():
            return _yaml_names(read_text(folder / name), str(folder / name))
    return []


def _yaml_names(text: str, where: str) -> list[str]:
    """What `names:` of a data.yaml says: a list in brackets, or a line each (`- plate` or `0: plate`)."""
    rest = f"\n{text}".partition("\nnames:")[2]
    inline = re.match(r"\s*[\[{]([^\]}]*)[\]}]", rest)
    entries = inline[1].split(",") if inline else takewhile(_NUMBERED.match, rest.splitlines()[1:])
    names = [_unquoted(_NUMBERED.sub("", entry)) for entry in entries if entry.strip()]
    if not names:
        raise DatasetError(f"{where}: no 'names:' that can be read; write them in classes.txt, a line each")
    return names


def _unquoted(word: str) -> str:
    word = word.strip()
    return str(ast.literal_eval(word)) if re.fullmatch(r"""(['"])[^'"\\]*\1""", word) else word
