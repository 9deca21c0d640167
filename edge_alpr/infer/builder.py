"""TensorRT's builder, versions 8.6 to 11: an ONNX graph in, a serialised plan out.

What a version can do is asked of its module, not of its number. Nothing here was run on a real TensorRT yet.
"""

from __future__ import annotations

import importlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from edge_alpr.errors import BuildError, BuildMemoryError
from edge_alpr.infer.graphs import Settings
from edge_alpr.infer.identity import Typing

Step: TypeAlias = Callable[[str, str, int, int], None]
"""Told of progress: phase, the phase it is part of (or ``), steps done, steps in all."""
_KEPT_LINES = 64
_MEMORY = re.compile(r"out of memory|outofmemory|insufficient memory|memory allocation|not enough memory", re.IGNORECASE)
_DOING = re.compile(r"While parsing node number \d+ \[.*?\]")
_MOVES_DATA = {"CONSTANT", "SHAPE", "IDENTITY", "CAST", "SHUFFLE", "SLICE", "GATHER", "CONCATENATION", "SELECT", "RESIZE"}
"""Layers whose type follows their input; to hold them changes nothing and earns warnings."""


@dataclass(frozen=True, slots=True)
class Built:
    """`timing` is the cache of kernel timings, to be given to the next build."""

    plan: bytes
    timing: bytes
    seconds: float


def load_tensorrt() -> Any:
    """TensorRT's Python module. Raises `BuildError` where it is not installed or its libraries are missing."""
    try:
        return importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise BuildError(
            "TensorRT's Python module is not installed here, so no plan can be built; on a Jetson: "
            f"sudo apt install python3-libnvinfer, and a venv with --system-site-packages ({error})"
        ) from error


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
    began, log = time.monotonic(), _log(trt)
    try:
        builder = trt.Builder(log)
        network = builder.create_network(_network_flags(trt, settings))
        _parse(trt, network, model, log)
        _check_quantised(trt, network, settings)
        config = builder.create_builder_config()
        _limit(trt, builder, config, settings)
        _set_types(trt, network, config, settings)
        _add_profiles(builder, network, config, settings)
        cache = _use_timing(config, timing)
        monitor = _watch(trt, config, step)
        plan = builder.build_serialized_network(network, config)
        if monitor is not None and monitor.stopped:
            raise KeyboardInterrupt
        if plan is None:
            raise _failed("TensorRT built nothing", log)
        return Built(bytes(plan), bytes(cache.serialize()), time.monotonic() - began)
    except (RuntimeError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise _failed(f"TensorRT refuses: {type(error).__name__} {error}", log, error) from error


def _log(trt: Any) -> Any:
    """A logger that keeps the latest warnings and errors: they say why when a call only says no."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=_KEPT_LINES)
            self.lines: deque[str] = deque(maxlen=_KEPT_LINES)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.WARNING, trt.ILogger.Severity.INTERNAL_ERROR):
                self.lines.append(message)

    return Log()


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
        reasons = [_parse_error(parser.get_error(i)) for i in range(parser.num_errors)]
        # 8.6 tells name and operator only in its log.
        doing = [found[0] for line in log.errors if (found := _DOING.search(line))]
        raise BuildError("TensorRT cannot parse the graph: " + "; ".join([*reasons, *doing[-1:]] or ["no reason given"]))


def _parse_error(error: Any) -> str:
    where = f"node {error.node()}"
    if hasattr(error, "node_operator"):
        where += f" {error.node_name()} ({error.node_operator()})"
    return f"{where}: {error.desc()}"


def _layers(network: Any) -> Iterator[Any]:
    return (network.get_layer(i) for i in range(network.num_layers))


def _check_quantised(trt: Any, network: Any, settings: Settings) -> None:
    """INT8 comes from Q/DQ nodes alone: there is no calibration on the device."""
    quantised = any(layer.type == trt.LayerType.QUANTIZE for layer in _layers(network))
    if quantised != (settings.precision == "int8"):
        has = "has Q/DQ nodes" if quantised else "has no Q/DQ nodes"
        raise BuildError(f"the graph {has}, its card says {settings.precision}; export it again: python -m export.variants")


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
    if typing_of(trt, settings) == "strong" or settings.precision == "fp32":
        return
    config.set_flag(trt.BuilderFlag.FP16)
    if settings.precision == "int8":
        config.set_flag(trt.BuilderFlag.INT8)
        return  # what is not quantised may run in half
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


def _watch(trt: Any, config: Any, step: Step | None) -> Any:
    """Tell of progress where the version does; None where it does not (8.6). Ctrl-C stops the build."""
    if step is None or not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped = False
            self._phases: dict[str, tuple[str, int]] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._phases[phase_name] = parent_phase or "", num_steps
            self._tell(phase_name, 0)

        def phase_finish(self, phase_name: str) -> None:
            self._tell(phase_name, self._phases.get(phase_name, ("", 0))[1])
            self._phases.pop(phase_name, None)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(phase_name, step + 1)
            return not self.stopped

        def _tell(self, phase: str, done: int) -> None:
            parent, steps = self._phases.get(phase, ("", 0))
            try:
                step(phase, parent, done, steps)
            except KeyboardInterrupt:  # no exception may pass through TensorRT
                self.stopped = True

    config.progress_monitor = monitor = Monitor()
    return monitor


def _failed(what: str, log: Any, error: BaseException | None = None) -> BuildError:
    said = log.errors[-1] if log.errors else log.lines[-1] if log.lines else "no reason given"
    reason = " ".join(f"{what}: {said}".split())[:400]
    if isinstance(error, MemoryError) or any(map(_MEMORY.search, [what, *log.lines])):
        return BuildMemoryError(
            f"the memory ran out while building ({reason}); close other programs, the desktop first, "
            "or set a smaller workspace_mb in the recipe, then build again"
        )
    return BuildError(f"{reason}; see edge-alpr doctor")
