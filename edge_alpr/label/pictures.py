"""Where the pictures to label come from: the hard examples kept, or any folder of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edge_alpr.app import Models
from edge_alpr.camera.pictures import is_picture, load_bgr
from edge_alpr.errors import DatasetError, ImageError, LabelError, SealError, WrongKeyError
from edge_alpr.evaluate import load_dataset
from edge_alpr.evaluate.labels import FILE, LabelledPlate
from edge_alpr.geometry import as_quad, box_iou, box_quad, quad_box, quad_size
from edge_alpr.label.marks import PlateMark, Quad
from edge_alpr.ops.examples import Example, Examples
from edge_alpr.ops.hard import Entry
from edge_alpr.sinks.sealing import Key
from edge_alpr.stages.rectify import cut
from edge_alpr.types import Detection, Floats, Luma

_CANDIDATES = 6
_SAME_PLATE = 0.2
"""Overlap (IoU) from which a mark is taken to be of a guessed plate."""
_UPRIGHT_WIDTH = 720


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture open for labelling. `image` is (H, W, 3) or (H, W) uint8, `original` the bytes for the data set.

    `plates` are guesses; `candidates` the texts to choose from for each of them; `why` says what made it worth a look.
    """

    image: Luma
    original: bytes
    plates: tuple[PlateMark, ...]
    candidates: tuple[tuple[str, ...], ...]
    why: str = ""


class Pictures(Protocol):
    """A list of pictures. `names` are their paths in the data set: relative, no two alike."""

    names: Sequence[str]

    def open(self, index: int) -> Picture:
        """Open one. Raises `EdgeAlprError`."""


class KeptExamples:
    """The hard examples, the hardest first. What does not open is left out and counted in `examples.counters`."""

    def __init__(self, examples: Examples, key: Key) -> None:
        self._examples = examples
        self._key = key
        self._entries: list[Entry] = [entry for entry in examples.entries() if self._opens(entry)]
        self.names: Sequence[str] = [f"pictures/{entry.uuid}.png" for entry in self._entries]
        if not self.names:
            skipped = examples.counters.damaged + examples.counters.other_key
            raise LabelError(
                f"{examples.folder}: no hard examples to label"
                + (f" ({skipped} files do not open with this key)" if skipped else "")
                + "; set learning.keep_hard_examples = true and drive, or name a folder of pictures"
            )

    def open(self, index: int) -> Picture:
        """Decrypt one into memory."""
        example = self._examples.load(self._entries[index], self._key)
        image = _decoded(example.picture, example.uuid)
        text = example.plate if example.correction is None else example.correction
        mark = PlateMark(quad=_corners(as_quad(example.quad)), text=text)
        texts = (example.correction or "", *(candidate.plate for candidate in example.candidates))
        return Picture(image, example.picture, (mark,), (_few(texts),), _why(example))

    def _opens(self, entry: Entry) -> bool:
        try:
            self._examples.load(entry, self._key)
        except WrongKeyError:
            self._examples.counters.other_key += 1
        except (SealError, OSError):
            self._examples.counters.damaged += 1
        else:
            return True
        return False


class FolderPictures:
    """The pictures below a folder by name; plates as labelled there, else as the models see them."""

    def __init__(self, folder: Path, models: Callable[[], Models], without: Path) -> None:
        """`models` opens the networks, when they are first needed; pictures below `without` are left out.

        Raises `LabelError` where there is no picture.
        """
        self._folder = folder
        self._open_models = models
        self._known = _known_plates(folder)
        paths = sorted(path for path in folder.rglob("*") if is_picture(path) and path.is_file())
        made = without.resolve()
        self._paths = [p for p in paths if not (_is_hidden(p, folder) or p.resolve().is_relative_to(made))]
        self.names: Sequence[str] = [f"pictures/{path.relative_to(folder).as_posix()}" for path in self._paths]
        if not self.names:
            raise LabelError(f"{folder}: there are no pictures in this folder (JPEG, PNG, TIFF, WebP, BMP)")

    def open(self, index: int) -> Picture:
        """Read one from disk."""
        path = self._paths[index]
        image = load_bgr(path)
        original = path.read_bytes()
        known = self._known.get(path.relative_to(self._folder).as_posix())
        if known is not None:
            marks = tuple(_known_mark(plate) for plate in known)
            return Picture(image, original, marks, tuple(_few((mark.text,)) for mark in marks))
        seen, _ = self._open_models().observe(_luma(image))
        marks = tuple(PlateMark(quad=_corners(s.detection.quad), text=s.read.plate) for s in seen)
        return Picture(image, original, marks, tuple(_few(c.plate for c in s.read.candidates) for s in seen))


def guesses(picture: Picture, marks: Sequence[PlateMark]) -> list[tuple[str, ...]]:
    """For each mark the candidates of the guessed plate that it lies on; () where there was none."""
    boxes = [quad_box(as_quad(plate.quad)) for plate in picture.plates]
    found: list[tuple[str, ...]] = []
    for mark in marks:
        overlaps = [box_iou(quad_box(as_quad(mark.quad)), box) for box in boxes]
        best = max(range(len(boxes)), key=overlaps.__getitem__, default=None)
        found.append(picture.candidates[best] if best is not None and overlaps[best] > _SAME_PLATE else ())
    return found


def read_again(picture: Picture, quad: Quad, models: Models) -> tuple[str, ...]:
    """What the reader makes of corrected corners, best first."""
    crop = cut(_luma(picture.image), Detection(as_quad(quad), 1.0))
    return _few(candidate.plate for candidate in models.read([crop])[0].candidates)


def upright(image: Luma, quad: Quad) -> Luma:
    """The plate, seen from the front with a little around it, for people: _UPRIGHT_WIDTH pixels wide."""
    corners = as_quad(quad)
    width, height = quad_size(corners)
    rows = round(_UPRIGHT_WIDTH * min(max(height / max(width, 1.0), 0.15), 1.0))
    edge_x, edge_y = 0.05 * _UPRIGHT_WIDTH, 0.12 * rows
    target = box_quad(edge_x, edge_y, _UPRIGHT_WIDTH - edge_x, rows - edge_y)
    matrix = cv2.getPerspectiveTransform(corners, target)
    size = (_UPRIGHT_WIDTH, rows)
    return np.asarray(cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_CUBIC), np.uint8)


def _known_plates(folder: Path) -> dict[str, tuple[LabelledPlate, ...]]:
    with suppress(DatasetError):
        return {image.name: image.plates for image in load_dataset(folder)} if (folder / FILE).exists() else {}
    return {}


def _known_mark(plate: LabelledPlate) -> PlateMark:
    return PlateMark(quad=_corners(box_quad(*plate.box)), text=plate.text, lines=2 if plate.lines > 1 else 1)


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _luma(image: Luma) -> Luma:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _decoded(data: bytes, name: str) -> Luma:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if image is None:
        raise ImageError(f"example {name}: its picture cannot be decoded; delete it")
    return np.asarray(image, np.uint8)


def _corners(quad: Floats) -> Quad:
    a, b, c, d = ((round(float(x), 2), round(float(y), 2)) for x, y in quad)
    return a, b, c, d


def _few(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))[:_CANDIDATES]


def _why(example: Example) -> str:
    words = {"corrected": "corrected by the driver", "disagreeing": "reads disagree"}
    return ", ".join(words.get(reason, reason) for reason in example.reasons)

