"""Scoring what was found and read in single pictures. Pure but for `evaluate_stills`, which calls the reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from edge_alpr.errors import ImageError
from edge_alpr.evaluate.calibration import Calibration, calibrate, char_statements, plate_statements
from edge_alpr.evaluate.figures import GROUPS, Conditions, Figures, Group, Outcome, figures, share
from edge_alpr.evaluate.labels import BoxPx, LabelledImage, LabelledPlate
from edge_alpr.geometry import Rect, box_iou, quad_box, quad_size
from edge_alpr.types import Floats, Read

MATCH_IOU = 0.3
"""Least overlap of the boxes of a found and a marked plate that counts as found."""


@dataclass(frozen=True, slots=True, eq=False)
class PlateFound:
    """What the product says of a picture: `quad` (4, 2) float32 in its pixels, and the read."""

    quad: Floats
    dscore: float
    read: Read


@dataclass(frozen=True, slots=True)
class Stray:
    """Something found where no plate is, in a picture whose plates are all marked."""

    image: str
    read: str
    score: float
    dscore: float
    width_px: float


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that could not be opened: its plates count as missed."""

    image: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A plate that was missed, or not read whole; `truth` is empty where it was to be found only."""

    image: str
    truth: str
    read: str
    score: float
    width_px: float
    kind: Literal["missed", "misread"]


@dataclass(frozen=True, slots=True)
class ImageScore:
    """One picture: an outcome for each plate that is wanted, and what was found beside all marks."""

    outcomes: tuple[Outcome, ...]
    strays: tuple[Stray, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured on a set; the figures follow from the outcomes."""

    images: int
    outcomes: tuple[Outcome, ...]
    found_in_complete: int
    """Marked plates that were found in pictures whose plates are all marked."""
    strays: tuple[Stray, ...]
    unreadable: tuple[Unreadable, ...]

    @property
    def precision(self) -> float | None:
        """Plates among what was found in completely marked pictures; unreadable and ignored ones left out."""
        return share(self.found_in_complete, self.found_in_complete + len(self.strays))

    @property
    def groups(self) -> tuple[tuple[Group, Figures], ...]:
        """The figures of each of `GROUPS`."""
        return tuple((group, figures(o for o in self.outcomes if group.holds(o))) for group in GROUPS)

    @property
    def plate_calibration(self) -> Calibration:
        """Whether the score of a whole text is its chance to be right; of legible plates, O=0 and I=1."""
        return calibrate(plate_statements(self.outcomes))

    @property
    def char_calibration(self) -> Calibration:
        """The same of single characters."""
        return calibrate(char_statements(self.outcomes))

    @property
    def worst(self) -> tuple[Outcome, ...]:
        """Plates that failed (O=0, I=1): misread ones, the surest first, then missed, widest first."""
        failed = [outcome for outcome in self.outcomes if outcome.failed]
        return tuple(sorted(failed, key=lambda o: (not o.found, -o.score, -o.width_px)))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The same, in short."""
        return tuple(_failure(outcome) for outcome in self.worst)


ReadImage: TypeAlias = Callable[[Path], Sequence[PlateFound]]
"""Finds and reads the plates of a picture; raises `ImageError` where it cannot be opened."""
Look: TypeAlias = Callable[[Path, BoxPx], Conditions]
"""How a marked plate lies in its picture."""


def _quiet(done: int, total: int) -> None:
    return None


def evaluate_stills(
    images: Sequence[LabelledImage],
    read_image: ReadImage,
    progress: Callable[[int, int], None] = _quiet,
    read_crop: ReadImage | None = None,
    look: Look | None = None,
) -> Report:
    """Have every picture read and score it. `progress` hears how many are done, and of how many.

    `read_crop` reads pictures that are one whole plate (without it, `read_image` does). `look` measures sharpness
    and light of the plates. A picture that cannot be opened is in `Report.unreadable` and its plates are missed;
    every other error ends the run.
    """
    outcomes: list[Outcome] = []
    strays: list[Stray] = []
    unreadable: list[Unreadable] = []
    found_in_complete = 0
    for done, image in enumerate(images, 1):
        read = read_crop if image.crop and read_crop else read_image
        score, lost = _read_and_score(image, read, look)
        outcomes += score.outcomes
        unreadable += [lost] if lost else []
        strays += score.strays
        found_in_complete += sum(o.found for o in score.outcomes) if image.complete else 0
        progress(done, len(images))
    return Report(len(images), tuple(outcomes), found_in_complete, tuple(strays), tuple(unreadable))


def _read_and_score(image: LabelledImage, read: ReadImage, look: Look | None) -> tuple[ImageScore, Unreadable | None]:
    try:
        found = read(image.path)
    except ImageError as error:
        return score_image(image, ()), Unreadable(image.name, str(error))
    score = score_image(image, found)
    if look is None:
        return score, None
    looked = tuple(replace(outcome, conditions=look(image.path, outcome.box)) for outcome in score.outcomes)
    return replace(score, outcomes=looked), None


def score_image(image: LabelledImage, found: Sequence[PlateFound]) -> ImageScore:
    """Match what was found in one picture with its labels."""
    truths = [np.array(plate.box, np.float32) for plate in image.plates]
    boxes = [quad_box(plate.quad) for plate in found]
    pairs = match(truths, boxes)
    wanted = [(plate, pairs.get(i)) for i, plate in enumerate(image.plates) if plate.wanted]
    outcomes = tuple(_outcome(image, plate, found, pair) for plate, pair in wanted)
    if not image.complete:
        return ImageScore(outcomes, ())
    excused = [box for box, plate in zip(truths, image.plates, strict=True) if not plate.wanted]
    taken = {pair.found for pair in pairs.values()}
    strays = tuple(
        _stray(image, plate)
        for j, plate in enumerate(found)
        if j not in taken and all(box_iou(boxes[j], box) < MATCH_IOU for box in excused)
    )
    return ImageScore(outcomes, strays)


@dataclass(frozen=True, slots=True)
class Pair:
    """The number of the found plate that a marked one is matched with, and their overlap."""

    found: int
    iou: float


def match(truths: Sequence[Rect | Floats], found: Sequence[Rect | Floats]) -> dict[int, Pair]:
    """Match boxes one to one, the largest overlap first, from `MATCH_IOU` up: by number of the truth."""
    overlaps = [(box_iou(a, b), i, j) for i, a in enumerate(truths) for j, b in enumerate(found)]
    pairs: dict[int, Pair] = {}
    taken: set[int] = set()
    for iou, i, j in sorted(overlaps, key=lambda entry: -entry[0]):
        if iou >= MATCH_IOU and i not in pairs and j not in taken:
            pairs[i] = Pair(j, iou)
            taken.add(j)
    return pairs


def _outcome(image: LabelledImage, plate: LabelledPlate, found: Sequence[PlateFound], pair: Pair | None) -> Outcome:
    width = plate.box[2] - plate.box[0]
    missed = Outcome(image.name, plate.text, plate.legibility, width, plate.lines, found=False, box=plate.box)
    if pair is None:
        return missed
    hit = found[pair.found]
    return replace(
        missed,
        found=True,
        iou=pair.iou,
        dscore=hit.dscore,
        read=hit.read.plate,
        score=hit.read.score,
        candidates=tuple(candidate.plate for candidate in hit.read.candidates),
        char_scores=hit.read.char_scores,
        quad=tuple((round(float(x), 3), round(float(y), 3)) for x, y in hit.quad),
    )


def _stray(image: LabelledImage, found: PlateFound) -> Stray:
    return Stray(image.name, found.read.plate, found.read.score, found.dscore, quad_size(found.quad)[0])


def _failure(outcome: Outcome) -> Failure:
    return Failure(
        image=outcome.image,
        truth=outcome.truth,
        read=outcome.read,
        score=outcome.score,
        width_px=outcome.width_px,
        kind="misread" if outcome.found else "missed",
    )
