"""Tiny ONNX models that behave like the shipped ones: a finder of bright blobs and a reader of grey columns."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_alpr.evidence import ALPHABET
from edge_alpr.geometry import CROP_MARGIN_X, CROP_MARGIN_Y
from edge_alpr.infer.card import (
    Card,
    DetectorCard,
    InputCard,
    Kind,
    OutputCard,
    ReaderCard,
    TrainingCard,
)
from edge_alpr.infer.package import ModelPackage, load_package, write_card

TOP_K = 64
BLOB_QUAD = np.array([[-24, -8], [24, -8], [24, 8], [-24, 8]], np.float32)
"""What the blob finder puts around the middle of a bright cell, in input pixels."""
STEP = 6
"""Grey levels from one class of the column reader to the next."""


def blob_finder(rows: int = 384, columns: int = 640, top_k: int = TOP_K, luma: str = "luma") -> ModelProto:
    """Scores are the light of 8 x 8 cells (128 is 0, 255 is 1), quads are `BLOB_QUAD` around the cell."""
    wide = columns // 8
    nodes = [
        helper.make_node("Cast", [luma], ["light"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["light"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["cells"], ["flat"]),
        helper.make_node("Sub", ["flat", "grey"], ["over"]),
        helper.make_node("Div", ["over", "span"], ["wild"]),
        helper.make_node("Clip", ["wild", "zero", "one"], ["level"]),
        helper.make_node("TopK", ["level", "k"], ["scores", "index"], axis=1),
        helper.make_node("Div", ["index", "wide"], ["y"]),
        helper.make_node("Mod", ["index", "wide"], ["x"]),
        helper.make_node("Unsqueeze", ["x", "last"], ["x1"]),
        helper.make_node("Unsqueeze", ["y", "last"], ["y1"]),
        helper.make_node("Concat", ["x1", "y1"], ["cell"], axis=2),
        helper.make_node("Cast", ["cell"], ["place"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["place", "eight"], ["corner"]),
        helper.make_node("Add", ["corner", "half"], ["middle"]),
        helper.make_node("Unsqueeze", ["middle", "third"], ["middles"]),
        helper.make_node("Add", ["middles", "quad"], ["quads"]),
    ]
    constants = {
        "grey": np.float32(128), "span": np.float32(127), "zero": np.float32(0), "one": np.float32(1),
        "k": np.array([top_k]), "wide": np.array([wide]), "last": np.array([2]), "third": np.array([2]),
        "eight": np.float32(8), "half": np.float32(3.5), "quad": BLOB_QUAD.reshape(1, 1, 4, 2),
    }  # fmt: skip
    inputs = [helper.make_tensor_value_info(luma, TensorProto.UINT8, [1, 1, rows, columns])]
    outputs = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, top_k]),
        helper.make_tensor_value_info("quads", TensorProto.FLOAT, [1, top_k, 4, 2]),
    ]
    return _model(nodes, constants, inputs, outputs)


def column_reader(classes: int = len(ALPHABET) + 1, batch: int | str = "n") -> ModelProto:
    """Each of 64 steps (two rows of 32 cells, 16 x 4 pixels) says the class whose grey (`STEP` each) it shows."""
    nodes = [
        helper.make_node("Cast", ["crops"], ["light"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["light"], ["cells"], kernel_shape=[16, 4], strides=[16, 4]),
        helper.make_node("Reshape", ["cells", "steps"], ["flat"]),
        helper.make_node("Div", ["flat", "step"], ["level"]),
        helper.make_node("Round", ["level"], ["class"]),
        helper.make_node("Cast", ["class"], ["index"], to=TensorProto.INT64),
        helper.make_node("OneHot", ["index", "depth", "chances"], ["posterior"], axis=-1),
        helper.make_node("Log", ["posterior"], ["logprobs"]),
    ]
    rest = 0.1 / (classes - 1)
    frozen = 0 if isinstance(batch, str) else batch
    constants = {
        "steps": np.array([frozen, 64]), "step": np.float32(STEP), "depth": np.array([classes]),
        "chances": np.array([rest, 0.9], np.float32),
    }  # fmt: skip
    inputs = [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["n", 1, 32, 128])]
    outputs = [helper.make_tensor_value_info("logprobs", TensorProto.FLOAT, ["n", 64, classes])]
    return _model(nodes, constants, inputs, outputs)


def column_crop(upper: str, lower: str = "") -> np.ndarray:
    """A (32, 128) uint8 crop that `column_reader` reads as `upper` and `lower`, every other step blank."""
    crop = np.full((32, 128), STEP * len(ALPHABET), np.uint8)
    for top, text in ((0, upper), (16, lower)):
        for i, char in enumerate(text):
            crop[top : top + 16, 8 * i + 4 : 8 * i + 8] = STEP * ALPHABET.index(char)
    return crop


def card(kind: Kind, **changes: object) -> Card:
    """A right card for `blob_finder` or `column_reader`; `changes` replace whole fields."""
    detector = kind == "detector"
    base = Card(
        name=f"tiny-{kind}",
        kind=kind,
        version="1",
        sha256="0" * 64,
        licence="Apache-2.0",
        description="stands in for a trained model in tests",
        input=InputCard(
            name="luma" if detector else "crops",
            shape=(1, 1, 384, 640) if detector else (0, 1, 32, 128),
            dtype="uint8",
            layout="luma",
        ),
        output=OutputCard(names=("scores", "quads") if detector else ("logprobs",)),
        detector=DetectorCard(pad=114, top_k=TOP_K) if detector else None,
        reader=None
        if detector
        else ReaderCard(alphabet=ALPHABET, blank=len(ALPHABET), margin=(CROP_MARGIN_X, CROP_MARGIN_Y)),
        training=TrainingCard(command="none", hours=0.0, machine="none", seed=0),
        data={"about": "made by hand"},
        figures={"plates_right": 1.0},
    )
    return msgspec.structs.replace(base, **changes)


def put(folder: Path, model: ModelProto | bytes, card_: Card, name: str = "tiny") -> Path:
    """Write a model and its card; gives the ONNX file's path."""
    path = folder / f"{name}.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    write_card(path, card_)
    return path


def package(folder: Path, model: ModelProto | bytes, card_: Card) -> ModelPackage:
    """Write a package and load it."""
    return load_package(put(folder, model, card_))


def _model(nodes: list, constants: dict[str, np.ndarray], inputs: list, outputs: list) -> ModelProto:
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
