"""Where an engine runs: a lane is a stream with an execution context for each profile, its buffers bound once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_alpr.errors import GpuError, GpuLostError
from edge_alpr.infer.contract import Port
from edge_alpr.infer.cuda import DeviceMemory, Event, Gpu, Graph, PinnedMemory, Stream
from edge_alpr.infer.trtengine import Engine
from edge_alpr.types import Tensors

MOST_GRAPHS = 32
"""Captured graphs kept for each profile: one for each buffer of a camera's pool. The least used goes first."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """An engine, its inputs that lie elsewhere from run to run, and the outputs that come back to the host."""

    engine: Engine
    pointed: tuple[str, ...]
    wanted: tuple[str, ...]


class Buffer:
    """An input or output on the GPU and its twin on the host, `array`."""

    def __init__(self, gpu: Gpu, port: Port, shape: tuple[int, ...], stack: ExitStack) -> None:
        dtype = np.dtype(port.dtype)
        self.size = dtype.itemsize * int(np.prod(shape))
        self.device = stack.enter_context(DeviceMemory(gpu, self.size))
        self.pinned = stack.enter_context(PinnedMemory(gpu, self.size))
        self.array = self.pinned.array(dtype, shape)


class Binding:
    """An execution context of one profile with its buffers; all of it goes back with its lane."""

    def __init__(self, wiring: Wiring, profile: int, lane: Lane) -> None:
        engine, gpu = wiring.engine, wiring.engine.gpu
        self._lane, self._pointed, self._batch = lane, wiring.pointed, engine.batches[profile]
        self._graphs: OrderedDict[tuple[int, ...], Graph | None] = OrderedDict()
        context = self._context = engine.context(profile, lane.stream)
        lane.stack.callback(self._close)

        def buffers(ports: Sequence[Port]) -> dict[str, Buffer]:
            made = {port.name: Buffer(gpu, port, engine.shape(port, profile), lane.stack) for port in ports}
            for name, buffer in made.items():
                context.bind(name, buffer.device.handle)
            return made

        self._inputs = buffers([port for port in engine.inputs if port.name not in wiring.pointed])
        outputs = buffers(engine.outputs)
        self._outputs = {name: outputs[name] for name in wiring.wanted}
        self._context.tell(lane.consumed)
        self.bytes_out = sum(buffer.size for buffer in self._outputs.values())

    def start(self, addresses: tuple[int, ...], feeds: Mapping[str, NDArray[Any]]) -> None:
        """Put a run on the stream; rows that `feeds` lacks repeat its last one. Feeds are copied before it returns."""
        for name, buffer in self._inputs.items():
            rows = len(feeds[name])
            buffer.array[:rows] = feeds[name]
            buffer.array[rows:] = feeds[name][-1]
        for name, address in zip(self._pointed, addresses, strict=True):
            self._context.bind(name, address)
        graph = self._graph(addresses)
        if graph:
            self._lane.stream.launch(graph)
            self._lane.stream.record(self._lane.consumed)  # what was captured records no event
            self._lane.launches += 1
        else:
            self._enqueue()
        self._lane.stream.record(self._lane.done)

    def results(self, rows: int) -> Tensors:
        """Copies of the outputs, once the run is done; of the first `rows` plates."""
        return {name: (b.array[:rows] if self._batch else b.array).copy() for name, b in self._outputs.items()}

    def _close(self) -> None:
        self._graphs.clear()  # they go back with their last reference
        self._context.close()

    def _enqueue(self) -> None:
        stream = self._lane.stream
        for buffer in self._inputs.values():
            stream.upload(buffer.device, buffer.pinned, buffer.size)
        self._context.enqueue(stream)
        for buffer in self._outputs.values():
            stream.download(buffer.pinned, buffer.device, buffer.size)

    def _graph(self, addresses: tuple[int, ...]) -> Graph | None:
        """The graph for these addresses: captured at the second run, for TensorRT wants one without before."""
        seen = addresses in self._graphs
        graph = self._graphs.pop(addresses, None)
        if seen and graph is None and not self._lane.no_graphs:
            graph = self._captured()
        self._graphs[addresses] = graph
        if len(self._graphs) > MOST_GRAPHS:
            _, oldest = self._graphs.popitem(last=False)
            if oldest:
                oldest.close()
        return graph

    def _captured(self) -> Graph | None:
        """What cannot be captured runs without, and the lane says why."""
        self._context.tell(None)
        try:
            return self._lane.stream.capture(self._enqueue)
        except GpuLostError:
            raise
        except GpuError as error:
            self._lane.no_graphs = str(error)
            return None
        finally:
            self._context.tell(self._lane.consumed)


class Lane:
    """One thread at a time runs here. `no_graphs` says why runs are not captured here, `launches` counts graphs run."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring, gpu = wiring, wiring.engine.gpu
        self._bindings: dict[int, Binding] = {}
        self.no_graphs, self.launches = "", 0
        with ExitStack() as stack:
            self.stream = stack.enter_context(Stream(gpu))
            self.consumed, self.done = stack.enter_context(Event(gpu)), stack.enter_context(Event(gpu))
            self.stack = stack.pop_all()

    def binding(self, rows: int) -> Binding:
        """Where so many plates run: the smallest profile that takes them, made when it is first wanted."""
        batches = self._wiring.engine.batches
        profile = min((p for p, batch in enumerate(batches) if batch >= rows or not batch), key=batches.__getitem__)
        if profile not in self._bindings:
            self._bindings[profile] = Binding(self._wiring, profile, self)
        return self._bindings[profile]

    def close(self) -> None:
        """Let the stream come to rest, then give everything back. Raises `GpuError`, having tried all."""
        with self.stack:
            self._bindings.clear()
            self.stream.wait()
