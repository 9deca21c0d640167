"""What a TensorRT plan depends on. Two plans may stand for each other only if all of it is the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_alpr.infer.recipe import GraphPrecision

_KEY_DIGITS = 16
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Typing = Literal["strong", "flags"]


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it; text is empty where a device does not tell."""

    model: str
    """Name of the ONNX file without its ending."""
    onnx: Sha256
    precision: GraphPrecision
    inputs: tuple[str, ...]
    """Name, type and shape of each, e.g. `luma uint8 1x1x720x1536`: the pitch is the last number."""
    profiles: tuple[int, ...]
    """Plates a run; none for a detector."""
    tensorrt: str
    typing: Typing
    """`strong`: types as in the graph; `flags`: the builder's flags say which precisions it may use."""
    cuda: str
    driver: str
    gpu: str
    sm: str
    l4t: str
    optimization_level: int
    workspace_mb: int
    dla_core: int | None
    dla_fallback: bool
    compatibility: str
    """Hardware and version compatibility modes; always `none`, they cost speed."""
    plugins: tuple[Sha256, ...]

    @property
    def key(self) -> str:
        """sha256 of the identity as JSON with sorted keys."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    @property
    def file_name(self) -> str:
        """Of the plan: readable, and with the key's first digits."""
        readable = f"{self.model}-sm{self.sm.replace('.', '')}-trt{self.tensorrt}"
        return f"{re.sub('[^0-9A-Za-z._-]', '_', readable)}-{self.key[:_KEY_DIGITS]}.plan"


# The field, and how a difference is told: what the plan has, what is wanted here. The order is that of the telling.
_DIFFERENCES: Mapping[str, tuple[str, str]] = {
    "model": ("it is of the model {}", "{} is wanted"),
    "gpu": ("built on a {}", "this device has a {}"),
    "sm": ("built for compute capability {}", "this GPU has {}"),
    "tensorrt": ("built by TensorRT {}", "this device has {}"),
    "l4t": ("built under L4T {}", "this device runs {}"),
    "cuda": ("built with CUDA {}", "this device has {}"),
    "driver": ("built with driver {}", "this device has {}"),
    "onnx": ("its ONNX file has sha256 {:.12}…", "the one here has {:.12}…"),
    "precision": ("its precision is {}", "{} is wanted"),
    "inputs": ("its inputs are {}", "the frames here need {}"),
    "profiles": ("its profiles are {}", "{} are wanted"),
    "typing": ("its types come from {}", "here they come from {}"),
    "optimization_level": ("built at optimization level {}", "the recipe wants {}"),
    "workspace_mb": ("built with {} MB of workspace", "the recipe wants {}"),
    "dla_core": ("built for DLA core {}", "the recipe wants {}"),
    "dla_fallback": ("its fallback from the DLA is {}", "the recipe wants {}"),
    "compatibility": ("its compatibility mode is {}", "{} is wanted"),
    "plugins": ("its plugins are {}", "here are {}"),
}


def differences(plan: Identity, wanted: Identity) -> list[str]:
    """One phrase for each field that differs, the most telling first."""
    return [
        f"{of_plan.format(_said(getattr(plan, name)))}, {here.format(_said(getattr(wanted, name)))}"
        for name, (of_plan, here) in _DIFFERENCES.items()
        if getattr(plan, name) != getattr(wanted, name)
    ]


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return " + ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)
