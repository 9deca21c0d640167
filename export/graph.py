"""A trained module as a checked, simplified ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime as ort
import onnxslim
import torch
from torch import Tensor, nn

OPSET = 17
"""Parsed by TensorRT from 8.6 on."""


def to_onnx(module: nn.Module, blank: Tensor, path: Path, names: tuple[str, Sequence[str]], batched: bool) -> None:
    """Write the graph; `names` are its input and outputs, `batched` leaves their first axis free."""
    source, outputs = names
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {name: {0: "n"} for name in (source, *outputs)} if batched else None
    torch.onnx.export(
        module.eval(), (blank,), str(path), opset_version=OPSET, dynamo=False,
        input_names=[source], output_names=list(outputs), dynamic_axes=axes,
    )  # fmt: skip
    slim = onnxslim.slim(onnx.load(str(path)))
    onnx.checker.check_model(slim, full_check=True)
    onnx.save(slim, str(path))


def one_core(path: Path) -> ort.InferenceSession:
    """The exported file on one core."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
