"""INT8: Q/DQ around the convolutions, calibrated on real frames and crops. FP16 is in `export.half`."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from export.nodes import ancestors, initializers, named

Feeds = Mapping[str, NDArray[Any]]
CAUTIONS = ((1, 0, 99.999), (1, 0, 100.0), (3, 1, 99.999), (3, 1, 100.0))
"""What the picture loses in the first convolutions moves corners more than all the others do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a graph is quantised. Weights are signed, symmetric and have a scale for each channel always.

    `symmetric`: activations are signed with a zero point of 0, biases stay floats and weights are quantised in
    the graph, as TensorRT wants it. `ops` are the kinds of nodes that run on bytes; of the convolutions, the
    `first` ones and the `last` ones before the outputs' own stay in floats. `percentile` of the values that a
    tensor takes in calibration are not clipped. `cautions` are these three, tried in this order until a graph keeps
    its accuracy.
    """

    symmetric: bool
    ops: tuple[str, ...]
    first: int = 1
    last: int = 0
    percentile: float = 99.999
    cautions: tuple[tuple[int, int, float], ...] = CAUTIONS

    def __str__(self) -> str:
        return f"floats: the first {self.first}, the last {self.last}; percentile {self.percentile}"


GPU = Recipe(symmetric=True, ops=("Conv",))
CPU = Recipe(symmetric=False, ops=("Conv", "Add", "Relu", "Resize"))
NEAR = replace(CPU, cautions=CAUTIONS[1:])
"""For what looks again: corners move by 0.18 px where nothing is clipped, by 0.21 px elsewhere."""

def cautious(recipe: Recipe) -> Iterator[Recipe]:
    """The recipe with more and more caution."""
    for first, last, percentile in recipe.cautions:
        yield replace(recipe, first=first, last=last, percentile=percentile)


def to_int8(core: ModelProto, feeds: Iterable[Feeds], recipe: Recipe) -> ModelProto:
    """A shipped graph with its convolutions on bytes, but for those that give its outputs.

    `feeds` are inputs to calibrate with: the more alike to what will come, the better.
    """
    model = named(core)
    floats = _float_nodes(model.graph, recipe)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "core.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, str(source))
        with _silence():
            quantize_static(
                str(source), str(target), _Feeder(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
                op_types_to_quantize=list(recipe.ops), nodes_to_exclude=sorted(floats),
                activation_type=QuantType.QInt8 if recipe.symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.Percentile,
                extra_options=_options(recipe),
            )  # fmt: skip
        quantised = onnx.load(str(target))
    if recipe.symmetric:
        _share_residuals(quantised.graph)
    onnx.checker.check_model(quantised, full_check=True)
    return quantised


def _options(recipe: Recipe) -> dict[str, Any]:
    options: dict[str, Any] = {"CalibPercentile": recipe.percentile, "WeightSymmetric": True}
    if recipe.symmetric:
        options |= {"ActivationSymmetric": True, "QuantizeBias": False, "AddQDQPairToWeight": True}
    return options


def _float_nodes(graph: GraphProto, recipe: Recipe) -> set[str]:
    """What stays in floats: all behind the convolutions, the 1x1 ones that give the outputs, and `first` and `last`."""
    trunk = ancestors(graph, frozenset({"Conv"}))
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kept = {node.name for node in graph.node if node.name not in trunk}
    kept |= {node.name for node in convolutions[: recipe.first]}
    heads = {name for name in _last_of(graph, convolutions, set()) if _kernel(graph, name) == [1, 1]}
    kept |= heads
    for _ in range(recipe.last):
        heads |= _last_of(graph, convolutions, heads)
        kept |= heads
    return kept


def _last_of(graph: GraphProto, convolutions: list[NodeProto], later: set[str]) -> set[str]:
    """The convolutions that no other one follows but those of `later`."""
    makers = {output: node for node in graph.node for output in node.output}
    followed: set[str] = set()
    for node in convolutions:
        if node.name in later:
            continue
        pending = [makers[name] for name in node.input if name in makers]
        while pending:
            before = pending.pop()
            if before.name not in followed:
                followed.add(before.name)
                pending += [makers[name] for name in before.input if name in makers]
    return {node.name for node in convolutions} - followed - later


def _kernel(graph: GraphProto, name: str) -> list[int]:
    node = next(node for node in graph.node if node.name == name)
    return next(list(a.ints) for a in node.attribute if a.name == "kernel_shape")


def _share_residuals(graph: GraphProto) -> None:
    """Let the sums of residual blocks take the bytes that the convolution beside them takes.

    So TensorRT keeps the tensor once, in bytes, and adds it while the convolution is written out.
    """
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    floats = {sources[n.input[0]]: n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    constants = initializers(graph)
    for node in graph.node:
        if node.op_type == "Add":
            for i, name in enumerate(node.input):
                if name in floats and name not in constants:
                    node.input[i] = floats[name]
    _sort(graph)


def _sort(graph: GraphProto) -> None:
    """Put the nodes in an order in which each comes after what it takes."""
    ready = {port.name for port in graph.input} | set(initializers(graph)) | {""}
    pending, ordered = list(graph.node), []
    while pending:
        now = [node for node in pending if ready.issuperset(node.input)]
        if not now:
            raise ValueError("the graph has a circle")
        for node in now:
            ready |= set(node.output)
        ordered += now
        taken = {id(node) for node in now}
        pending = [node for node in pending if id(node) not in taken]
    copies = [helper.make_node("Identity", [], []) for _ in ordered]
    for copy, node in zip(copies, ordered, strict=True):
        copy.CopyFrom(node)
    del graph.node[:]
    graph.node.extend(copies)


class _Feeder(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Iterable[Feeds]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        feed = next(self._feeds, None)
        return None if feed is None else dict(feed)


@contextmanager
def _silence() -> Iterator[None]:
    """The quantiser tells its steps on stdout and asks for a preparation that the shipped graphs have had."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(before)


def coarsened(core: ModelProto, bits: int) -> ModelProto:
    """A graph whose weights have so many bits only: what a bad quantisation does, to try the gate with."""
    model = ModelProto()
    model.CopyFrom(core)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2:
            values = onnx.numpy_helper.to_array(tensor)
            step = float(np.abs(values).max()) / (2 ** (bits - 1) - 0.5) or 1.0
            coarse = (np.round(values / step) * step).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(coarse, tensor.name))
    return model
