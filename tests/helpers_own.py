"""Models as other people bring them: a box detector in the usual exports, and the shipped reader in foreign clothes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx
from helpers_infer import card, put
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_alpr.boxes import FormatName
from edge_alpr.evidence import ALPHABET, NONE
from edge_alpr.infer.card import Card, DetectorCard, InputCard, OutputCard, ReaderCard
from edge_alpr.infer.package import load_package, shipped

ROWS, COLUMNS = 384, 640
CLASSES = 2
"""Class 0 is a car, class 1 a plate."""
_BRIGHT = 0.78
_SPREAD = np.array([[0, 0, 0, 0], [-1, 0, 1, 0], [0, -1, 0, 1], [-200, -100, 200, 100]], np.float32)
"""Boxes around the bright one: three of the plate, so that two must be suppressed, and one of a car."""
_CHANCES = np.array([[0.01, 0.9], [0.02, 0.8], [0.01, 0.7], [0.95, 0.01]], np.float32)
_TO_MIDDLES = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32)
"""Two corners (1, 4) times this are middle, width and height."""


def rectangle_finder(name: FormatName) -> ModelProto:
    """Finds the box around all that is brighter than `_BRIGHT` in (1, 3, 384, 640) float32, 0 to 1."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["light"], axes=[1], keepdims=1),
        helper.make_node("Greater", ["light", "bright"], ["over"]),
        helper.make_node("Cast", ["over"], ["mask"], to=TensorProto.FLOAT),
        *(node for axis, low, high in ((2, "x0", "x1"), (3, "y0", "y1")) for node in _ends(axis, low, high)),
        helper.make_node("Concat", ["x0", "y0", "x1", "y1"], ["box"], axis=1),
        helper.make_node("Add", ["box", "spread"], ["corners"]),
        helper.make_node("MatMul", ["corners", "to_middles"], ["middles"]),
        helper.make_node("ReduceMax", ["mask"], ["any4"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Reshape", ["any4", "one_one"], ["any"]),
        helper.make_node("Mul", ["chances", "any"], ["scores"]),
        helper.make_node("ReduceMax", ["scores"], ["score"], axes=[1], keepdims=1),
        *_TAILS[name],
    ]
    constants = {
        "bright": np.float32(_BRIGHT), "spread": _SPREAD, "to_middles": _TO_MIDDLES, "chances": _CHANCES,
        "one_one": np.array([1, 1]), "first": np.array([0]), "zeros": np.zeros((4, 1), np.float32),
        "past": np.float32(1),
        "which": np.array([[1], [1], [1], [0]], np.float32), "sure": (_CHANCES > 0.5).astype(np.float32),
    }  # fmt: skip
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])]
    outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, None)]
    return _model(nodes, constants, inputs, outputs)


def _ends(axis: int, low: str, high: str) -> list[onnx.NodeProto]:
    """First bright row or column of the mask, and the one after the last; each (1, 1)."""
    other = 5 - axis
    picks = [
        helper.make_node("ReduceMax", ["mask"], [f"bare{axis}"], axes=[axis], keepdims=1),
        helper.make_node("ArgMax", [f"bare{axis}"], [f"{low}i"], axis=other, keepdims=1),
        helper.make_node("ArgMax", [f"bare{axis}"], [f"{high}i"], axis=other, keepdims=1, select_last_index=1),
    ]
    for end in (low, high):
        name = end if end == low else f"{end}last"
        picks += [
            helper.make_node("Reshape", [f"{end}i", "one_one"], [f"{end}flat"]),
            helper.make_node("Cast", [f"{end}flat"], [name], to=TensorProto.FLOAT),
        ]
    return [*picks, helper.make_node("Add", [f"{high}last", "past"], [high])]


_TAILS: dict[str, list[onnx.NodeProto]] = {
    "yolov8": [
        helper.make_node("Concat", ["middles", "scores"], ["rows"], axis=1),
        helper.make_node("Transpose", ["rows"], ["columns"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["columns", "first"], ["output0"]),
    ],
    "yolov5": [
        helper.make_node("Concat", ["middles", "score", "sure"], ["rows"], axis=1),
        helper.make_node("Unsqueeze", ["rows", "first"], ["output0"]),
    ],
    "yolov10": [
        helper.make_node("Concat", ["corners", "score", "which"], ["rows"], axis=1),
        helper.make_node("Unsqueeze", ["rows", "first"], ["output0"]),
    ],
    "yolov7-nms": [helper.make_node("Concat", ["zeros", "corners", "which", "score"], ["output0"], axis=1)],
}


def finder_card(name: FormatName, **changes: object) -> Card:
    """The right card for `rectangle_finder`; `changes` go into its [detector] table."""
    return card(
        "detector",
        input=InputCard(name="images", shape=(1, 3, ROWS, COLUMNS), dtype="float32", layout="rgb"),
        output=OutputCard(names=("output0",)),
        detector=msgspec.structs.replace(
            DetectorCard(pad=114, decode=name, classes=CLASSES, plates=(1,), align="centre"), **changes
        ),
        training=None,
    )


@dataclass(frozen=True)
class Clothes:
    """How a foreign reader differs from the shipped one; its first axis is free unless `batch` is set."""

    alphabet: str
    blank: int
    kind: str = "logprobs"
    axes: str = "NTC"
    dtype: str = "uint8"
    layout: str = "luma"
    nhwc: bool = False
    twice: bool = False
    """Crops of twice the size, averaged back."""
    batch: int = 0


def dressed(clothes: Clothes) -> ModelProto:
    """The shipped reader with other classes, and with another input and output."""
    package = load_package(shipped("reader"))
    model = onnx.load_from_string(package.model)
    head, tail = _head(clothes, package.card), _tail(clothes, package.card)
    constants = {
        "shut": np.full((1, 1, 1), -30, np.float32), "order": _order(clothes), "shift": np.float32(3.25),
        "half": np.float32(127.5), "single": np.array([0]), "share": _shares(_order(clothes)),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), f"own_{k}") for k, v in constants.items())
    nodes = [*head, *model.graph.node, *tail]
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    model.graph.node.extend(nodes)
    kind = TensorProto.FLOAT if clothes.dtype == "float32" else TensorProto.UINT8
    model.graph.input.append(helper.make_tensor_value_info("plates", kind, [s or "n" for s in _shape(clothes)]))
    model.graph.output.append(helper.make_tensor_value_info("text", TensorProto.FLOAT, None))
    return model


