"""Stands in for TensorRT's builder as versions 8.6, 10.3 and 11 have it: what a version lacks is not there.

It refuses what the real one is documented to refuse, and "builds" by keeping the ONNX bytes. `faults` maps the name
of a call to what it does once instead: an exception that it raises, or the answer that it gives.
"""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import onnx
from onnx import TensorProto, shape_inference

HEADER = b"PLAN"
CACHE = b"TIMING"
_LAYERS = {
    "Conv": "CONVOLUTION", "Cast": "CAST", "QuantizeLinear": "QUANTIZE", "DequantizeLinear": "DEQUANTIZE",
    "Slice": "SLICE", "Softmax": "SOFTMAX", "Reshape": "SHUFFLE", "Gather": "GATHER", "GridSample": "GRID_SAMPLE",
}  # fmt: skip


def onnx_of(plan: bytes) -> bytes:
    """The ONNX bytes that a plan of the stand-in keeps."""
    assert plan.startswith(HEADER)
    return plan[len(HEADER) + 4 + int.from_bytes(plan[len(HEADER) : len(HEADER) + 4], "big") :]


def facts_of(plan: bytes) -> dict[str, Any]:
    """How a plan was built."""
    size = int.from_bytes(plan[len(HEADER) : len(HEADER) + 4], "big")
    return json.loads(plan[len(HEADER) + 4 : len(HEADER) + 4 + size])


class Standin:
    """The module. Only what its version has can be found on it."""

    def __init__(self, version: str, dla_cores: int = 0, unsupported: tuple[str, ...] = ()) -> None:
        major = int(version.partition(".")[0])
        self.__version__ = version
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, Any] = {}
        self.unsupported, self.dla_cores, self.major = unsupported, dla_cores, major
        self.phases = [("Building Engine", None, 2), ("Tactic Selection", "Building Engine", 3)]
        self.float32, self.float16 = "float32", "float16"
        network = ["EXPLICIT_BATCH"] if major < 11 else []
        network += ["STRONGLY_TYPED"] if major >= 10 else []
        self.NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", network, start=0)
        flags = ["TF32", "GPU_FALLBACK", "REFIT"]
        flags += ["FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"] if major < 11 else []
        self.BuilderFlag = enum.IntEnum("BuilderFlag", flags, start=0)
        self.MemoryPoolType = enum.IntEnum("MemoryPoolType", ["WORKSPACE"])
        self.DeviceType = enum.IntEnum("DeviceType", ["GPU", "DLA"])
        names = sorted({*_LAYERS.values(), "ELEMENTWISE"})
        self.LayerType = enum.IntEnum("LayerType", names)
        self.ILogger = _logger_class()
        self.PreviewFeature = enum.IntEnum("PreviewFeature", ["PROFILE_SHARING_0806"] if major < 11 else [], start=0)
        if major >= 10:
            self.IProgressMonitor = type("IProgressMonitor", (_Bound,), {})

    def call(self, name: str) -> Callable[[Any], Any]:
        """Count a call and perform its fault; gives what turns the usual answer into the one to give."""
        self.calls[name] += 1
        if name not in self.faults:
            return lambda usual: usual
        fault = self.faults.pop(name)
        if isinstance(fault, BaseException):
            raise fault
        return lambda usual: fault

    def Builder(self, logger: Any) -> Any:  # noqa: N802
        logger.check_bound()
        return self.call("Builder")(_Builder(self, logger))

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        logger.check_bound()
        return self.call("OnnxParser")(_Parser(self, network, logger))


class _Bound:
    """Like pybind11's classes: a subclass must call this `__init__` itself."""

    def __init__(self) -> None:
        self.bound = True

    def check_bound(self) -> None:
        if not getattr(self, "bound", False):
            raise TypeError("__init__() must be called when overriding __init__")


def _logger_class() -> type:
    severity = enum.IntEnum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"], start=0)
    return type("ILogger", (_Bound,), {"Severity": severity})


