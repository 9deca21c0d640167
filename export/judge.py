"""What a variant of a network loses: whole plates on `dev`, corners, and reads of many damaged crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

from edge_alpr.camera.pictures import load_luma
from edge_alpr.config import DetectConfig
from edge_alpr.evaluate import LabelledImage, PlateFound, evaluate_stills, load_dataset
from edge_alpr.evaluate.figures import Outcome
from edge_alpr.evidence import canonical
from edge_alpr.geometry import box_iou, quad_box
from edge_alpr.stages.detect import Detector
from edge_alpr.stages.read import Reader
from edge_alpr.stages.rectify import cut
from edge_alpr.types import Crop, Detection, Luma, Read, Tensors
from export.nodes import entry
from training.reader.data import load_real, real_sample

Find = Callable[[Luma], list[Detection]]
ReadPlates = Callable[[Luma, Sequence[Detection]], list[Read]]
SETS = ("dashcam", "openimages")
LIMITS = {"fp32": 0.0, "fp16": 0.1, "int8": 1.0}
"""Points of whole-plate accuracy on `dev` that a precision may lose."""
DAMAGED = 1000
"""Damaged crops of `train` that the finer measure reads."""


class CoreSession:
    """A graph on one core: what the stages run on."""

    identity = "export"

    def __init__(self, model: ModelProto) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self._outputs = [port.name for port in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(feeds)), strict=True))


def finder(core: ModelProto, pad: int) -> Find:
    """The product's detector on a graph."""
    entry(core.graph)  # of export/
    rows, columns = (int(d.dim_value) for d in core.graph.input[0].type.tensor_type.shape.dim[2:])
    return Detector(CoreSession(core), DetectConfig(), (rows, columns), pad)


def plate_reader(core: ModelProto) -> ReadPlates:
    """The product's rectifier and reader on a graph."""
    reader = Reader(CoreSession(core))
    return lambda luma, plates: reader([cut(luma, plate) for plate in plates])


@dataclass(frozen=True, slots=True)
class Loss:
    """How far a variant is from the network it comes from. Points are hundredths of whole-plate accuracy on `dev`.

    `changes` counts what was compared for the three last figures: plates found by both (detector) or damaged
    crops (reader). `moved_px` are corners (detector); a score is that of the plate (detector) or of the text.
    """

    plates: int
    right: int
    right_before: int
    found: int
    found_before: int
    changes: int
    differ: int
    score_mean: float
    score_max: float
    moved_px_mean: float = 0.0
    moved_px_p95: float = 0.0
    sample_points_lost: float = 0.0

    @property
    def points_lost(self) -> float:
        """Less is better; negative where the variant reads more."""
        return 100 * (self.right_before - self.right) / self.plates


def verdict(precision: str, loss: Loss) -> str:
    """Why a variant must not ship; empty where it may."""
    limit = LIMITS[precision]
    if loss.points_lost <= limit:
        return ""
    return (
        f"{precision} loses {loss.points_lost:.2f} points of whole-plate accuracy "
        f"({loss.right_before} to {loss.right} of {loss.plates}), the limit is {limit}"
    )


