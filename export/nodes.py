"""Small means to read and to write ONNX graphs; they know nothing of plates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, shape_inference

Shape = tuple[int | str, ...]
LARGE = 256
"""Weights of so many numbers and more are kept in 16 bits."""


class Nodes:
    """Nodes and constants in the making. Names begin with `prefix`, so they meet nobody else's."""

    def __init__(self, prefix: str, dtype: int = TensorProto.FLOAT) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.dtype = dtype
        self._prefix = prefix

    def op(self, kind: str, *inputs: str, called: str = "", **attributes: Any) -> str:
        """Add a node with one output, `called` so where it is given; the name of that output."""
        return self.ops(kind, inputs, [called or self._name(kind)], **attributes)[0]

    def ops(self, kind: str, inputs: tuple[str, ...], outputs: list[str], **attributes: Any) -> list[str]:
        """Add a node with several outputs; their names."""
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=self._name(kind), **attributes))
        return outputs

    def split(self, source: str, count: int, axis: int) -> list[str]:
        """Cut an axis of length `count` into single ones."""
        names = [self._name("Split") + f"_{i}" for i in range(count)]
        return self.ops("Split", (source, self.whole([1] * count)), names, axis=axis)

    def rounded(self, source: str) -> str:
        """To whole numbers, halves up, as the CPU's bytes are."""
        return self.op("Floor", self.op("Add", source, self.number(0.5)))

    def number(self, value: ArrayLike) -> str:
        """A constant of the float type of this graph."""
        return self._constant(np.asarray(value, helper.tensor_dtype_to_np_dtype(self.dtype)))

    def whole(self, value: ArrayLike) -> str:
        """An int64 constant: shapes, axes, indices."""
        return self._constant(np.asarray(value, np.int64))

    def _constant(self, array: NDArray[Any]) -> str:
        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def _name(self, kind: str) -> str:
        return f"{self._prefix}/{kind}_{len(self.nodes)}_{len(self.constants)}"


def value(name: str, dtype: int, shape: Shape) -> ValueInfoProto:
    """An input or output of a graph; a dimension that is a text is free."""
    return helper.make_tensor_value_info(name, dtype, list(shape))


def entry(graph: GraphProto) -> NodeProto:
    """The Cast that the byte input of a shipped graph feeds. Raises `ValueError` where there is no such thing."""
    readers = [node for node in graph.node if graph.input[0].name in node.input]
    if len(readers) != 1 or readers[0].op_type != "Cast":
        raise ValueError(f"the input {graph.input[0].name} does not feed one Cast: this is not a graph of export/")
    return readers[0]


def cast_target(node: NodeProto) -> int:
    """The type that a Cast casts to."""
    return next(int(attribute.i) for attribute in node.attribute if attribute.name == "to")


def rename_output(graph: GraphProto, old: str, new: str) -> None:
    """Call a tensor otherwise in every node; the list of the graph's outputs is left to the caller."""
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def initializers(graph: GraphProto) -> dict[str, TensorProto]:
    """The constants of a graph by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def tensor_types(model: ModelProto) -> Mapping[str, int]:
    """The element type of every tensor that is not a constant."""
    graph = shape_inference.infer_shapes(model).graph
    return {v.name: v.type.tensor_type.elem_type for v in _values(graph)}


def _values(graph: GraphProto) -> Iterator[ValueInfoProto]:
    yield from graph.input
    yield from graph.value_info
    yield from graph.output


def ancestors(graph: GraphProto, ops: frozenset[str]) -> set[str]:
    """The names of all nodes of these kinds and of every node that they depend on."""
    makers = {output: node for node in graph.node for output in node.output}
    pending = [node for node in graph.node if node.op_type in ops]
    seen: dict[str, NodeProto] = {}
    while pending:
        node = pending.pop()
        if node.name not in seen:
            seen[node.name] = node
            pending += [makers[name] for name in node.input if name in makers]
    return set(seen)


def named(model: ModelProto) -> ModelProto:
    """A copy whose nodes all have names of their own."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for i, node in enumerate(copy.graph.node):
        node.name = f"{i}_{node.op_type}"
    return copy


def load_full(model: bytes) -> onnx.ModelProto:
    """A shipped graph (the file's bytes) with weights in 32 bits again, as tools that rewrite graphs want it."""
    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    halves = {w.name: w for w in graph.initializer if w.data_type == TensorProto.FLOAT16}
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in halves]:
        weights = numpy_helper.to_array(halves[node.input[0]]).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
        graph.initializer.remove(halves[node.input[0]])
        graph.node.remove(node)
    return loaded


def store_halves(graph: GraphProto) -> None:
    """Keep large weights in 16 bits, cast back where they are used: half the bytes; run-times fold the cast at load."""
    kept, casts = [], []
    for weights in graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.size >= LARGE and np.abs(values).max() < 6e4:
            half = weights.name + "_half"
            kept.append(numpy_helper.from_array(values.astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [weights.name], to=TensorProto.FLOAT))
        else:
            kept.append(weights)
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
