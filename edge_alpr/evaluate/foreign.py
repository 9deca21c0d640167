"""What labels of other makers have in common: texts with spaces, names of classes, pictures kept elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_alpr.camera.pictures import SUFFIXES
from edge_alpr.errors import DatasetError
from edge_alpr.evaluate.labels import LabelledPlate, PlateLine, make_plate

_PLATE_CLASS = re.compile(r"plate|licen[cs]e|registration|^l\.?p\.?$|^anpr$|^alpr$", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s\-·•.]+")


def plain_text(text: str) -> str:
    """A plate's text without spaces, hyphens and dots, in capitals."""
    return _BETWEEN.sub("", text).upper()


def found_only(plate: PlateLine, where: str) -> LabelledPlate:
    """Check a plate; one without a text is to be found only."""
    if not plate.text and plate.legibility is None:
        plate.legibility = "textless"
    return make_plate(plate, where)


def plate_classes(names: Iterable[str], where: str) -> frozenset[str]:
    """Which classes are plates: those whose name says so, or the only one there is. Raises `DatasetError`."""
    known = sorted(set(names))
    plates = [name for name in known if _PLATE_CLASS.search(name)]
    if not plates and len(known) > 1:
        raise DatasetError(f"{where}: none of its classes is called a plate: {', '.join(known)}; rename the right one")
    return frozenset(plates or known)


def picture_beside(folders: Sequence[Path], name: str) -> Path | None:
    """The picture called `name`, with that suffix or another one, in the first folder that has it."""
    for folder in folders:
        for file in (folder / name, *(folder / (Path(name).stem + suffix) for suffix in _SUFFIXES)):
            if file.is_file():
                return file
    return None


def read_text(path: Path) -> str:
    """A label file. Raises `DatasetError`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as UTF-8: {error}; save it again as UTF-8") from error


_SUFFIXES = tuple(sorted(case for suffix in SUFFIXES for case in (suffix, suffix.upper())))
