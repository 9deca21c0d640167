"""What TensorRT's ONNX parser takes: a check of a graph that needs no TensorRT.

The list is of the kinds of nodes that our graphs may hold, each in the parser of TensorRT 8.6 and of 10.3 (JetPack
6.0 and 6.1), written from its documentation; a build on the board is the proof.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from export.nodes import initializers

MOST_OPSET = 17
"""What TensorRT 8.6 parses; 10.3 takes more."""
MOST_TOP_K = 3840
PARSED = frozenset({
    "Abs", "Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "DequantizeLinear", "Div", "Equal", "Exp",
    "Flatten", "Floor", "Gather", "GreaterOrEqual", "GridSample", "LayerNormalization", "Less", "LessOrEqual",
    "LogSoftmax", "MatMul", "Max", "MaxPool", "Min", "Mul", "Pad", "QuantizeLinear", "ReduceL2", "ReduceMax",
    "ReduceMean", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub",
    "TopK", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
TYPES = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8})


def problems(model: ModelProto) -> list[str]:
    """What TensorRT would refuse in a graph for the GPU, a line each; none is good."""
    return [*_opset(model), *_kinds(model), *_ports(model), *_top_k(model), *_quantised(model)]


def _opset(model: ModelProto) -> Iterator[str]:
    for entry in model.opset_import:
        if entry.domain not in ("", "ai.onnx"):
            yield f"operators of the domain {entry.domain}"
        elif entry.version > MOST_OPSET:
            yield f"opset {entry.version}, at most {MOST_OPSET} is parsed"


def _kinds(model: ModelProto) -> Iterator[str]:
    for kind in sorted({node.op_type for node in model.graph.node} - PARSED):
        yield f"{kind} is not in the list of what is parsed"


def _ports(model: ModelProto) -> Iterator[str]:
    graph = model.graph
    for port in (*graph.input, *graph.output):
        kind = port.type.tensor_type.elem_type
        if kind not in TYPES:
            yield f"{port.name} is {TensorProto.DataType.Name(kind)}: only float, half and bytes are bound"
    for port in graph.input:
        readers = {node.op_type for node in graph.node if port.name in node.input}
        if port.type.tensor_type.elem_type == TensorProto.UINT8 and readers != {"Cast"}:
            fed = ", ".join(sorted(readers)) or "nothing"
            yield f"{port.name} is bytes and feeds {fed}: a Cast must come first"
    casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    floats = {out for node in graph.node for out in node.output if node.op_type == "Cast" and _gives_floats(node)}
    for port in graph.output:
        if port.type.tensor_type.elem_type == TensorProto.UINT8 and casts.get(port.name) not in floats:
            yield f"{port.name} is bytes: they must come from a Cast of a Cast to floats"


def _gives_floats(cast: NodeProto) -> bool:
    return any(one.name == "to" and one.i in (TensorProto.FLOAT, TensorProto.FLOAT16) for one in cast.attribute)


def _top_k(model: ModelProto) -> Iterator[str]:
    constants = initializers(model.graph)
    for node in model.graph.node:
        if node.op_type == "TopK" and (
            node.input[1] not in constants or int(numpy_helper.to_array(constants[node.input[1]])[0]) > MOST_TOP_K
        ):
            yield f"{node.name}: K of TopK is a constant up to {MOST_TOP_K}"


def _quantised(model: ModelProto) -> Iterator[str]:
    """TensorRT takes signed bytes with zero points of 0 only, and no quantised biases."""
    constants = initializers(model.graph)
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None or zero.data_type != TensorProto.INT8:
            yield f"{node.name}: quantised to something else than signed bytes"
        elif np.any(numpy_helper.to_array(zero)):
            yield f"{node.name}: its zero point is not 0"