class Judge:
    """Holds the pictures and what the given pair makes of them; a variant takes the place of one of the two."""

    def __init__(self, data: Path, detector: ModelProto, reader: ModelProto, pad: int) -> None:
        self.data, self._pad = data, pad
        self._images = [image for name in SETS for image in load_dataset(data / name, "dev")]
        self._lumas = {image.path: load_luma(image.path) for image in self._images}
        self._find, self._read = finder(detector, pad), plate_reader(reader)
        self._reader = Reader(CoreSession(reader))

    @cached_property
    def plates(self) -> dict[Path, list[Detection]]:
        """What the pair's detector finds."""
        return {path: self._find(luma) for path, luma in self._lumas.items()}

    @cached_property
    def before(self) -> list[Outcome]:
        """What the pair reads."""
        return self._outcomes(self.plates, self._read)

    @cached_property
    def damaged(self) -> tuple[list[Crop], list[str], list[Read]]:
        """Crops of `train` under other light, blur and codec, their texts, and what the pair's reader says."""
        real = [plate for plates in load_real(self.data, "train").values() for plate in plates]
        rng = np.random.default_rng(11)
        chosen = [real[int(i)] for i in rng.integers(len(real), size=DAMAGED)]
        samples = [real_sample(plate, rng) for plate in chosen]
        blank = Detection(np.zeros((4, 2), np.float32), 1.0)
        crops = [Crop(image, blank, 100.0, 25.0, 1.0, False) for image, _ in samples]
        return crops, [text for _, text in samples], self._reader(crops)

    def detector(self, core: ModelProto) -> Loss:
        """Have another detector find for the pair's reader."""
        find = finder(core, self._pad)
        plates = {path: find(luma) for path, luma in self._lumas.items()}
        pairs = [pair for path in plates for pair in same_plates(self.plates[path], plates[path])]
        total = sum(map(len, self.plates.values()))
        scores = np.array([abs(a.score - b.score) for a, b in pairs])
        moved = np.array([np.abs(a.quad - b.quad).max() for a, b in pairs])
        return replace(
            self._loss(self._outcomes(plates, self._read)),
            changes=len(pairs),
            differ=total - len(pairs),
            score_mean=float(scores.mean()),
            score_max=float(scores.max()),
            moved_px_mean=float(moved.mean()),
            moved_px_p95=float(np.percentile(moved, 95)),
        )

    def reader(self, core: ModelProto) -> Loss:
        """Have another reader read what the pair's detector finds, and the damaged crops."""
        crops, texts, before = self.damaged
        after = Reader(CoreSession(core))(crops)
        changes = [abs(a.score - b.score) for a, b in zip(before, after, strict=True)]
        right = [[canonical(read.plate) == canonical(text) for read, text in zip(reads, texts, strict=True)]
                 for reads in (before, after)]  # fmt: skip
        return replace(
            self._loss(self._outcomes(self.plates, plate_reader(core))),
            changes=len(crops),
            differ=sum(canonical(a.plate) != canonical(b.plate) for a, b in zip(before, after, strict=True)),
            score_mean=float(np.mean(changes)),
            score_max=float(np.max(changes)),
            sample_points_lost=100 * (sum(right[0]) - sum(right[1])) / len(crops),
        )

    def _outcomes(self, plates: Mapping[Path, list[Detection]], read: ReadPlates) -> list[Outcome]:
        def picture(path: Path) -> list[PlateFound]:
            found = plates[path]
            reads = read(self._lumas[path], found)
            return [PlateFound(d.quad, d.score, r) for d, r in zip(found, reads, strict=True)]

        outcomes = evaluate_stills(self._images, picture).outcomes
        return [outcome for outcome in outcomes if outcome.legibility == "ok"]

    def _loss(self, after: Sequence[Outcome]) -> Loss:
        return Loss(
            plates=len(after),
            right=sum(o.right for o in after),
            right_before=sum(o.right for o in self.before),
            found=sum(o.found for o in after),
            found_before=sum(o.found for o in self.before),
            changes=0,
            differ=0,
            score_mean=0.0,
            score_max=0.0,
        )


def same_plates(a: Sequence[Detection], b: Sequence[Detection]) -> list[tuple[Detection, Detection]]:
    """Each plate of `a` with the one of `b` that lies over it, where there is one."""
    pairs = []
    for plate in a:
        box = quad_box(plate.quad)
        best = max(b, key=lambda other: box_iou(box, quad_box(other.quad)), default=None)
        if best is not None and box_iou(box, quad_box(best.quad)) >= 0.3:
            pairs.append((plate, best))
    return pairs


def labelled_images(data: Path, split: str) -> list[LabelledImage]:
    """The pictures of the sets that are judged on."""
    return [image for name in SETS for image in load_dataset(data / name, split)]