class _Layer:
    def __init__(self, trt: Standin, network: _Network, kind: str, name: str, dtypes: list[str]) -> None:
        self.type = trt.LayerType[_LAYERS.get(kind, "ELEMENTWISE")]
        self.name, self.num_outputs, self.held = name, len(dtypes), {}
        self._network, self._outputs = network, [SimpleNamespace(dtype=dtype) for dtype in dtypes]
        self._precision: str | None = None

    def get_output(self, i: int) -> Any:
        return self._outputs[i]

    @property
    def precision(self) -> str | None:
        return self._precision

    @precision.setter
    def precision(self, dtype: str) -> None:
        self._network.refuse_if_strong()
        self._precision = dtype

    def set_output_type(self, i: int, dtype: str) -> None:
        self._network.refuse_if_strong()
        self.held[i] = dtype


class _Network:
    def __init__(self, flags: int, trt: Standin) -> None:
        bits = {flag.name for flag in trt.NetworkDefinitionCreationFlag if flags >> flag & 1}
        if flags >> len(trt.NetworkDefinitionCreationFlag):
            raise ValueError(f"unknown flags {flags}")
        self.explicit = "EXPLICIT_BATCH" in bits or trt.major >= 10
        self.strong = "STRONGLY_TYPED" in bits or trt.major >= 11
        self.layers: list[_Layer] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.model = b""

    num_layers = property(lambda self: len(self.layers))
    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_layer(self, i: int) -> _Layer:
        return self.layers[i]

    def get_input(self, i: int) -> Any:
        return self.inputs[i]

    def get_output(self, i: int) -> Any:
        return self.outputs[i]

    def refuse_if_strong(self) -> None:
        if self.strong:
            raise RuntimeError("setting a precision is not allowed in a strongly typed network")


class _Parser:
    def __init__(self, trt: Standin, network: _Network, logger: Any) -> None:
        self._trt, self._network, self._logger = trt, network, logger
        self._errors: list[Any] = []

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, i: int) -> Any:
        return self._errors[i]

    def parse(self, model: bytes) -> bool:
        return self._trt.call("OnnxParser.parse")(self._parse(model))

    def _parse(self, model: bytes) -> bool:
        if not self._network.explicit:
            return self._refuse(-1, "", "", "This version of the ONNX parser only supports explicit batch networks")
        try:
            graph = shape_inference.infer_shapes(onnx.load_from_string(model)).graph
        except Exception:
            return self._refuse(-1, "", "", "Failed to parse ONNX model from bytes")
        kinds = {v.name: v.type.tensor_type.elem_type for v in [*graph.value_info, *graph.output]}
        for i, node in enumerate(graph.node):
            if node.op_type in self._trt.unsupported:
                return self._refuse(i, node.name, node.op_type, f"No importer registered for op: {node.op_type}")
            dtypes = [_dtype(kinds.get(name, TensorProto.FLOAT)) for name in node.output]
            self._network.layers.append(_Layer(self._trt, self._network, node.op_type, node.name, dtypes))
        self._network.outputs = [SimpleNamespace(dtype=_dtype(kinds[port.name])) for port in graph.output]
        for port in graph.input:
            shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in port.type.tensor_type.shape.dim)
            self._network.inputs.append(SimpleNamespace(name=port.name, shape=shape))
        self._network.model = model
        return True

    def _refuse(self, node: int, name: str, operator: str, why: str) -> bool:
        error = SimpleNamespace(node=lambda: node, desc=lambda: why, code=lambda: 8)
        if self._trt.major >= 10:
            error.node_name, error.node_operator = (lambda: name), (lambda: operator)
        else:
            text = f'ModelImporter.cpp:771: While parsing node number {node} [{operator} -> "{name}_out"]:'
            self._logger.log(self._logger.Severity.ERROR, text)
        self._errors.append(error)
        return False


class _Cache:
    def __init__(self, data: bytes) -> None:
        self.fits = not data or data.startswith(CACHE)
        self._data = data or CACHE

    def serialize(self) -> bytes:
        return self._data + b"."


