"""TensorRT's builder, versions 8.6 to 11: an ONNX graph in, a serialised plan out.

What a version can do is asked of its module, not of its number. Nothing here was run on a real TensorRT yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge_alpr.errors import BuildError, GpuError
from edge_alpr.infer.buildlog import Step, build_failed, open_log, parse_failed, watch
from edge_alpr.infer.graphs import Settings
from edge_alpr.infer.identity import Typing
from edge_alpr.infer.trtengine import load_tensorrt

_MOVES_DATA = {
    "CONSTANT", "SHAPE", "IDENTITY", "CAST", "SHUFFLE", "SLICE", "GATHER", "CONCATENATION", "SELECT", "RESIZE",
}  # fmt: skip
"""Layers whose type follows their input; to hold them changes nothing and earns warnings."""


@dataclass(frozen=True, slots=True)
class Built:
    """`timing` is the cache of kernel timings, to be given to the next build."""

    plan: bytes
    timing: bytes
    seconds: float


def load_builder() -> Any:
    """TensorRT's Python module. Raises `BuildError` where it is not installed or its libraries are missing."""
    try:
        return load_tensorrt()
    except GpuError as error:
        raise BuildError(f"no plan can be built here: {error}") from error


def typing_of(trt: Any, settings: Settings) -> Typing:
    """Types of the graph where the version and the device can; the DLA took such graphs only when all were (11.4)."""
    if not hasattr(trt.BuilderFlag, "FP16"):
        return "strong"
    has = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    return "strong" if has and settings.dla_core is None else "flags"


def build_plan(trt: Any, model: bytes, settings: Settings, timing: bytes = b"", step: Step | None = None) -> Built:
    """Build one plan. It takes minutes on a board.

    Raises `BuildError` with node and operator where the graph cannot be parsed, and `BuildMemoryError`.
    """
    began, log = time.monotonic(), open_log(trt)
    try:
        builder = trt.Builder(log)
        network = builder.create_network(_network_flags(trt, settings))
        _parse(trt, network, model, log)
        _check_quantised(trt, network, settings)
        config = builder.create_builder_config()
        _limit(trt, builder, config, settings)
        _set_types(trt, network, config, settings)
        _add_profiles(builder, network, config, settings)
        _share_profiles(trt, config)
        cache = _use_timing(config, timing)
        monitor = watch(trt, config, step)
        plan = builder.build_serialized_network(network, config)
        if monitor is not None and monitor.stopped:
            raise KeyboardInterrupt
        if plan is None:
            raise build_failed("TensorRT built nothing", log)
        return Built(bytes(plan), bytes(cache.serialize()), time.monotonic() - began)
    except (RuntimeError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise build_failed(f"TensorRT refuses: {type(error).__name__} {error}", log, error) from error


def _network_flags(trt: Any, settings: Settings) -> int:
    """8.6 must be told of the explicit batch, 11 no longer knows the word; 11 needs no word for strong types."""
    names = ["EXPLICIT_BATCH"]
    if typing_of(trt, settings) == "strong":
        names.append("STRONGLY_TYPED")
    flags = trt.NetworkDefinitionCreationFlag
    return sum(1 << int(getattr(flags, name)) for name in names if hasattr(flags, name))


def _parse(trt: Any, network: Any, model: bytes, log: Any) -> None:
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        raise parse_failed(parser, log)


def _layers(network: Any) -> Iterator[Any]:
    return (network.get_layer(i) for i in range(network.num_layers))


def _check_quantised(trt: Any, network: Any, settings: Settings) -> None:
    """INT8 comes from Q/DQ nodes alone: there is no calibration on the device."""
    quantised = any(layer.type == trt.LayerType.QUANTIZE for layer in _layers(network))
    if quantised != (settings.precision == "int8"):
        has = f"has {'' if quantised else 'no '}Q/DQ nodes, its card says {settings.precision}"
        raise BuildError(f"the graph {has}; export it again: python -m export.variants")


def _limit(trt: Any, builder: Any, config: Any, settings: Settings) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mb << 20)
    config.builder_optimization_level = settings.optimization_level
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)  # grey levels need more than its 10 bits
    if settings.dla_core is None:
        return
    if builder.num_DLA_cores <= settings.dla_core:
        raise BuildError(
            f"TensorRT finds {builder.num_DLA_cores} DLA cores here, the recipe wants core {settings.dla_core}; "
            "take dla_core out of the recipe"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = settings.dla_core
    if settings.dla_fallback:
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _set_types(trt: Any, network: Any, config: Any, settings: Settings) -> None:
    """Where types do not come from the graph: allow what it uses, and hold what it has in single precision there."""
    halves = any(network.get_output(i).dtype == trt.float16 for i in range(network.num_outputs))
    if typing_of(trt, settings) == "strong" or not (halves or settings.precision != "fp32"):
        return
    if settings.precision == "int8":
        config.set_flag(trt.BuilderFlag.INT8)  # what is not quantised runs in single, as in typed graphs
        if halves:
            config.set_flag(trt.BuilderFlag.FP16)  # but for what leaves in halves
        return
    config.set_flag(trt.BuilderFlag.FP16)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for layer in _layers(network):
        outputs = [layer.get_output(i).dtype for i in range(layer.num_outputs)]
        if layer.type.name not in _MOVES_DATA and outputs and all(dtype == trt.float32 for dtype in outputs):
            layer.precision = trt.float32
            for i in range(layer.num_outputs):
                layer.set_output_type(i, trt.float32)


def _add_profiles(builder: Any, network: Any, config: Any, settings: Settings) -> None:
    """One profile for each number of plates, of that size only: its kernels are chosen for it."""
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    dynamic = [(tensor.name, tuple(tensor.shape)) for tensor in inputs if -1 in tuple(tensor.shape)]
    if bool(dynamic) != bool(settings.profiles):
        raise BuildError(
            f"inputs of any size: {[name for name, _ in dynamic]}, profiles in the recipe: {list(settings.profiles)}; "
            "export the graph again: python -m export.variants"
        )
    for count in settings.profiles:
        profile = builder.create_optimization_profile()
        for name, shape in dynamic:
            size = tuple(count if side == -1 else side for side in shape)
            profile.set_shape(name, size, size, size)
        if config.add_optimization_profile(profile) < 0:
            raise BuildError(f"TensorRT refuses the profile for {count} plates; change [reader] profiles of the recipe")


def _share_profiles(trt: Any, config: Any) -> None:
    """8.6 must be told that two contexts may have one profile, as when two frames are read at once; later ones know."""
    sharing = getattr(getattr(trt, "PreviewFeature", None), "PROFILE_SHARING_0806", None)
    if sharing is not None and not config.get_preview_feature(sharing):
        config.set_preview_feature(sharing, True)


def _use_timing(config: Any, timing: bytes) -> Any:
    """The cache of an earlier build where it still fits, else an empty one: it only saves time."""
    try:
        cache = config.create_timing_cache(timing)
    except (RuntimeError, TypeError, ValueError):
        cache = None
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache
