"""CSV: a row a plate, the columns named in the first row."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edge_alpr.errors import DatasetError
from edge_alpr.evaluate.foreign import picture_beside, plain_text, read_text
from edge_alpr.evaluate.labels import ImageLine, LabelledImage, PlateLine, make_image

COLUMNS = {
    "image": ("image", "filename", "file", "file_name", "path", "image_path", "image_name", "img"),
    "xmin": ("xmin", "x_min", "x1", "left"),
    "ymin": ("ymin", "y_min", "y1", "top"),
    "xmax": ("xmax", "x_max", "x2", "right"),
    "ymax": ("ymax", "y_max", "y2", "bottom"),
    "text": ("text", "plate", "plate_text", "plate_number", "license_plate", "number", "ocr", "transcription"),
    "lines": ("lines",),
    "legibility": ("legibility",),
    "split": ("split", "subset"),
    "complete": ("complete",),
    "ride": ("ride",),
    "second": ("second",),
}
"""Our name of each column, and what others call it, in any case."""
_BOX = ("xmin", "ymin", "xmax", "ymax")
_YES = frozenset({"1", "true", "yes"})


@dataclass(frozen=True, slots=True)
class _Row:
    values: dict[str, str]
    where: str


def read_csv(folder: Path, files: Sequence[Path]) -> list[LabelledImage]:
    """Read tables with a column `image`, the four of a box (none of them: each picture is one plate) and `text`.

    `lines`, `legibility`, `split`, `complete`, `ride` and `second` may be there too; a picture is complete only where
    its rows say so. Raises `DatasetError`, naming file and line.
    """
    rows = [row for path in files for row in _rows(path)]
    by_image: dict[str, list[_Row]] = {}
    for row in rows:
        by_image.setdefault(row.values.get("image", ""), []).append(row)
    return [_image(folder, name, own) for name, own in by_image.items()]


def _rows(path: Path) -> Iterator[_Row]:
    lines = read_text(path).splitlines()
    head = lines[0] if lines else ""
    reader = csv.reader(lines, delimiter=max(",;\t", key=head.count), strict=True)
    try:
        columns = _columns(next(reader, []), path)
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if any(cell.strip() for cell in cells):
                if len(cells) <= max(columns.values()):
                    raise DatasetError(f"{where}: has {len(cells)} cells, the first line names more; mend that line")
                yield _Row({name: cells[i].strip() for name, i in columns.items()}, where)
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: not a row of a CSV: {error}; mend that line") from error


def _columns(head: Sequence[str], path: Path) -> dict[str, int]:
    """Where each column stands."""
    names = [cell.strip().lower() for cell in head]
    found = {ours: names.index(its) for ours, others in COLUMNS.items() for its in others[::-1] if its in names}
    boxes = [side for side in _BOX if side in found]
    wanted = ["image", *(_BOX if boxes else ("text",))]
    missing = [name for name in wanted if name not in found]
    if missing:
        lacking, example = ", ".join(missing), ",".join(("image", *_BOX, "text"))
        raise DatasetError(f"{path}:1: names no column {lacking}; the first line must name them: {example}")
    return found


def _image(folder: Path, name: str, rows: Sequence[_Row]) -> LabelledImage:
    """A picture of one or more rows; what is said of the picture itself counts as its first row says."""
    first = rows[0].values
    if not name:
        raise DatasetError(f"{rows[0].where}: names no image; mend that line")
    picture = picture_beside([folder, folder / "images"], name)
    line = ImageLine(
        image=picture.relative_to(folder).as_posix() if picture and picture.is_relative_to(folder) else name,
        plates=[],
        split=first.get("split", ""),
        complete=first.get("complete", "").lower() in _YES,
        crop="xmin" not in first,
        ride=first.get("ride", ""),
        second=_number(rows[0], "second") if first.get("second") else None,
    )
    parts = [make_image(folder, msgspec.structs.replace(line, plates=_plates(row)), row.where) for row in rows]
    return replace(parts[0], plates=tuple(plate for part in parts for plate in part.plates))


def _plates(row: _Row) -> list[PlateLine]:
    """The plate of a row; none where its box is left empty: a picture without plates."""
    values = row.values
    text, legibility = plain_text(values.get("text", "")), values.get("legibility") or None
    box = None
    if "xmin" in values:
        if not any(values[side] for side in _BOX):
            return []
        box = (_number(row, "xmin"), _number(row, "ymin"), _number(row, "xmax"), _number(row, "ymax"))
    plate = {"text": text, "box": box, "lines": int(_number(row, "lines")) if values.get("lines") else 1}
    plate["legibility"] = legibility or (None if text else "textless")
    try:
        return [msgspec.convert(plate, PlateLine)]
    except msgspec.ValidationError as error:
        raise DatasetError(f"{row.where}: {str(error).replace('`', chr(39))}; mend that line") from error


def _number(row: _Row, name: str) -> float:
    try:
        value = float(row.values[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatasetError(f"{row.where}: {name} is '{row.values[name]}', not a number; mend that line")
    return value