def dressed_card(clothes: Clothes, **changes: object) -> Card:
    """The right card for `dressed`; `changes` go into its [reader] table."""
    scaled = {"mean": 0.5, "std": 0.5} if clothes.dtype == "float32" else {}
    source = InputCard(
        name="plates", shape=_shape(clothes), dtype=clothes.dtype, layout=clothes.layout,
        axes="NHWC" if clothes.nhwc else "NCHW", **scaled,
    )  # fmt: skip
    base = load_package(shipped("reader")).card.reader
    assert base
    reader = ReaderCard(
        alphabet=clothes.alphabet, blank=clothes.blank, margin=base.margin, output=clothes.kind, axes=clothes.axes,
        temperature=base.temperature,
    )  # fmt: skip
    reader = msgspec.structs.replace(reader, **changes)
    return card("reader", input=source, output=OutputCard(names=("text",)), reader=reader, training=None)


def put_dressed(folder: Path, clothes: Clothes, **changes: object) -> Path:
    """Write such a reader and its card."""
    return put(folder, dressed(clothes), dressed_card(clothes, **changes), "foreign")


def _shape(clothes: Clothes) -> tuple[int, ...]:
    channels, scale = 3 if clothes.layout == "rgb" else 1, 2 if clothes.twice else 1
    rows, columns = 32 * scale, 128 * scale
    return (clothes.batch, rows, columns, channels) if clothes.nhwc else (clothes.batch, channels, rows, columns)


def _order(clothes: Clothes) -> np.ndarray:
    """For each foreign class the shipped one; 37 is the one that is never said."""
    classes = [*clothes.alphabet]
    known = [ALPHABET.find(char.upper()) for char in classes]
    order = [NONE + 1 if place < 0 else place for place in known]
    order.insert(clothes.blank, NONE)
    return np.array(order)


def _shares(order: np.ndarray) -> np.ndarray:
    """A character that stands twice in the alphabet is said half by each class."""
    counts = np.array([(order == place).sum() if place < NONE else 1 for place in order])
    return -np.log(counts).astype(np.float32)


def _head(clothes: Clothes, shipped_card: Card) -> list[onnx.NodeProto]:
    """From the foreign input to the shipped one's."""
    steps: list[tuple[str, list[str], dict]] = []
    if clothes.nhwc:
        steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
    if clothes.layout == "rgb":
        steps.append(("Gather", ["own_single"], {"axis": 1}))
    if clothes.dtype == "float32":
        steps += [("Mul", ["own_half"], {}), ("Add", ["own_half"], {})]
    elif clothes.twice:
        steps.append(("Cast", [], {"to": TensorProto.FLOAT}))
    if clothes.twice:
        steps.append(("AveragePool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}))
    if clothes.twice or clothes.dtype == "float32":
        steps += [("Round", [], {}), ("Cast", [], {"to": TensorProto.UINT8})]
    return _chain(steps or [("Identity", [], {})], "plates", shipped_card.input.name)


def _tail(clothes: Clothes, shipped_card: Card) -> list[onnx.NodeProto]:
    """From the shipped output to the foreign one."""
    (name,) = shipped_card.output.names
    wide = [
        helper.make_node("Slice", [name, "own_single", "own_one", "own_last"], ["own_first"]),
        helper.make_node("Mul", ["own_first", "own_zero"], ["own_nothing"]),
        helper.make_node("Add", ["own_nothing", "own_shut"], ["own_never"]),
        helper.make_node("Concat", [name, "own_never"], ["own_wide"], axis=2),
    ]
    numbers = {"own_one": np.array([1]), "own_last": np.array([2]), "own_zero": np.float32(0)}
    constants = [
        helper.make_node("Constant", [], [key], value=numpy_helper.from_array(np.asarray(value)))
        for key, value in numbers.items()
    ]
    steps: list[tuple[str, list[str], dict]] = [("Gather", ["own_order"], {"axis": 2}), ("Add", ["own_share"], {})]
    steps += {"logits": [("Add", ["own_shift"], {})], "probabilities": [("Exp", [], {})]}.get(clothes.kind, [])
    if clothes.axes == "TNC":
        steps.append(("Transpose", [], {"perm": [1, 0, 2]}))
    return [*constants, *wide, *_chain(steps, "own_wide", "text")]


def _chain(steps: list[tuple[str, list[str], dict]], start: str, end: str) -> list[onnx.NodeProto]:
    names = [start, *(f"own_{end}{i}" for i in range(1, len(steps))), end]
    return [
        helper.make_node(kind, [names[i], *more], [names[i + 1]], **attributes)
        for i, (kind, more, attributes) in enumerate(steps)
    ]


def _model(nodes: list, constants: dict[str, np.ndarray], inputs: list, outputs: list) -> ModelProto:
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "own", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
