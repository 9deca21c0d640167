"""A stand-in for TensorRT's Python module: a plan is an ONNX file, computed in the stand-in driver's memory.

It has the calls that edge-alpr uses and is as strict as the real one where the real one crashes: addresses must be
set, aligned and big enough, shapes within the profile, a context current, and the first run after a change not
captured. Work goes on the stream like a kernel: it runs when the stream does, with the addresses of its enqueueing.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import weakref
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from typing import Any

import numpy as np
import onnxruntime as ort

__version__ = "10.3.0"
MAGIC = b"stand-in plan 1\n"
ALIGNMENT = 256


class DataType(IntEnum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8 = range(6)


class TensorIOMode(IntEnum):
    NONE, INPUT, OUTPUT = range(3)


_TYPES = {DataType.FLOAT: np.float32, DataType.HALF: np.float16, DataType.UINT8: np.uint8, DataType.INT32: np.int32}
_ONNX = {"tensor(float)": DataType.FLOAT, "tensor(float16)": DataType.HALF, "tensor(uint8)": DataType.UINT8}


def nptype(dtype: DataType) -> type:
    return _TYPES[dtype]


class ILogger:
    def __init__(self) -> None:
        self.ready = True  # a subclass that forgets super().__init__() crashes the real one

    def log(self, severity: int, text: str) -> None:
        raise NotImplementedError


@dataclass
class Fault:
    """The `nth` call of `call` from now on raises, or answers as TensorRT does when it fails (False or None)."""

    call: str
    nth: int
    answer: bool | type[Exception] | None


class World:
    """What tests see and set: the driver, how often each call was made, what is alive, and one fault."""

    def __init__(self) -> None:
        self.driver: ctypes.CDLL | None = None
        self.calls: Counter[str] = Counter()
        self.alive: Counter[str] = Counter()
        self.fault: Fault | None = None
        self.capturable = True
        self.jobs: dict[int, Job] = {}
        self.numbers = count(1)

    def lib(self) -> ctypes.CDLL:
        assert self.driver, "attach the stand-in driver first"
        return self.driver

    def called(self, call: str) -> tuple[bool, Any]:
        """Count a call; (True, answer) where it shall fail. Raises where the fault says so."""
        self.calls[call] += 1
        fault = self.fault
        if fault is None or fault.call != call:
            return False, None
        fault.nth -= 1
        if fault.nth:
            return False, None
        self.fault = None
        if isinstance(fault.answer, type):
            raise fault.answer(f"{call}: made to fail")
        return True, fault.answer

    def complain(self, text: str) -> None:
        self.lib().standin_complain(text.encode())

    def context_is_current(self) -> bool:
        handle = ctypes.c_uint64()
        self.lib().cuCtxGetCurrent(ctypes.byref(handle))
        return bool(handle.value)


world = World()
_WORK = ctypes.CFUNCTYPE(None, ctypes.c_uint64)


def plan_of(onnx: bytes, profiles: tuple[tuple[int, int, int], ...] = ()) -> bytes:
    """A plan: what `profiles` says of the first free dimension is (least, best, most)."""
    body = json.dumps({"profiles": profiles}).encode() + b"\n" + onnx
    return MAGIC + hashlib.sha256(body).digest() + body


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        world.called("Runtime")
        assert logger.ready
        if not world.context_is_current():
            world.complain("TensorRT starts with no context current")
        self.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        failed, answer = world.called("deserialize_cuda_engine")
        if failed:
            self.logger.log(1, "[standin.cpp] made to fail")
            return answer
        digest, body = plan[len(MAGIC) : len(MAGIC) + 32], plan[len(MAGIC) + 32 :]
        if not plan.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
            self.logger.log(1, "[standin.cpp] Serialization assertion magicTagRead == kMAGIC_TAG failed.\n  Magic tag")
            return None
        head, _, onnx = body.partition(b"\n")
        return Engine(self.logger, onnx, [tuple(p) for p in json.loads(head)["profiles"]])


class Engine:
    def __init__(self, logger: ILogger, onnx: bytes, profiles: list[tuple[int, ...]]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.logger = logger
        self.session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self.inputs, self.outputs = self.session.get_inputs(), self.session.get_outputs()
        self.ports = {port.name: port for port in (*self.inputs, *self.outputs)}
        self.profiles = profiles
        self.contexts: weakref.WeakSet[Context] = weakref.WeakSet()
        world.alive["engine"] += 1

    def __del__(self) -> None:
        world.alive["engine"] -= 1

    @property
    def num_io_tensors(self) -> int:
        return len(self.ports)

    @property
    def num_optimization_profiles(self) -> int:
        return max(1, len(self.profiles))

    def get_tensor_name(self, index: int) -> str:
        return list(self.ports)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in {port.name for port in self.inputs} else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return _ONNX[self.ports[name].type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(size if isinstance(size, int) else -1 for size in self.ports[name].shape)

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        least_best_most = self.profiles[profile] if self.profiles else (1, 1, 1)
        return [tuple(n if size == -1 else size for size in self.get_tensor_shape(name)) for n in least_best_most]

    def create_execution_context(self) -> Context | None:
        failed, answer = world.called("create_execution_context")
        if failed:
            self.logger.log(1, "[standin.cpp] out of memory")
            return answer
        if not world.context_is_current():
            world.complain("an execution context is made with no context current")
        return Context(self)


class Job:
    """A run as it was enqueued: it keeps the addresses and shapes of that moment."""

    def __init__(self, context: Context) -> None:
        self.engine: Engine | None = context.engine
        self.addresses, self.shapes = dict(context.addresses), dict(context.shapes)
        self.inputs: dict[str, np.ndarray] = {}
        self.captured, self.broken = False, False

    def read(self) -> None:
        if self.engine is None:
            raise RuntimeError("a graph runs whose execution context is gone")
        for port in self.engine.inputs:
            self.inputs[port.name] = self._view(port.name).copy()

    def compute(self) -> None:
        names = [port.name for port in self.engine.outputs]
        for name, result in zip(names, self.engine.session.run(names, self.inputs), strict=True):
            self._view(name)[...] = result

    def _view(self, name: str) -> np.ndarray:
        dtype, shape = np.dtype(nptype(self.engine.get_tensor_dtype(name))), self.shapes[name]
        size = dtype.itemsize * int(np.prod(shape))
        host = world.lib().standin_host(self.addresses[name], size)
        if not host:
            raise RuntimeError(f"'{name}' lies in memory that is not there, or too small")
        raw = (ctypes.c_ubyte * size).from_address(host)
        return np.frombuffer(raw, dtype).reshape(shape)


@_WORK
def _read(number: int) -> None:
    _guarded(number, Job.read)


@_WORK
def _compute(number: int) -> None:
    _guarded(number, Job.compute)


def _guarded(number: int, step: Any) -> None:
    """An exception cannot pass through C: it becomes a complaint, which tests look for."""
    try:
        step(world.jobs[number])
        job = world.jobs[number]
        if (step is Job.compute or job.broken) and not job.captured:
            del world.jobs[number]
    except Exception as error:
        world.complain(f"TensorRT: {error!r}")


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        taken = any(context.profile == 0 for context in engine.contexts)
        self.profile: int | None = None if taken and engine.profiles else 0  # by itself only the first has one
        engine.contexts.add(self)
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.event = 0
        self.warm = False
        self.kept: list[int] = []
        for port in (*engine.inputs, *engine.outputs):
            shape = engine.get_tensor_shape(port.name)
            if -1 not in shape:
                self.shapes[port.name] = shape
        world.alive["context"] += 1

    def __del__(self) -> None:
        world.alive["context"] -= 1
        for number in self.kept:
            world.jobs[number].engine = None

    def _fail(self, text: str) -> bool:
        self.engine.logger.log(1, f"[standin.cpp] {text}")
        return False

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        failed, answer = world.called("set_optimization_profile_async")
        if failed:
            return bool(answer)
        if stream < 3:
            world.complain("a profile is set on the default stream")
        self.profile, self.warm = profile, False
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        failed, answer = world.called("set_input_shape")
        if failed:
            return bool(answer)
        if self.profile is None:
            return self._fail("no profile is set")
        least, _, most = self.engine.get_tensor_profile_shape(name, self.profile)
        if not all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True)):
            return self._fail(f"{name}: {shape} is not within {least} to {most}")
        self.shapes[name], self.warm = tuple(shape), False
        for port in self.engine.outputs:
            self.shapes[port.name] = tuple(shape[0] if s == -1 else s for s in self.engine.get_tensor_shape(port.name))
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...] | None:
        failed, answer = world.called("get_tensor_shape")
        return answer if failed else self.shapes.get(name, self.engine.get_tensor_shape(name))

    def set_tensor_address(self, name: str, address: int) -> bool:
        failed, answer = world.called("set_tensor_address")
        if failed:
            return bool(answer)
        if address % ALIGNMENT:
            world.complain(f"'{name}' is bound at {address:#x}, which is not aligned")
        self.addresses[name] = address
        return True

    def set_input_consumed_event(self, event: int) -> bool:
        failed, answer = world.called("set_input_consumed_event")
        if failed:
            return bool(answer)
        self.event = event
        return True

    def execute_async_v3(self, stream: int) -> bool:
        failed, answer = world.called("execute_async_v3")
        if failed:
            return self._fail("made to fail") if answer is False else bool(answer)
        lib, capturing = world.lib(), bool(world.lib().standin_capturing(stream))
        if missing := [port for port in self.engine.ports if port not in self.addresses or port not in self.shapes]:
            return self._fail(f"no address or shape for {missing}")
        if capturing and not (self.warm and world.capturable):
            return self._fail("it cannot be captured")
        number = next(world.numbers)
        job = world.jobs[number] = Job(self)
        if capturing:
            job.captured = True
            self.kept.append(number)
        status = lib.standin_work(stream, _read, number)
        if not status and self.event:
            status = lib.cuEventRecord(ctypes.c_uint64(self.event), ctypes.c_uint64(stream))
        status = status or lib.standin_work(stream, _compute, number)
        self.warm = True
        job.broken = bool(status)
        return not status or self._fail(f"Cuda Runtime ({status})")