class _Config:
    def __init__(self, trt: Standin) -> None:
        self._trt = trt
        self.flags = {"TF32"}
        self.preview = {"PROFILE_SHARING_0806"} if trt.major == 10 else set()
        self.profiles: list[_Profile] = []
        self.pools: dict[str, int] = {}
        self.builder_optimization_level, self.default_device_type, self.DLA_core = 3, trt.DeviceType.GPU, -1
        self.timing: bytes | None = None
        if trt.major >= 10:
            self.progress_monitor: Any = None

    def set_flag(self, flag: Any) -> None:
        self._trt.call("set_flag")
        self.flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag.name)

    def get_preview_feature(self, feature: Any) -> bool:
        return feature.name in self.preview

    def set_preview_feature(self, feature: Any, on: bool) -> None:
        self._trt.call("set_preview_feature")
        assert on
        self.preview.add(feature.name)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._trt.call("set_memory_pool_limit")
        self.pools[pool.name] = size

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return self._trt.call("add_optimization_profile")(len(self.profiles) - 1)

    def create_timing_cache(self, data: bytes) -> _Cache:
        return self._trt.call("create_timing_cache")(_Cache(data))

    def set_timing_cache(self, cache: _Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.fits:
            self.timing = cache._data
        return self._trt.call("set_timing_cache")(cache.fits)


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple] = {}

    def set_shape(self, name: str, least: tuple, best: tuple, most: tuple) -> None:
        self.shapes[name] = least, best, most


class _Builder:
    def __init__(self, trt: Standin, logger: Any) -> None:
        self._trt, self._logger, self.num_DLA_cores = trt, logger, trt.dla_cores

    def create_network(self, flags: int = 0) -> _Network:
        return self._trt.call("create_network")(_Network(flags, self._trt))

    def create_builder_config(self) -> _Config:
        return self._trt.call("create_builder_config")(_Config(self._trt))

    def create_optimization_profile(self) -> _Profile:
        return self._trt.call("create_optimization_profile")(_Profile())

    def build_serialized_network(self, network: _Network, config: _Config) -> Any:
        usual = self._build(network, config)
        return self._trt.call("build_serialized_network")(usual)

    def _build(self, network: _Network, config: _Config) -> memoryview | None:
        why = self._trouble(network, config)
        if why:
            self._logger.log(self._logger.Severity.ERROR, why)
            return None
        monitor = getattr(config, "progress_monitor", None)
        if monitor is not None and not _play(monitor, self._trt.phases):
            return None
        held = [layer for layer in network.layers if layer.precision]
        facts = {
            "flags": sorted(config.flags), "strong": network.strong, "pools": config.pools,
            "preview": sorted(config.preview),
            "held": len(held), "held_types": sorted({layer.type.name for layer in held}), "layers": network.num_layers,
            "level": config.builder_optimization_level, "timing": len(config.timing or b""),
            "device": config.default_device_type.name, "dla": config.DLA_core,
            "profiles": [{name: list(map(list, s)) for name, s in p.shapes.items()} for p in config.profiles],
        }  # fmt: skip
        header = json.dumps(facts).encode()
        return memoryview(HEADER + len(header).to_bytes(4, "big") + header + network.model)

    def _trouble(self, network: _Network, config: _Config) -> str:
        quantised = any(layer.type.name == "QUANTIZE" for layer in network.layers)
        typed = config.flags & {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"}
        halves = any(output.dtype == "float16" for output in network.outputs)
        if network.strong and typed:
            return f"strongly typed networks allow no {sorted(typed)}"
        if not network.strong and ((halves and "FP16" not in typed) or (quantised and "INT8" not in typed)):
            return "outputs in halves need the FP16 flag, Q/DQ nodes the INT8 flag"
        if not network.strong and not quantised and "INT8" in config.flags:
            return "Calibration failure: no calibrator and no Q/DQ nodes"
        if not config.profiles and any(-1 in port.shape for port in network.inputs):
            return "Network has dynamic or shape inputs, but no optimization profile has been defined"
        if config.default_device_type.name == "DLA" and network.strong and self._trt.major < 11:
            return "DLA takes no strongly typed network"
        return ""


def _play(monitor: Any, phases: list[tuple[str, str | None, int]]) -> bool:
    """Go through nested phases; False if it was told to stop."""
    monitor.check_bound()
    for name, parent, steps in phases:
        monitor.phase_start(name, parent, steps)
    going = True
    for name, _, steps in reversed(phases):
        going = going and all(monitor.step_complete(name, i) for i in range(steps))
        monitor.phase_finish(name)
    return going


def _dtype(kind: int) -> str:
    return {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16"}.get(kind, "other")
