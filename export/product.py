"""The product's own stages on a graph, by ONNX Runtime on one core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

from edge_alpr.config import DetectConfig
from edge_alpr.evaluate.stills import MATCH_IOU
from edge_alpr.feed import Feed
from edge_alpr.geometry import box_iou, quad_box
from edge_alpr.ports import Session
from edge_alpr.stages.detect import Detector, DetectorSpec
from edge_alpr.stages.near import MIN_WIDTH_PX, THRESHOLD, Near
from edge_alpr.stages.read import Reader
from edge_alpr.stages.rectify import cut
from edge_alpr.types import Detection, Luma, Read, Tensors

_USUAL = DetectConfig()
Find = Callable[[Luma], list[Detection]]
ReadPlates = Callable[[Luma, Sequence[Detection]], list[Read]]


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
    return detector(CoreSession(core), input_size(core), pad)


def near_finder(near: ModelProto, first: ModelProto, pad: int) -> Find:
    """The product's detector on the graph `first`, with a second look on the graph `near`."""
    return looking_again(first, CoreSession(near), input_size(near), pad)


def looking_again(first: ModelProto, session: Session, window: tuple[int, int], pad: int) -> Find:
    """The product's detector on a graph, with a second look by a session on windows of (rows, columns)."""
    asked = DetectConfig(threshold=THRESHOLD, min_width_px=MIN_WIDTH_PX)
    return Near(finder(first, pad), detector(session, window, pad, asked), window, input_size(first))


def detector(session: Session, size: tuple[int, int], pad: int, asked: DetectConfig = _USUAL) -> Detector:
    """The product's detector on a session that takes luma of (rows, columns)."""
    return Detector(session, asked, DetectorSpec(Feed("luma", (1, 1, *size)), pad=pad))


def input_size(core: ModelProto) -> tuple[int, int]:
    """Rows and columns that a detector's graph takes."""
    rows, columns = (int(d.dim_value) for d in core.graph.input[0].type.tensor_type.shape.dim[2:])
    return rows, columns


def plate_reader(core: ModelProto) -> ReadPlates:
    """The product's rectifier and reader on a graph."""
    reader = Reader(CoreSession(core))
    return lambda luma, plates: reader([cut(luma, plate) for plate in plates])


def same_plates(a: Sequence[Detection], b: Sequence[Detection]) -> list[tuple[Detection, Detection]]:
    """Each plate of `a` with the one of `b` that lies over it, where there is one."""
    pairs = []
    for plate in a:
        box = quad_box(plate.quad)
        best = max(b, key=lambda other: box_iou(box, quad_box(other.quad)), default=None)
        if best is not None and box_iou(box, quad_box(best.quad)) >= MATCH_IOU:
            pairs.append((plate, best))
    return pairs

