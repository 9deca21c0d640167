"""The golden check: a plan must see and read on known frames what its graph does in ONNX Runtime.

An engine that was built short of memory can run and see nothing, so no plan is used without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge_alpr.build.frames import GoldenFrame
from edge_alpr.characters import folding
from edge_alpr.config import DetectConfig
from edge_alpr.errors import EdgeAlprError, ModelError
from edge_alpr.evidence import read_from_slots
from edge_alpr.geometry import box_iou, quad_box
from edge_alpr.infer import adapt
from edge_alpr.infer.graphs import Graph
from edge_alpr.infer.plan import Golden
from edge_alpr.infer.recipe import GraphPrecision
from edge_alpr.ports import Session
from edge_alpr.stages.detect import Letterbox, decode
from edge_alpr.stages.near import WINDOW, window_on
from edge_alpr.stages.read import ctc_slots, plane_chances
from edge_alpr.types import Detection, Luma, Read, Tensors

SURE = 0.6
"""Texts that the reference gives this chance must be the same."""
SHARPNESS = 0.05
"""Share by which the sharpness of a crop may differ; it weighs readings, no more."""
_SAME_PLACE = 0.3
_BLIND = "nothing is proven: use another model or a larger frame"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan may differ from the reference by."""

    corners_px: float
    score: float

    def __str__(self) -> str:
        return f"corners {self.corners_px:g} px, scores {self.score:g}, texts from {SURE:g} the same"


LIMITS: Mapping[GraphPrecision, Limits] = {
    "fp32": Limits(0.5, 0.01),
    "fp16": Limits(1.0, 0.03),
    "int8": Limits(2.0, 0.1),
}


@dataclass(slots=True)
class _Tally:
    """What was compared so far."""

    limits: Limits
    frames: int = 0
    plates: int = 0
    texts: int = 0
    texts_same: int = 0
    corners_px: float = 0.0
    score: float = 0.0
    problems: list[str] = field(default_factory=list)

    def golden(self) -> Golden:
        """The result; the first problem tells most."""
        if self.corners_px > self.limits.corners_px:
            self.problems.append(f"a corner lies {self.corners_px:.2f} px off, the limit is {self.limits.corners_px:g}")
        if self.score > self.limits.score:
            self.problems.append(f"a score differs by {self.score:.3f}, the limit is {self.limits.score:g}")
        return Golden(
            problem=self.problems[0] if self.problems else "",
            frames=self.frames,
            plates=self.plates,
            corners_px=round(self.corners_px, 4),
            score=round(self.score, 5),
            texts=self.texts,
            texts_same=self.texts_same,
            limits=str(self.limits),
        )


def check_detector(plan: Session, reference: Session, graph: Graph, frames: Sequence[GoldenFrame]) -> Golden:
    """Compare finds: each that one is sure of must be where the other has one, too.

    Raises `ModelError` where the reference fails or finds nothing: then nothing can be proven.
    """
    tally = _Tally(LIMITS[graph.precision])
    for frame in frames:
        feeds: Mapping[str, NDArray[Any]] = {"luma": surface(frame.luma, graph)}
        wanted, size = reference.run(feeds), (graph.width, graph.height)
        tally.plates += len(_finds(wanted, size, tally.limits.score))
        try:
            _compare_finds(tally, _same_shape(plan.run(feeds), wanted), wanted, size)
        except EdgeAlprError as error:
            tally.problems.append(" ".join(str(error).split()))
        tally.frames += 1
    if not tally.plates:
        raise ModelError(f"{graph.package.path}: on the CPU, too, it finds no plate on the golden frames; {_BLIND}")
    return tally.golden()


def check_near(plan: Session, reference: Session, graph: Graph, frames: Sequence[GoldenFrame]) -> Golden:
    """Compare finds in a window around each plate; corners count in frame pixels. Raises as `check_detector`."""
    tally = _Tally(LIMITS[graph.precision])
    for frame in frames:
        luma, size = surface(frame.luma, graph), (graph.width, graph.height)
        for quad in frame.quads:
            window = window_on(Detection(quad, 1.0), size, graph.input_size, seen=0.0)
            if window is None:
                continue
            where = np.array([[window.scale, *window.shift]], np.float32)
            feeds: Mapping[str, NDArray[Any]] = {"luma": luma, WINDOW: where}
            wanted = reference.run(feeds)
            inside = (graph.input_size[1], graph.input_size[0])
            tally.plates += len(_finds(wanted, inside, tally.limits.score))
            try:
                _compare_finds(tally, _same_shape(plan.run(feeds), wanted), wanted, inside, 1 / window.scale)
            except EdgeAlprError as error:
                tally.problems.append(" ".join(str(error).split()))
        tally.frames += 1
    if not tally.plates:
        raise ModelError(f"{graph.package.path}: on the CPU, too, it finds no plate in the golden windows; {_BLIND}")
    return tally.golden()


