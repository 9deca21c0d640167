"""What a variant of a network loses: whole plates on `dev`, corners, and reads of many damaged crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_alpr.camera.pictures import load_luma
from edge_alpr.evaluate import PlateFound, evaluate_stills, load_dataset
from edge_alpr.evaluate.figures import Outcome
from edge_alpr.evidence import canonical
from edge_alpr.stages.read import Reader
from edge_alpr.types import Crop, Detection, Luma, Read
from export.product import CoreSession, Find, ReadPlates, plate_reader, same_plates
from training.reader.data import load_real, real_sample

SETS = ("dashcam", "openimages")
LIMITS = {"fp32": 0.0, "fp16": 0.1, "int8": 1.0}
"""Points of whole-plate accuracy on `dev` that a precision may lose."""
DAMAGED = 1000
"""Damaged crops of `train` that the finer measure of a reader reads."""
TRAIN_EVERY = 3
"""Which pictures of `train` the finer measure of a detector takes: each third."""


@dataclass(frozen=True, slots=True)
class Loss:
    """How far a variant is from the network it comes from. Points are hundredths of whole-plate accuracy.

    One plate of `dev` is most of a point, so there is a larger sample: the pictures of `train` (detector) or
    damaged crops of it (reader). `compared` are the plates found by both, in `dev` and in the sample, or the
    crops; `differ` counts finds that the variant has not, or other texts. A score is that of the plate (detector) or of
    the text; `moved_px` is how far the corner that moved most is from where it was.
    """

    plates: int
    right: int
    right_before: int
    found: int
    found_before: int
    sample_points_lost: float
    compared: int
    differ: int
    score_mean: float
    score_max: float
    moved_px_mean: float = 0.0
    moved_px_p95: float = 0.0

    @property
    def points_lost(self) -> float:
        """On `dev`; less is better, negative where the variant reads more."""
        return 100 * (self.right_before - self.right) / self.plates


def verdict(precision: str, loss: Loss) -> str:
    """Why a variant must not ship; empty where it may."""
    limit = LIMITS[precision]
    if loss.points_lost <= limit:
        return ""
    return (
        f"{precision} loses {loss.points_lost:.2f} points of whole-plate accuracy on dev "
        f"({loss.right_before} to {loss.right} of {loss.plates}), the limit is {limit}"
    )


class Pictures:
    """The labelled pictures of a split, or each so manyth, opened again for each pass."""

    def __init__(self, data: Path, split: str, every: int = 1) -> None:
        self._images = [image for name in SETS for image in load_dataset(data / name, split)][::every]

    def find(self, find: Find) -> list[list[Detection]]:
        """What is found in each picture."""
        return [find(load_luma(image.path)) for image in self._images]

    def read(self, finds: Sequence[Sequence[Detection]], read: ReadPlates) -> list[Outcome]:
        """What becomes of each legible plate, given what was found."""
        found = {image.path: plates for image, plates in zip(self._images, finds, strict=True)}

        def picture(path: Path) -> list[PlateFound]:
            plates = found[path]
            reads = read(load_luma(path), plates) if plates else []
            return [PlateFound(d.quad, d.score, r) for d, r in zip(plates, reads, strict=True)]

        outcomes = evaluate_stills(self._images, picture).outcomes
        return [outcome for outcome in outcomes if outcome.legibility == "ok"]


class Judge:
    """Knows what a pair makes of the pictures; a variant takes the place of one of the two.

    `finder` makes the product's detector of a graph.
    """

    def __init__(
        self,
        data: Path,
        detector: ModelProto,
        reader: ModelProto,
        finder: Callable[[ModelProto], Find],
        damaged: int = DAMAGED,
    ) -> None:
        self._data, self._finder, self._count = data, finder, damaged
        self._dev, self._train = Pictures(data, "dev"), Pictures(data, "train", TRAIN_EVERY)
        self._find, self._read = finder(detector), plate_reader(reader)
        self._reader = Reader(CoreSession(reader))

    @cached_property
    def _found(self) -> tuple[list[list[Detection]], list[list[Detection]]]:
        """By the pair's detector in `dev` and `train`."""
        return self._dev.find(self._find), self._train.find(self._find)

    @cached_property
    def _before(self) -> list[Outcome]:
        return self._dev.read(self._found[0], self._read)

    @cached_property
    def _train_before(self) -> list[Outcome]:
        return self._train.read(self._found[1], self._read)

    @cached_property
    def _damaged(self) -> tuple[list[Crop], list[str], list[Read]]:
        """Crops of `train` under other light, blur and codec, their texts, and what the pair's reader says."""
        samples = damaged_crops(self._data, self._count, seed=11)
        blank = Detection(np.zeros((4, 2), np.float32), 1.0)
        crops = [Crop(image, blank, 100.0, 25.0, 1.0, False) for image, _ in samples]
        return crops, [text for _, text in samples], self._reader(crops)

    def detector(self, core: ModelProto) -> Loss:
        """Have another detector find for the pair's reader."""
        find = self._finder(core)
        dev, train = self._dev.find(find), self._train.find(find)
        before = [*self._found[0], *self._found[1]]
        pairs = [pair for a, b in zip(before, [*dev, *train], strict=True) for pair in same_plates(a, b)]
        moved = np.array([np.abs(a.quad - b.quad).max() for a, b in pairs] or [0.0])
        scores = np.array([abs(a.score - b.score) for a, b in pairs] or [0.0])
        after = self._train.read(train, self._read)
        lost = 100 * (sum(o.right for o in self._train_before) - sum(o.right for o in after)) / len(after)
        differ = sum(map(len, before)) - len(pairs)
        return replace(
            self._loss(self._dev.read(dev, self._read), lost, scores, differ),
            moved_px_mean=float(moved.mean()),
            moved_px_p95=float(np.percentile(moved, 95)),
        )

    def reader(self, core: ModelProto) -> Loss:
        """Have another reader read what the pair's detector finds, and the damaged crops."""
        crops, texts, before = self._damaged
        after = Reader(CoreSession(core))(crops)
        told = [[canonical(read.plate) for read in reads] for reads in (before, after)]
        truth = [canonical(text) for text in texts]
        right_before, right = (sum(map(str.__eq__, reads, truth)) for reads in told)
        scores = np.array([abs(a.score - b.score) for a, b in zip(before, after, strict=True)])
        outcomes = self._dev.read(self._found[0], plate_reader(core))
        lost = 100 * (right_before - right) / len(crops)
        return self._loss(outcomes, lost, scores, sum(map(str.__ne__, *told)))

    def _loss(self, after: Sequence[Outcome], sample_lost: float, scores: NDArray[Any], differ: int) -> Loss:
        before = self._before
        return Loss(
            plates=len(after),
            right=sum(o.right for o in after),
            right_before=sum(o.right for o in before),
            found=sum(o.found for o in after),
            found_before=sum(o.found for o in before),
            sample_points_lost=round(sample_lost, 3),
            compared=len(scores),
            differ=differ,
            score_mean=float(scores.mean()),
            score_max=float(scores.max()),
        )


def damaged_crops(data: Path, count: int, seed: int) -> list[tuple[Luma, str]]:
    """Crops (32, 128) uint8 of real `train` plates under other light, blur and codec, and their texts."""
    plates = [plate for plates in load_real(data, "train").values() for plate in plates]
    rng = np.random.default_rng(seed)
    return [real_sample(plates[int(i)], rng) for i in rng.integers(len(plates), size=count)]
