"""A trained module as a checked, simplified ONNX file."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import onnx
import onnxruntime as ort
import onnxslim
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from export.nodes import LARGE, store_halves

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
    store_halves(slim.graph)
    onnx.checker.check_model(slim, full_check=True)
    onnx.save(slim, str(path))


@torch.no_grad()
def as_shipped(module: nn.Module) -> nn.Module:
    """A copy with batch norms folded and large weights rounded to 16 bits: what the graph holds, in PyTorch."""
    module = copy.deepcopy(module).eval()
    for part in list(module.modules()):
        if isinstance(part, nn.Sequential):
            for first, second in pairwise(range(len(part))):
                if isinstance(part[first], nn.Conv2d) and isinstance(part[second], nn.BatchNorm2d):
                    part[first] = fuse_conv_bn_eval(part[first], part[second])
                    part[second] = nn.Identity()
    for weights in module.parameters():
        if weights.numel() >= LARGE:
            weights.copy_(weights.half().float())
    return module


def one_core(path: Path) -> ort.InferenceSession:
    """The exported file on one core."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
