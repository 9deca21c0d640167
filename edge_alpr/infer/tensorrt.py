"""TensorRT: the rung for a Jetson. A plan's sessions for planes on the GPU, and for arrays of the host."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from edge_alpr.errors import GpuError, ModelError
from edge_alpr.infer import contract
from edge_alpr.infer.cuda import DeviceMemory, Gpu, Stream
from edge_alpr.infer.lane import Wiring
from edge_alpr.infer.package import ModelPackage
from edge_alpr.infer.planes import EMPTY, GREY, LUMA, check_package, check_plane, probe, rows_of
from edge_alpr.infer.runs import Lanes, Running
from edge_alpr.infer.trtengine import Engine
from edge_alpr.types import DevicePlane, Memory, Tensors


class _Session:
    """What all kinds share; `run` may be called from several threads. It is closed with its GPU at the latest."""

    def __init__(self, engine: Engine, identity: str, names: tuple[str, ...], pointed: tuple[str, ...] = ()) -> None:
        self._where, self._engine, self._names = engine.where, engine, names
        self._fed = [port for port in engine.inputs if port.name not in pointed]
        if missing := sorted(set(self._names) - {port.name for port in self._engine.outputs}):
            raise ModelError(f"{self._where}: the plan has no output {', '.join(missing)}; build it: edge-alpr build")
        self._lanes = Lanes(Wiring(engine, pointed, names))
        self._closer = weakref.finalize(self, _close, self._lanes, engine)
        engine.gpu.before_close(self._closer)
        self.identity = identity
        """Provider and the first twelve digits of the sha256 of the ONNX file that the plan comes from."""

    @property
    def version(self) -> str:
        """TensorRT's version."""
        return self._engine.version

    @property
    def bytes_back(self) -> int:
        """Bytes copied from the GPU so far."""
        return self._lanes.bytes_back

    @property
    def runs(self) -> int:
        """Runs so far."""
        return self._lanes.runs

    @property
    def launches(self) -> int:
        """Runs so far that were a captured graph."""
        return self._lanes.launches

    @property
    def no_graphs(self) -> str:
        """Why runs are not captured; empty where they are."""
        return self._lanes.no_graphs

    def close(self) -> None:
        """Give back its memory, once. Raises `GpuError`, having tried all; what is left goes back with the GPU."""
        self._closer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, addresses: tuple[int, ...], feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """More plates than the largest profile takes run in several goes."""
        rows, most = rows_of(feeds, self._fed, self._where), max(self._engine.batches)
        if not rows:
            return {p.name: np.zeros((0, *p.shape[1:]), p.dtype) for p in self._engine.outputs if p.name in self._names}
        if not most or rows <= most:
            return self._lanes.start(addresses, feeds, rows).result()
        parts = [
            self._run(addresses, {name: array[at : at + most] for name, array in feeds.items()})
            for at in range(0, rows, most)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(GpuError):  # the first error is told
                self.close()
            raise


class RawSession(_Session):
    """A plan by itself, fed with arrays of the host, planes too: for who compares it with its graph.

    `where` names it in errors. It gives all outputs.
    """

    def __init__(self, gpu: Gpu, plan: bytes, where: str) -> None:
        engine = Engine(gpu, plan, where)
        super().__init__(engine, f"tensorrt:{where}", tuple(port.name for port in engine.outputs))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once. Raises `GpuError` (`GpuLostError`: nothing will run here again), `ModelError` for wrong feeds."""
        return self._run((), feeds)


class HostSession(_Session):
    """A package's plan fed with arrays of the host, as a `ports.Session` is."""

    def __init__(self, gpu: Gpu, package: ModelPackage, plan: bytes) -> None:
        engine = Engine(gpu, plan, str(package.path))
        super().__init__(engine, _identity(package), package.card.output.names)
        with self._closed_on_error():
            contract.check_graph(package, engine.inputs, [port.name for port in engine.outputs])
            contract.check_outputs(package, self.run(contract.probe_feeds(package.card)))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Run once. Raises `GpuError` (`GpuLostError`: nothing will run here again), `ModelError` for wrong feeds."""
        return self._run((), feeds)


class PlaneSession(_Session):
    """A package's plan whose input `luma` is a frame's Y plane where it lies, as a `ports.PlaneSession` is."""

    def __init__(self, gpu: Gpu, package: ModelPackage, plan: bytes) -> None:
        engine = Engine(gpu, plan, str(package.path))
        super().__init__(engine, _identity(package), package.card.output.names, (LUMA,))
        with self._closed_on_error():
            self._luma = check_package(package, self._engine.inputs, self._engine.outputs)
            self._probe(gpu, package)

    @property
    def most(self) -> int:
        """Plates that the largest profile takes; 1 for a detector."""
        return max(*self._engine.batches, 1)

    def run(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = EMPTY) -> Tensors:
        """Run once. Raises `GpuError` (`GpuLostError`: nothing will run here again), `ModelError` for a wrong plane."""
        return self._run((check_plane(plane, self._luma, self._where),), extra)

    def start(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = EMPTY) -> Running:
        """Begin a run: the surface may go back after `consumed`, before the `result` is there. Raises as `run` does.

        At least one plate and at most as many as the largest profile takes.
        """
        address, rows = check_plane(plane, self._luma, self._where), rows_of(extra, self._fed, self._where)
        most = max(self._engine.batches)
        if most and not 0 < rows <= most:
            raise ModelError(f"{self._where}: {rows} plates in one run, it takes 1 to {most}; use run")
        return self._lanes.start((address,), extra, rows)

    def _probe(self, gpu: Gpu, package: ModelPackage) -> None:
        """What runs here is found by running it: every profile once, on a grey frame."""
        rows, pitch = self._luma.shape[2:]
        with DeviceMemory(gpu, rows * pitch) as memory, Stream(gpu) as stream:
            stream.fill(memory, GREY)
            stream.wait()
            plane = DevicePlane(memory.handle, pitch, rows, pitch, Memory.CUDA)
            plates = [batch or 1 for batch in self._engine.batches]
            probe(package, self._luma, plates, lambda extra: self.run(plane, extra))


def _close(lanes: Lanes, engine: Engine) -> None:
    try:
        lanes.close()
    finally:
        engine.close()


def _identity(package: ModelPackage) -> str:
    return f"tensorrt:{package.card.sha256[:12]}"
