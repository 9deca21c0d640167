"""The graphs for the GPU: the Y plane of a frame goes in as it lies in memory, only numbers come out.

The shipped graphs take what the CPU has resized or cut. Here their first Cast is replaced by nodes that do the
same from the whole frame, and the detector's corners are brought back to frame pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto

from edge_alpr.stages.detect import letterbox
from edge_alpr.stages.near import WINDOW
from edge_alpr.stages.read import BEST, CLASSES, SHARPNESS
from export.nodes import Nodes, cast_target, entry, rename_output, value
from export.perspective import mean_and_std, normalised, sharpness, upright, window_of
from export.resize import resize, whole_factors

BATCHES = (1, 2, 4, 8)
"""Plates a run, one TensorRT profile each."""
NEAR_KEPT = 4
"""Finds of a window that are told: it shows one plate, and hardly its neighbours."""
KEPT = 5
"""Classes of each step that are told."""


@dataclass(frozen=True, slots=True)
class Plane:
    """A Y plane: its pixels, and the bytes from one row to the next."""

    width: int
    height: int
    pitch: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1 or self.pitch < self.width:
            raise ValueError(f"{self} is no Y plane: sizes are from 1 up, the pitch is at least the width")

    @property
    def name(self) -> str:
        """As it stands in file names: 1280x720p1536."""
        return f"{self.width}x{self.height}p{self.pitch}"


def detector_for_gpu(core: ModelProto, plane: Plane, pad: int) -> ModelProto:
    """`luma` (1, 1, H, pitch) uint8 to `scores` (1, K) and `quads` (1, K, 4, 2) float32 in frame pixels."""
    rows, columns = (int(d.dim_value) for d in core.graph.input[0].type.tensor_type.shape.dim[2:])
    fit = letterbox((plane.width, plane.height), (rows, columns))
    wanted = cast_target(entry(core.graph))
    front = Nodes("frame", wanted if whole_factors(fit) else TensorProto.FLOAT)  # half matrices would lose grey levels
    light = resize(front, _pixels(front, plane), fit)
    below, right = rows - fit.size[1], columns - fit.size[0]
    if below or right:
        light = front.op("Pad", light, front.whole([0, 0, 0, 0, 0, 0, below, right]), front.number(pad))
    light = _as_type(front, light, wanted)
    model = _with_front(core, front, light)
    rename_output(model.graph, "quads", "input_quads")
    back, scale = Nodes("back"), fit.scale.astype(np.float32)
    grown = back.op("Mul", "input_quads", back.number(1 / scale))
    back.op("Add", grown, back.number(0.5 / scale - 0.5), called="quads")
    model.graph.node.extend(back.nodes)
    model.graph.initializer.extend(back.constants)
    model.graph.input[0].CopyFrom(_luma(plane))
    return _checked(model)


def near_for_gpu(core: ModelProto, plane: Plane) -> ModelProto:
    """`luma` as above and `window` (1, 3) float32, scale and shift of a window, to its finds in window pixels.

    The window is cut as `stages.near` has it cut on the CPU. Of the finds the best `NEAR_KEPT` are told.
    """
    size = [int(d.dim_value) for d in core.graph.input[0].type.tensor_type.shape.dim[2:]]
    front = Nodes("window")
    light = window_of(front, _pixels(front, plane), WINDOW, (plane.width, plane.height), (size[0], size[1]))
    light = _as_type(front, light, cast_target(entry(core.graph)))
    model = _with_front(core, front, light)
    back, graph = Nodes("back"), model.graph
    for output in graph.output:
        name, shape = output.name, [int(d.dim_value) for d in output.type.tensor_type.shape.dim]
        rename_output(graph, name, f"all_{name}")
        back.op("Slice", f"all_{name}", *(back.whole([n]) for n in (0, NEAR_KEPT, 1)), called=name)
        output.CopyFrom(value(name, TensorProto.FLOAT, (1, NEAR_KEPT, *shape[2:])))
    graph.node.extend(back.nodes)
    graph.initializer.extend(back.constants)
    graph.input[0].CopyFrom(_luma(plane))
    graph.input.append(value(WINDOW, TensorProto.FLOAT, (1, 3)))
    return _checked(model)


def reader_for_gpu(core: ModelProto, plane: Plane, kept: int = KEPT) -> ModelProto:
    """`luma` (1, 1, H, pitch) uint8 and `quads` (N, 4, 2) float32, frame pixels, to what `stages.read` names.

    `best` (N, T, K) float16 are the `kept` likeliest log-probabilities of each step, `classes` (N, T, K) uint8 their
    classes: all of them would be ten times the bytes. `sharpness` (N,) float32 is that of `stages.rectify`: on the
    GPU nobody else sees the crop.
    """
    front = Nodes("plate")
    crops = upright(front, _pixels(front, plane), "quads", (plane.width, plane.height))
    centred, std = mean_and_std(front, crops)
    front.op("Reshape", sharpness(front, centred, std), front.whole([-1]), called=SHARPNESS)
    light = _as_type(front, normalised(front, centred, std), cast_target(entry(core.graph)))
    model = _with_front(core, front, light)
    model.graph.input[0].CopyFrom(_luma(plane))
    model.graph.input.append(value("quads", TensorProto.FLOAT, ("n", 4, 2)))
    steps, classes = (int(size.dim_value) for size in model.graph.output[0].type.tensor_type.shape.dim[1:])
    _keep_best(model, min(kept, classes), steps)
    model.graph.output.append(value(SHARPNESS, TensorProto.FLOAT, ("n",)))
    return _checked(model)


def _keep_best(model: ModelProto, kept: int, steps: int) -> None:
    """The best of each step in place of all. TensorRT gives bytes only from a Cast of floats."""
    graph, back = model.graph, Nodes("back")
    everything = graph.output[0].name
    values, indices = back.ops("TopK", (everything, back.whole([kept])), ["back/values", "back/indices"], axis=-1)
    back.op("Cast", values, called=BEST, to=TensorProto.FLOAT16)
    back.op("Cast", back.op("Cast", indices, to=TensorProto.FLOAT), called=CLASSES, to=TensorProto.UINT8)
    graph.node.extend(back.nodes)
    graph.initializer.extend(back.constants)
    del graph.output[:]
    graph.output.append(value(BEST, TensorProto.FLOAT16, ("n", steps, kept)))
    graph.output.append(value(CLASSES, TensorProto.UINT8, ("n", steps, kept)))


def bytes_out(plates: int, top_k: int = 64, steps: int = 64) -> int:
    """Bytes that leave the GPU for a frame: scores and quads, and of each plate a second look and its reading."""
    return 4 * (top_k + plates * NEAR_KEPT) * (1 + 8) + plates * (steps * KEPT * 3 + 4)


def _pixels(nodes: Nodes, plane: Plane) -> str:
    """The plane as floats without its padding columns. TensorRT wants the Cast first, and alone."""
    light = nodes.op("Cast", "luma", to=nodes.dtype)
    if plane.pitch == plane.width:
        return light
    return nodes.op("Slice", light, nodes.whole([0]), nodes.whole([plane.width]), nodes.whole([3]))


def _as_type(nodes: Nodes, light: str, wanted: int) -> str:
    return light if wanted == nodes.dtype else nodes.op("Cast", light, to=wanted)


def _luma(plane: Plane) -> ValueInfoProto:
    return value("luma", TensorProto.UINT8, (1, 1, plane.height, plane.pitch))


def _with_front(core: ModelProto, front: Nodes, light: str) -> ModelProto:
    """A copy of `core` whose first Cast is replaced by nodes that end in `light`."""
    model = ModelProto()
    model.CopyFrom(core)
    graph = model.graph
    cast = entry(graph)
    rest = [node for node in graph.node if node.output[0] != cast.output[0]]
    nodes = [*front.nodes, *rest]
    result = cast.output[0]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(front.constants)
    rename_output(graph, result, light)
    return model


def _checked(model: ModelProto) -> ModelProto:
    onnx.checker.check_model(model, full_check=True)
    return model
