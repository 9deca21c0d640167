"""A plan as TensorRT loads it, and execution contexts of it. The calls have the same names from TensorRT 8.6 to 11."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

import numpy as np

from edge_alpr.errors import GpuError, ModelError
from edge_alpr.infer.contract import Port
from edge_alpr.infer.cuda import Event, Gpu, Stream

_ERROR = 1
_ONE_FREE = "only the number of plates may be free: export it again"


def load_tensorrt() -> Any:
    """TensorRT's Python module. Raises `GpuError` where it is not installed."""
    try:
        return importlib.import_module("tensorrt")
    except Exception as error:  # a half-installed one fails in many ways
        raise GpuError(
            f"TensorRT's Python module cannot be loaded: {error}; on a Jetson: sudo apt install python3-libnvinfer, "
            "and make the virtual environment with --system-site-packages"
        ) from error


class Engine:
    """A plan that TensorRT has taken. `batches` are the plates a run of each profile; (0,) where nothing is free."""

    def __init__(self, gpu: Gpu, plan: bytes, where: str) -> None:
        """`where` names the plan in errors. Raises `ModelError` for a plan that TensorRT refuses, and `GpuError`."""
        self.gpu, self.where = gpu, where
        self._trt = load_tensorrt()
        self.version = str(self._trt.__version__)
        self._log = _log(self._trt)
        gpu.use()
        try:
            self._runtime = self._trt.Runtime(self._log)
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                reason = self._log.latest or "no reason given"
                refused = f"{where}: TensorRT {self.version} refuses the plan: {reason}"
                raise ModelError(f"{refused}; build it: edge-alpr build")
            self.inputs, self.outputs = self._ports()
            profiles = range(self._engine.num_optimization_profiles)
            self.batches = tuple(self._batch(profile) for profile in profiles)
        except ModelError:
            raise
        except Exception as error:
            reason = f"TensorRT {self.version} fails to load it: {error}"
            raise GpuError(f"{where}: {reason}; build it: edge-alpr build") from error

    def shape(self, port: Port, profile: int) -> tuple[int, ...]:
        """The shape of an input or output in a profile: what is free is its number of plates."""
        return tuple(size or self.batches[profile] for size in port.shape)

    def context(self, profile: int, stream: Stream) -> Context:
        """A new execution context, its profile and shapes set. Raises `GpuError`, mostly for want of memory."""
        self.gpu.use()
        context = Context(self._engine, self._log, self.where)
        if any(self.batches):  # also where there is but one: only the first context has it by itself
            context.ask("set_optimization_profile_async", profile, stream.handle)
            stream.wait()
        for port in self.inputs:
            if 0 in port.shape:
                context.ask("set_input_shape", port.name, self.shape(port, profile))
        for port in self.outputs:
            found = tuple(context.ask("get_tensor_shape", port.name))
            if found != self.shape(port, profile):
                plates = self.batches[profile]
                raise ModelError(f"{self.where}: '{port.name}' is {list(found)} for {plates} plates; {_ONE_FREE}")
        return context

    def close(self) -> None:
        """Let TensorRT have it back; its contexts are gone by then."""
        with suppress(GpuError):  # TensorRT frees what it can of a GPU that is lost
            self.gpu.use()
        self._engine = self._runtime = None

    def _ports(self) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
        engine, sides = self._engine, ([], [])  # type: tuple[Any, tuple[list[Port], list[Port]]]
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            shape = tuple(max(0, size) for size in engine.get_tensor_shape(name))
            if 0 in shape[1:]:
                raise ModelError(f"{self.where}: '{name}' is {list(shape)}; {_ONE_FREE}")
            dtype = np.dtype(self._trt.nptype(engine.get_tensor_dtype(name))).name
            is_output = engine.get_tensor_mode(name) == self._trt.TensorIOMode.OUTPUT
            sides[is_output].append(Port(name, dtype, shape))
        return tuple(sides[0]), tuple(sides[1])

    def _batch(self, profile: int) -> int:
        """The most plates that a profile takes: a run always has so many, so that a graph can be captured for it."""
        for port in self.inputs:
            if 0 in port.shape:
                return int(self._engine.get_tensor_profile_shape(port.name, profile)[2][0])
        return 0


class Context:
    """An execution context. It serves one thread and one stream; drop it when its stream has come to rest."""

    def __init__(self, engine: Any, log: Any, where: str) -> None:
        self._context, self._log, self._where = engine, log, where
        self._context = self.ask("create_execution_context")

    def ask(self, call: str, *values: Any) -> Any:
        """Call TensorRT. Raises `GpuError` for what it refuses, with the last error it wrote."""
        try:
            answer = getattr(self._context, call)(*values)
        except Exception as error:
            raise GpuError(f"{self._where}: TensorRT {call}: {error}; see: edge-alpr doctor") from error
        if answer is False or answer is None:
            reason = self._log.latest or "no reason given"
            raise GpuError(f"{self._where}: TensorRT {call} failed: {reason}; see: edge-alpr doctor")
        return answer

    def close(self) -> None:
        """Let TensorRT have it back."""
        self._context = None

    def bind(self, name: str, address: int) -> None:
        """Let an input or output lie there from now on."""
        self.ask("set_tensor_address", name, address)

    def tell(self, event: Event | None) -> None:
        """Record that event when the inputs have been read; None: none."""
        self.ask("set_input_consumed_event", event.handle if event else 0)

    def enqueue(self, stream: Stream) -> None:
        """Put a run on the stream."""
        self.ask("execute_async_v3", stream.handle)


def _log(trt: Any) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]  # TensorRT asks for a class of its own
        """Keeps TensorRT's latest error for our own."""

        def __init__(self) -> None:
            super().__init__()
            self.latest = ""

        def log(self, severity: Any, text: str) -> None:
            if int(severity) <= _ERROR:
                self.latest = " ".join(text.split())[:300]

    return Log()
