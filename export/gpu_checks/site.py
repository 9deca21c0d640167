"""Where the checks run: the machine, its graphs in their precisions, and frames in the GPU's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np

from edge_alpr.build.command import Here, this_machine
from edge_alpr.build.frames import GoldenFrame, quads_of, resized
from edge_alpr.build.golden import surface
from edge_alpr.camera.pictures import load_luma
from edge_alpr.doctor.networks import GOLDEN_BOX, golden_frame
from edge_alpr.errors import EdgeAlprError
from edge_alpr.evaluate import load_dataset
from edge_alpr.geometry import box_quad
from edge_alpr.gpudrive import Hardware, this_hardware
from edge_alpr.infer.choose import choose
from edge_alpr.infer.cuda import DeviceMemory, Gpu, PinnedMemory, Stream
from edge_alpr.infer.driver import Library
from edge_alpr.infer.graphs import Graph, gpu_graphs
from edge_alpr.infer.recipe import PRECISIONS, GraphPrecision
from edge_alpr.types import DevicePlane, Luma, Memory
from export.gpu_checks.line import AbsentError

EVERY_PICTURE = 8
"""Which of the labelled pictures are taken."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is run."""

    stills: int = 24
    """Frames of the sample drive."""
    rounds: int = 300
    """Runs that a latency is taken of."""
    frames: int = 10_000
    """For the memory."""
    settle: int = 100
    """Frames before memory is noted."""


@dataclass(frozen=True, slots=True)
class Site:
    """The machine and what is checked on it."""

    folder: Path
    data: Path | None = None
    """Labelled pictures, for real frames; None: the sample drive alone."""
    effort: Effort = field(default_factory=Effort)
    hardware: Hardware = field(default_factory=this_hardware)
    here: Callable[[], Here] = this_machine
    gpus: Mapping[str, Callable[[], Gpu]] = field(default_factory=lambda: {"ctypes": lambda: Gpu(Library())})
    """Other ways to the driver than the installed one."""


@dataclass(frozen=True, slots=True)
class Networks:
    """The graphs for one plane in one precision, detectors by tier, the others by kind."""

    precision: GraphPrecision
    graphs: Mapping[str, Graph]

    @property
    def name(self) -> str:
        """Precision and plane."""
        return f"{self.precision} {self.graphs['reader'].plane}"

    @property
    def tiers(self) -> list[str]:
        """The detectors of whole frames."""
        return [tier for tier in ("large", "small") if tier in self.graphs]


def networks(site: Site) -> list[Networks]:
    """Everything in the folder, by plane and precision. Raises `ModelError` for graphs that do not hold."""
    graphs = gpu_graphs(site.folder)
    recipe = site.hardware.recipe(site.folder)
    found = []
    for plane in sorted({graph.plane for graph in graphs}):
        of_plane = [graph for graph in graphs if graph.plane == plane]
        for precision in PRECISIONS:
            if any(graph.precision == precision for graph in of_plane):
                chosen = [choice.graph for choice in choose(of_plane, recipe, precision)]
                found.append(Networks(precision, {graph.tier or graph.kind: graph for graph in chosen}))
    return found


@contextmanager
def gpu_of(site: Site, opener: Callable[[], Gpu] | None = None) -> Iterator[Gpu]:
    """The GPU while it is held. Raises `AbsentError` where there is none."""
    try:
        gpu = (opener or site.hardware.gpu)()
    except EdgeAlprError as error:
        raise AbsentError(str(error)) from error
    with gpu:
        yield gpu


class Slot:
    """A frame's plane in the GPU's memory, with its twin on the host; it goes back with `stack`."""

    def __init__(self, gpu: Gpu, graph: Graph, luma: Luma, stack: ExitStack) -> None:
        size = graph.height * graph.pitch
        self.memory = stack.enter_context(DeviceMemory(gpu, size))
        self._pinned = stack.enter_context(PinnedMemory(gpu, size))
        self.pixels = surface(luma, graph)
        self._pinned.array(np.dtype(np.uint8), self.pixels.shape)[...] = self.pixels
        self.plane = DevicePlane(self.memory.handle, graph.width, graph.height, graph.pitch, Memory.CUDA)

    def upload(self, stream: Stream) -> None:
        """Put the copy on the stream."""
        stream.upload(self.memory, self._pinned, self.memory.size)


def slots(gpu: Gpu, graph: Graph, frames: Sequence[GoldenFrame], stack: ExitStack) -> list[Slot]:
    """Frames of the graph's size, there when this returns."""
    made = [Slot(gpu, graph, frame.luma, stack) for frame in frames]
    with Stream(gpu) as stream:
        for slot in made:
            slot.upload(stream)
        stream.wait()
    return made


@lru_cache(maxsize=4)
def stills(width: int, height: int, count: int) -> tuple[GoldenFrame, ...]:
    """The drawn plate, and frames of the sample drive over its whole length, in a size.

    By OpenCV's decoder: a rented machine has no GStreamer. Raises `AbsentError` where that cannot decode it.
    """
    lines = (files("edge_alpr.samples") / "drive.jsonl").read_bytes().splitlines()
    every, video = max(1, len(lines) // count), cv2.VideoCapture(str(files("edge_alpr.samples") / "drive.mp4"))
    kept = [GoldenFrame(golden_frame(), [box_quad(*GOLDEN_BOX)])]
    for number, line in enumerate(lines):
        if not video.grab():
            break
        if number % every == every // 2 and len(kept) <= count:
            grey = cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2GRAY)
            kept.append(GoldenFrame(np.asarray(grey, np.uint8), quads_of(line)))
    video.release()
    if len(kept) == 1:
        raise AbsentError("OpenCV cannot decode the sample drive here; install opencv-python-headless")
    return tuple(resized(frame, width, height) for frame in kept)


def frames_for(site: Site, graph: Graph) -> list[GoldenFrame]:
    """Frames of a graph's size, the labelled dash cam pictures too where they are there."""
    found = list(stills(graph.width, graph.height, site.effort.stills))
    if site.data is not None and (site.data / "dashcam").is_dir():
        for image in load_dataset(site.data / "dashcam")[::EVERY_PICTURE]:
            found.append(resized(GoldenFrame(load_luma(image.path), []), graph.width, graph.height))
    return found
