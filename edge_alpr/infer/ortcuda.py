"""ONNX Runtime on the GPU: the middle rung. The plane is bound where it lies; the rest ONNX Runtime copies itself.

What its list of providers says is not believed: a session that was asked for the GPU and runs on the processor is
refused, and each session is run once before it serves.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any, Literal, TypeAlias

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge_alpr.errors import GpuError
from edge_alpr.infer import contract
from edge_alpr.infer.cuda import DeviceMemory, Gpu, Stream
from edge_alpr.infer.onnx import port_of
from edge_alpr.infer.package import ModelPackage
from edge_alpr.infer.planes import EMPTY, GREY, LUMA, QUADS, check_package, check_plane, probe, rows_of
from edge_alpr.infer.trtengine import load_tensorrt
from edge_alpr.types import DevicePlane, Memory, Tensors

Provider: TypeAlias = Literal["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
RUNGS: Mapping[Provider, str] = {
    "TensorrtExecutionProvider": "onnxruntime-tensorrt",
    "CUDAExecutionProvider": "onnxruntime-cuda",
    "CPUExecutionProvider": "onnxruntime-cpu",
}
MOST_PLATES = 8
_FATAL = 4


class _Session:
    """What both kinds share; `run` may be called from several threads."""

    def __init__(self, package: ModelPackage, provider: Provider) -> None:
        self._where, self._names = str(package.path), list(package.card.output.names)
        self.identity = f"{RUNGS[provider]}:{package.card.sha256[:12]}"
        """Provider and the first twelve digits of the model's sha256."""
        self._session = _opened(package, provider)
        self._inputs = [port_of(node) for node in self._session.get_inputs()]
        self._outputs = [port_of(node) for node in self._session.get_outputs()]
        self.bytes_back = 0
        """Bytes of outputs so far."""

    def _go(self, binding: Any) -> Tensors:
        try:
            self._session.run_with_iobinding(binding)
            results = dict(zip(self._names, binding.copy_outputs_to_cpu(), strict=True))
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise _translated(self._where, "did not run", error) from error
        self.bytes_back += sum(array.nbytes for array in results.values())
        return results

    def _bound(self, feeds: Mapping[str, NDArray[Any]]) -> Any:
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in self._names:
            binding.bind_output(name)
        return binding


class HostSession(_Session):
    """A package fed with arrays of the host, as a `ports.Session` is."""

    def __init__(self, package: ModelPackage, provider: Provider = "CUDAExecutionProvider") -> None:
        """Raises `GpuError` where the provider does not run here, `ModelError` where the package is at fault."""
        super().__init__(package, provider)
        contract.check_graph(package, self._inputs, [port.name for port in self._outputs])
        contract.check_outputs(package, self.run(contract.probe_feeds(package.card)))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once. Raises `GpuError`, and `ModelError` for wrong feeds."""
        rows_of(feeds, self._inputs, self._where)
        return self._go(self._bound(feeds))


class PlaneSession(_Session):
    """A package whose input `luma` is a frame's Y plane where it lies, as a `ports.PlaneSession` is."""

    def __init__(self, package: ModelPackage, grey: int, provider: Provider = "CUDAExecutionProvider") -> None:
        """`grey` is the address of a plane to try it on. Raises as `HostSession` does."""
        super().__init__(package, provider)
        self._device = "cpu" if provider == "CPUExecutionProvider" else "cuda"
        self._luma = check_package(package, self._inputs, self._outputs)
        self._fed = [port for port in self._inputs if port.name != LUMA]
        rows, pitch = self._luma.shape[2:]
        plane = DevicePlane(grey, pitch, rows, pitch, Memory.CUDA)
        probe(package, self._luma, (1, MOST_PLATES), lambda extra: self.run(plane, extra))

    @property
    def most(self) -> int:
        """Plates that one run takes; 1 for a detector."""
        return MOST_PLATES if self._fed else 1

    def run(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = EMPTY) -> Tensors:
        """Run once. Raises `GpuError`, and `ModelError` for a wrong plane."""
        address = check_plane(plane, self._luma, self._where)
        rows_of(extra, self._fed, self._where)
        binding = self._bound(extra)
        binding.bind_input(LUMA, self._device, 0, np.uint8, self._luma.shape, address)
        return self._go(binding)

    def start(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = EMPTY) -> Done:
        """Run once: ONNX Runtime gives nothing back before it is done."""
        return Done(self.run(plane, extra))


