"""What the networks cost by arithmetic alone: products, weights and activations of each shipped graph.

    pip install -e .[export]
    python docs/floor.py

From these, what a Jetson Orin Nano should take. PREDICTED, not measured: products at the rate that YOLOv8n at 640x640
(4.35 G products) is published to reach there in FP16 (7.3 ms), scaled with the GPU's clock, and never less than the
bytes over the memory's bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import onnx
from onnx import NodeProto, TensorProto, shape_inference

from edge_alpr.infer.package import list_packages, shipped_folder
from export.nodes import load_full

BYTES_HALF = 2
YOLO_PRODUCTS, YOLO_S = 4.35e9, 7.3e-3
CLOCKS = {"7 W": (0.408 / 0.625, 68e9), "15 W": (1.0, 68e9), "25 W": (0.918 / 0.625, 102e9)}
"""Of the Orin Nano's GPU against 15 W (625 MHz), and bytes a second of its memory."""


@dataclass(frozen=True)
class Cost:
    """Of one run (one crop): products (a multiplication and a sum), numbers in weights and in activations written."""

    products: int
    weights: int
    activations: int

    def seconds(self, clock: float, bandwidth: float) -> float:
        """Predicted in half precision; `clock` is the GPU's against the one of the published figure."""
        moved = BYTES_HALF * (self.weights + 2 * self.activations)
        return max(self.products / (YOLO_PRODUCTS / YOLO_S * clock), moved / bandwidth)


def cost(model: bytes) -> Cost:
    """Count a shipped graph."""
    graph = _inferred(load_full(model)).graph
    shapes = {value.name: _shape(value) for value in [*graph.input, *graph.value_info, *graph.output]}
    shapes |= {weights.name: list(weights.dims) for weights in graph.initializer}
    products = sum(_products(node, shapes) for node in graph.node)
    weights = sum(prod(w.dims) for w in graph.initializer if w.data_type == TensorProto.FLOAT)
    heavy = [node for node in graph.node if _products(node, shapes)]
    return Cost(products, weights, sum(prod(shapes[node.output[0]]) for node in heavy))


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """With all shapes, the batch being one."""
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    first.ClearField("dim_param")
    first.dim_value = 1
    return shape_inference.infer_shapes(model, data_prop=True)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [side.dim_value or 1 for side in value.type.tensor_type.shape.dim]


def _products(node: NodeProto, shapes: dict[str, list[int]]) -> int:
    if node.op_type == "Conv":
        return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
    if node.op_type in ("MatMul", "Gemm"):
        return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return 0


def main() -> None:
    """Print the table."""
    print("| network | products, M | weights, M | activations, M | " + " | ".join(f"{w}, ms" for w in CLOCKS) + " |")
    print("|---" * (4 + len(CLOCKS)) + "|")
    for listed in list_packages(shipped_folder()):
        if listed.package is None or listed.package.card.variant:
            continue
        own = cost(listed.package.model)
        times = " | ".join(f"{own.seconds(*board) * 1e3:.2f}" for board in CLOCKS.values())
        counts = f"{own.products / 1e6:.0f} | {own.weights / 1e6:.2f} | {own.activations / 1e6:.2f}"
        print(f"| {listed.package.card.name} | {counts} | {times} |")


if __name__ == "__main__":
    main()