def check_reader(
    plan: Session, reference: Session, graph: Graph, frames: Sequence[GoldenFrame], sizes: Sequence[int]
) -> Golden:
    """Compare reads of all plates in batches of each size, for each has kernels of its own.

    Raises `ModelError` where the reference fails or reads nothing.
    """
    tally = _Tally(LIMITS[graph.precision])
    for frame in frames:
        luma = surface(frame.luma, graph)
        for size in sizes if frame.quads else ():
            feeds: Mapping[str, NDArray[Any]] = {"luma": luma, "quads": np.resize(np.stack(frame.quads), (size, 4, 2))}
            wanted = reference.run(feeds)
            right = _reads(wanted, graph)
            tally.plates += size
            tally.texts += sum(map(_sure, right))
            try:
                _compare_reads(tally, _same_shape(plan.run(feeds), wanted), wanted, right, graph)
            except EdgeAlprError as error:
                tally.problems.append(f"{size} plates a run: {' '.join(str(error).split())}")
        tally.frames += 1
    if not tally.texts:
        raise ModelError(f"{graph.package.path}: on the CPU, too, it reads nothing on the golden frames; {_BLIND}")
    return tally.golden()


def surface(luma: Luma, graph: Graph) -> NDArray[np.uint8]:
    """The plane as a graph takes it, (1, 1, H, pitch); what stands in the padding must not matter, so it is white."""
    memory = np.full((1, 1, graph.height, graph.pitch), 255, np.uint8)
    memory[0, 0, :, : graph.width] = luma
    return memory


def _compare_finds(
    tally: _Tally, found: Tensors, wanted: Tensors, size: tuple[int, int], frame_px: float = 1.0
) -> None:
    """`frame_px` are the frame's pixels for one of what is found in."""
    margin = tally.limits.score
    for ours, theirs, trouble in ((wanted, found, "is not seen"), (found, wanted, "is seen where none is")):
        for plate in _finds(ours, size, margin):
            twin = _nearest(plate, _finds(theirs, size, -margin))
            if twin is None:
                tally.problems.append(f"a plate of {plate.score:.0%} {trouble}")
                continue
            tally.corners_px = max(tally.corners_px, frame_px * float(np.abs(plate.quad - twin.quad).max()))
            tally.score = max(tally.score, abs(plate.score - twin.score))


def _finds(outputs: Tensors, size: tuple[int, int], margin: float) -> list[Detection]:
    usual = DetectConfig()
    config = msgspec.structs.replace(usual, threshold=usual.threshold + margin)
    return decode(outputs, Letterbox(size, size), config)


def _nearest(plate: Detection, others: Sequence[Detection]) -> Detection | None:
    box = quad_box(plate.quad)
    best = max(others, key=lambda other: box_iou(box, quad_box(other.quad)), default=None)
    return best if best is not None and box_iou(box, quad_box(best.quad)) >= _SAME_PLACE else None


def _compare_reads(tally: _Tally, found: Tensors, wanted: Tensors, right: Sequence[Read], graph: Graph) -> None:
    for read, true in zip(_reads(found, graph), right, strict=True):
        same = read.plate == true.plate
        if same:
            tally.score = max(tally.score, abs(read.score - true.score))
        if _sure(true):
            tally.texts_same += same
            if not same:
                tally.problems.append(f"{len(right)} plates a run: {true.plate} reads {read.plate or 'nothing'}")
    gap = np.abs(found["sharpness"] - wanted["sharpness"])
    if not bool(np.all(gap <= SHARPNESS * np.abs(wanted["sharpness"]) + 1e-3)):
        tally.problems.append(f"a crop's sharpness differs by more than {SHARPNESS:.0%}")


def _sure(read: Read) -> bool:
    return bool(read.plate) and read.score >= SURE


def _reads(outputs: Tensors, graph: Graph) -> list[Read]:
    spec = adapt.reader_spec(graph.package.card)
    chances = plane_chances(outputs, spec, folding(spec.alphabet, spec.blank))
    return [read_from_slots(ctc_slots(one)) for one in chances]


def _same_shape(found: Tensors, wanted: Tensors) -> Tensors:
    """What a plan gave, if it has the reference's outputs, all of them numbers. Raises `ModelError`."""
    for name, right in wanted.items():
        one = found.get(name)
        if one is None or one.shape != right.shape or one.dtype != right.dtype:
            given = "missing" if one is None else f"{one.dtype} {list(one.shape)}"
            raise ModelError(f"output {name} is {given}, {right.dtype} {list(right.shape)} is right")
        if not bool(np.isfinite(one).all()):
            raise ModelError(f"output {name} holds what is no number")
    return found