class Done:
    """A run that is over when it begins."""

    def __init__(self, results: Tensors) -> None:
        self._results = results

    def consumed(self) -> None:
        """At once."""

    def result(self) -> Tensors:
        """The outputs."""
        return self._results


def open_planes(gpu: Gpu, package: ModelPackage, provider: Provider) -> PlaneSession:
    """A session for planes, tried on a grey one. Raises `GpuError`, and `ModelError` where the package is at fault."""
    with DeviceMemory(gpu, math.prod(package.card.input.shape)) as memory, Stream(gpu) as stream:
        stream.fill(memory, GREY)
        stream.wait()
        return PlaneSession(package, memory.handle, provider)


def _opened(package: ModelPackage, provider: Provider) -> Any:
    if provider not in ort.get_available_providers():
        way_out = "install onnxruntime-gpu in place of onnxruntime"
        raise GpuError(f"ONNX Runtime {ort.__version__} as installed here has no {provider}; {way_out}")
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    if provider != "CPUExecutionProvider":
        _find_libraries(provider)
    try:
        session = ort.InferenceSession(package.model, options, providers=providers(provider, package))
    except Exception as error:
        raise _translated(str(package.path), "cannot be opened", error) from error
    if session.get_providers()[:1] != [provider]:
        reason = f"ONNX Runtime {ort.__version__} was asked for {provider} and took {session.get_providers()[0]}"
        raise GpuError(f"{package.path}: {reason}; install the CUDA, cuDNN and TensorRT that it was built for")
    return session


def _find_libraries(provider: Provider) -> None:
    """CUDA, cuDNN and TensorRT of Python packages lie on no path of the linker: what is loaded already is found.

    What cannot be loaded is told when the session is opened.
    """
    preload = getattr(ort, "preload_dlls", None)  # from 1.21 on
    if preload is not None:
        with redirect_stdout(StringIO()):  # it prints what it does not find
            preload()
    if provider == "TensorrtExecutionProvider":
        with suppress(GpuError):
            load_tensorrt()


def providers(provider: Provider, package: ModelPackage) -> list[tuple[str, dict[str, str]]]:
    """The wanted one first. What TensorRT leaves out runs by CUDA: the processor would want a copy of the plane."""
    wanted: tuple[Provider, ...] = (provider,)
    if provider == "TensorrtExecutionProvider":
        wanted = (provider, "CUDAExecutionProvider")
    return [(one, provider_options(one, package)) for one in wanted]


def provider_options(provider: Provider, package: ModelPackage) -> dict[str, str]:
    """What ONNX Runtime is told: an engine for 1 to 8 plates, half precision where the package is, kept beside it."""
    if provider == "CPUExecutionProvider":
        return {}
    options = {"device_id": "0"}
    if provider == "TensorrtExecutionProvider":
        precision = str(package.card.data.get("variant", "")).partition(" ")[2]
        reads = package.card.reader is not None and package.card.input.name == LUMA
        # A network with Q/DQ nodes is refused without its flag, one that gives halves, as readers do, without theirs.
        options["trt_int8_enable"] = str(precision == "int8")
        options["trt_fp16_enable"] = str(precision == "fp16" or (precision == "int8" and reads))
        if reads:
            for bound, plates in (("min", 1), ("opt", MOST_PLATES // 2), ("max", MOST_PLATES)):
                options[f"trt_profile_{bound}_shapes"] = f"{QUADS}:{plates}x4x2"
        if os.access(package.path.parent, os.W_OK):
            options |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(package.path.parent)}
    return options


def _translated(where: str, what: str, error: Exception) -> GpuError:
    reason = " ".join(str(error).split())[:300]
    return GpuError(f"{where}: the model {what} on the GPU: {reason}; see: edge-alpr doctor")
