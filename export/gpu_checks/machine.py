"""What the machine is, and whether our layer over the driver does on it what it does on the stand-in."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timezone
from functools import partial
from time import perf_counter

import numpy as np
import onnxruntime as ort

from edge_alpr import __version__
from edge_alpr.errors import EdgeAlprError
from edge_alpr.infer.cuda import DeviceMemory, Event, Gpu, PinnedMemory, Stream
from edge_alpr.infer.machine import examine_machine
from edge_alpr.infer.trtengine import load_tensorrt
from export.gpu_checks.line import AbsentError, Figure, Figures, Line, attempt, wrong_if
from export.gpu_checks.site import Site, gpu_of

_COPIED, _BIG = 8 << 20, 256 << 20
"""Bytes of a copy, and of an allocation that must show in what is free."""
_COPIES = 20


def facts(site: Site) -> Iterator[Line]:
    """Software, GPU and TensorRT, each on its own: one may be absent."""
    yield attempt("facts", "software", _software)
    yield attempt("facts", "GPU", partial(_gpu, site))
    yield attempt("facts", "TensorRT", _tensorrt)


def driver(site: Site) -> Iterator[Line]:
    """Copies, fills, events and a captured graph, through each way to the driver."""
    for name, opener in {"as installed": site.hardware.gpu, **site.gpus}.items():
        yield attempt("driver", name, partial(_driver, site, opener))


def _software() -> Figures:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "edge-alpr": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "onnxruntime": ort.__version__,
        "providers": ", ".join(ort.get_available_providers()),
    }


def _gpu(site: Site) -> Figures:
    with gpu_of(site) as gpu:
        info = gpu.info
        figures: dict[str, Figure] = {
            "gpu": info.name, "sm": info.sm, "memory_mb": info.memory_bytes >> 20, "free_mb": gpu.free_bytes() >> 20,
            "cuda": info.driver, "integrated": str(info.integrated),
        }  # fmt: skip
    try:
        machine = examine_machine()
    except EdgeAlprError:  # the stand-in's library is not the machine's
        return figures
    return {**figures, "driver": machine.driver, "l4t": machine.l4t}


def _tensorrt() -> Figures:
    try:
        return {"tensorrt": str(load_tensorrt().__version__)}
    except EdgeAlprError as error:
        raise AbsentError(str(error)) from error


def _driver(site: Site, opener: Callable[[], Gpu]) -> Figures:
    sent = np.random.default_rng(1).integers(0, 256, _COPIED, dtype=np.uint8)
    with gpu_of(site, opener) as gpu, ExitStack() as stack:
        device = stack.enter_context(DeviceMemory(gpu, _COPIED))
        up, down = (stack.enter_context(PinnedMemory(gpu, _COPIED)) for _ in range(2))
        stream, done = stack.enter_context(Stream(gpu)), stack.enter_context(Event(gpu))
        to, back = (memory.array(np.dtype(np.uint8), (_COPIED,)) for memory in (up, down))

        def both() -> None:
            stream.upload(device, up, _COPIED)
            stream.download(down, device, _COPIED)

        to[:] = sent
        both()
        stream.record(done)
        done.wait()
        copied = bool(np.array_equal(back, sent))
        stream.fill(device, 114)
        stream.download(down, device, _COPIED)
        stream.wait()
        filled = bool((back == 114).all())
        graph = stack.enter_context(stream.capture(both))
        to[:] = sent[::-1]
        untouched = bool((back == 114).all())
        for _ in range(2):
            stream.launch(graph)
        stream.wait()
        replayed = bool(np.array_equal(back, sent[::-1]))
        figures = {"upload_gb_s": _rate(stream, device, up), "free_drop_mb": _free_drop(gpu)}
        problems = {
            "copies do not come back": not copied, "a fill does not come back": not filled,
            "capturing runs what it captures": not untouched, "a graph does not replay its copies": not replayed,
        }  # fmt: skip
        return wrong_if(problems, figures)


def _rate(stream: Stream, device: DeviceMemory, up: PinnedMemory) -> float:
    began = perf_counter()
    for _ in range(_COPIES):
        stream.upload(device, up, up.size)
    stream.wait()
    return _COPIES * up.size / (perf_counter() - began) / 1e9


def _free_drop(gpu: Gpu) -> float:
    """MB that are free less while 256 MB are held."""
    before = gpu.free_bytes()
    with DeviceMemory(gpu, _BIG):
        return (before - gpu.free_bytes()) / (1 << 20)
