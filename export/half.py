"""FP16: the network in half precision, what decodes its output in single precision.

`onnxruntime.transformers.float16` (1.32) rounds what lies between two nodes kept in single precision through half
precision as well: the index of a cell leaves its table. Hence our own pass.

ONNX Runtime's CPU provider computes half graphs in single precision and drops the casts between, so it cannot tell
what half precision loses. `rehearse` gives a graph in single precision that rounds every value as half does.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.nodes import ancestors, cast_target, entry, initializers, named, tensor_types

WEIGHTED = frozenset({"Conv", "MatMul", "Gemm"})
DELICATE = frozenset({"Softmax", "LogSoftmax", "LayerNormalization"})
"""Stay in single precision inside the network too."""
SINGLE_INPUTS = {"Resize": (1, 2)}
"""Inputs that are single precision by ONNX's own rules."""
_SPLITTER = float(2**13 + 1)
"""Takes a float's 24 bits apart so that the upper 11, those of a half, are left."""


def halved_nodes(model: ModelProto) -> set[str]:
    """Names of the nodes to run in half precision: all up to the last one with weights, less the delicate."""
    delicate = {node.name for node in model.graph.node if node.op_type in DELICATE}
    return ancestors(model.graph, WEIGHTED) - delicate


def to_half(core: ModelProto) -> ModelProto:
    """A shipped graph with the network in half precision; inputs and outputs keep their types."""
    model = named(core)
    _Halver(model, halved_nodes(model)).run()
    onnx.checker.check_model(model, full_check=True)
    return model


class _Halver:
    """Walks the nodes once; a tensor is cast where it crosses between half and single precision."""

    def __init__(self, model: ModelProto, halved: set[str]) -> None:
        self._graph, self._halved = model.graph, halved
        self._types = tensor_types(model)
        self._constants = initializers(model.graph)
        self._is_half: set[str] = set()
        self._cast: dict[tuple[str, int], str] = {}
        self._nodes: list[NodeProto] = []
        self._halves: dict[str, TensorProto] = {}

    def run(self) -> None:
        first = entry(self._graph).name
        for node in self._graph.node:
            if node.name == first:
                node.attribute[0].i = TensorProto.FLOAT16
            self._feed(node)
            self._nodes.append(node)
            if node.name in self._halved:
                self._is_half |= {name for name in node.output if self._types.get(name) == TensorProto.FLOAT}
        outputs = self._is_half & {port.name for port in self._graph.output}
        if outputs:
            raise ValueError(f"{', '.join(sorted(outputs))}: an output is the network's own, nothing decodes it")
        self._write()

    def _feed(self, node: NodeProto) -> None:
        half = node.name in self._halved
        for i, name in enumerate(node.input):
            wants_half = half and i not in SINGLE_INPUTS.get(node.op_type, ())
            if name in self._constants:
                node.input[i] = self._constant(name) if wants_half else name
            elif self._types.get(name) == TensorProto.FLOAT and (name in self._is_half) != wants_half:
                node.input[i] = self._crossing(name, TensorProto.FLOAT16 if wants_half else TensorProto.FLOAT)

    def _constant(self, name: str) -> str:
        tensor = self._constants[name]
        if tensor.data_type != TensorProto.FLOAT:
            return name
        half = f"{name}_half"
        self._halves[half] = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half)
        return half

    def _crossing(self, name: str, to: int) -> str:
        if (name, to) not in self._cast:
            result = f"{name}_{'half' if to == TensorProto.FLOAT16 else 'single'}"
            self._nodes.append(helper.make_node("Cast", [name], [result], name=result, to=to))
            self._cast[name, to] = result
        return self._cast[name, to]

    def _write(self) -> None:
        used = {name for node in self._nodes for name in node.input}
        kept = [tensor for tensor in (*self._constants.values(), *self._halves.values()) if tensor.name in used]
        del self._graph.node[:], self._graph.initializer[:], self._graph.value_info[:]
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend(kept)


def rehearse(half: ModelProto) -> ModelProto:
    """The half graph in single precision, every value of it rounded to the 11 bits of a half after each node.

    A board rounds less often, where it fuses nodes. Values over 65504 are not made infinite; ours stay under 300.
    """
    model = ModelProto()
    model.CopyFrom(half)
    types = tensor_types(half)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Cast" and cast_target(node) == TensorProto.FLOAT16:
            node.attribute[0].i = TensorProto.FLOAT
        for i, name in enumerate(node.output):
            if types.get(name) == TensorProto.FLOAT16:
                node.output[i] = f"{name}_exact"
                nodes += _rounding(f"{name}_exact", name)
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(_SPLITTER), "half_splitter"))
    onnx.checker.check_model(model, full_check=True)
    return model


def _rounding(exact: str, rounded: str) -> list[NodeProto]:
    """Dekker's split: with c = 8193 x, c - (c - x) are the upper bits of x."""
    big, low = f"{rounded}_big", f"{rounded}_low"
    return [
        helper.make_node("Mul", [exact, "half_splitter"], [big], name=big),
        helper.make_node("Sub", [big, exact], [low], name=low),
        helper.make_node("Sub", [big, low], [rounded], name=f"{rounded}_rounded"),
    ]


def as_half(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `rehearse` makes of values, in NumPy."""
    big = np.float32(_SPLITTER) * values
    return np.asarray(big - (big - values), np.float32)
