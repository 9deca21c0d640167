"""Frames that a decoder leaves in the GPU's memory: the plane's bytes beside what the processor decodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import numpy as np

from edge_alpr.camera import open_source
from edge_alpr.config import SourceConfig
from edge_alpr.errors import MissingElementError
from edge_alpr.gpuhealth import GpuHealth
from edge_alpr.infer.cuda import Gpu, PinnedMemory, Stream
from edge_alpr.types import DevicePlane, Luma
from export.gpu_checks.line import AbsentError, Figure, Figures, Line, attempt, wrong_if
from export.gpu_checks.site import Site, gpu_of

_FRAMES = 30
_SOURCE = SourceConfig(uri="sample://drive")


def video(site: Site) -> Iterator[Line]:
    """The sample drive, decoded by the GPU (nvh264dec, or nvv4l2decoder on a Jetson) and by the processor."""
    yield attempt("video", "sample drive in device memory", partial(_video, site))


def _video(site: Site) -> Figures:
    try:
        with gpu_of(site) as gpu:
            return _compared(site, gpu)
    except (ImportError, ValueError, MissingElementError) as error:  # PyGObject says by ValueError what it lacks
        raise AbsentError(f"{error}; apt: python3-gi, GStreamer's bad plugins with nvcodec") from error


def _compared(site: Site, gpu: Gpu) -> Figures:
    device = site.hardware.frames(gpu, GpuHealth())
    differ = seen = looked = 0
    pitches: set[int] = set()
    with open_source(_SOURCE) as plain, open_source(_SOURCE, device=device) as source, ExitStack() as stack:
        stream = stack.enter_context(Stream(gpu))
        for wanted, frame in zip(plain, source, strict=False):
            with wanted, frame:
                if frame.plane is None:
                    raise AbsentError("the decoder that GStreamer chose leaves frames in system memory")
                pitches.add(frame.plane.pitch)
                differ += not np.array_equal(_pixels(gpu, stream, frame.plane), wanted.luma)
                with frame.on_host() as shown:
                    looked += np.array_equal(shown.luma, wanted.luma)
                seen += 1
            if seen == _FRAMES:
                break
    figures: dict[str, Figure] = {
        "frames": seen, "differ": differ, "same_on_host": looked, "pitch": ", ".join(map(str, sorted(pitches))),
    }  # fmt: skip
    return wrong_if({
        "no frame came": not seen, f"{differ} planes differ from the processor's": differ > 0,
        f"{seen - looked} frames differ when they are mapped": looked < seen,
    }, figures)  # fmt: skip


def _pixels(gpu: Gpu, stream: Stream, plane: DevicePlane) -> Luma:
    """Copied to the host, without the padding."""
    with PinnedMemory(gpu, plane.pitch * plane.height) as memory:
        gpu.call("cuMemcpyDtoHAsync_v2", memory.handle, plane.pointer, memory.size, stream.handle)
        stream.wait()
        rows = memory.array(np.dtype(np.uint8), (plane.height, plane.pitch))
        return np.ascontiguousarray(rows[:, : plane.width])
