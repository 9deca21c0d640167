"""A labelled folder out of the rendered sample drive, whose plates belong to nobody."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import cv2
import msgspec

from edge_alpr.camera import open_source
from edge_alpr.config import SourceConfig
from edge_alpr.errors import DatasetError
from edge_alpr.evaluate.dataset import write_labels
from edge_alpr.evaluate.labels import FILE, LabelledImage, LabelledPlate
from edge_alpr.geometry import as_quad, quad_box, quad_size
from edge_alpr.types import Frame

SCHEME = "sample://"
EVERY = 6
"""Of so many frames one is kept: five a second."""
_SMALL_PX, _WHOLE = 40.0, 0.99
"""A plate narrower than that, or of which less is visible, is known from other frames only."""
_SQUARE = 1.7
"""A plate less wide than that many heights has two lines."""


class _Plate(msgspec.Struct):
    text: str
    quad: list[tuple[float, float]]
    visible: float


class _Truth(msgspec.Struct):
    index: int
    plates: list[_Plate]


def write_sample(uri: str, folder: Path, every: int = EVERY) -> None:
    """Write every so-many-th frame of a sample (`sample://drive`) and its `labels.jsonl` into an empty folder.

    Raises what opening the sample raises, and `DatasetError` where the folder cannot be written.
    """
    name = uri.removeprefix(SCHEME)
    with open_source(SourceConfig(uri=uri)) as source:
        lines = (files("edge_alpr.samples") / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        truth = {line.index: line.plates for line in (msgspec.json.decode(text, type=_Truth) for text in lines)}
        images = []
        for frame in source:
            with frame:
                if frame.index % every == 0:
                    images.append(_write(frame, truth.get(frame.index, []), folder, name))
    write_labels(images, folder / FILE)


def _write(frame: Frame, plates: list[_Plate], folder: Path, ride: str) -> LabelledImage:
    path = folder / f"{ride}-{frame.index:05d}.png"
    if not cv2.imwrite(str(path), frame.luma, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise DatasetError(f"{path}: cannot be written; make room, or give TMPDIR another folder")
    marked = tuple(_label(plate) for plate in plates)
    return LabelledImage(path, path.name, "", marked, complete=False, ride=ride, second=round(frame.stamp_ns / 1e9, 3))


def _label(plate: _Plate) -> LabelledPlate:
    quad = as_quad(plate.quad)
    width, height = quad_size(quad)
    x0, y0, x1, y1 = quad_box(quad)
    alone = width >= _SMALL_PX and plate.visible >= _WHOLE
    lines = 2 if width < _SQUARE * height else 1
    return LabelledPlate((x0, y0, x1, y1), plate.text, "ok" if alone else "hard", lines)
