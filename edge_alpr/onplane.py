"""Finding and reading plates in a frame that stays on the GPU: corners go up, corners and characters come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edge_alpr.characters import folding
from edge_alpr.config import DetectConfig
from edge_alpr.evidence import UNREAD, Interpret, read_from_slots
from edge_alpr.geometry import quad_size
from edge_alpr.ports import PlaneRun, PlaneSession
from edge_alpr.stages.detect import Letterbox, decode
from edge_alpr.stages.near import (
    MIN_WIDTH_PX,
    SHRUNK,
    THRESHOLD,
    WINDOW,
    seen_at,
    settled,
    window_on,
    without_doubles,
)
from edge_alpr.stages.read import SHARPNESS, ReaderSpec, ctc_slots, plane_chances
from edge_alpr.stages.rectify import clipped
from edge_alpr.types import Crop, Detection, DevicePlane, Luma, Read, Tensors

MOST_READ = 12
"""Plates of a frame that are looked at again and read, the best scored: what comes back for it stays within 16 KiB."""
_UNSEEN: Luma = np.empty((0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class NearNet:
    """The network that looks again; sizes are (rows, columns)."""

    session: PlaneSession
    window: tuple[int, int]
    input_size: tuple[int, int]
    """Of the detector whose finds it looks at."""


@dataclass(frozen=True, slots=True)
class PlaneNets:
    """The networks for frames of one size and pitch."""

    detector: PlaneSession
    reader: PlaneSession
    spec: ReaderSpec
    """Of the reader."""
    near: NearNet | None = None
    """Looks again at small plates."""

    @property
    def identities(self) -> dict[str, str]:
        """As events have them."""
        detectors = [self.detector, *([self.near.session] if self.near else [])]
        return {"detector": ",".join(one.identity for one in detectors), "reader": self.reader.identity}


class OnPlane:
    """Looks at planes. Nothing of a frame is kept; it may be called from one thread at a time."""

    def __init__(self, nets: PlaneNets, config: DetectConfig, interpret: Interpret = read_from_slots) -> None:
        self.nets = nets
        self._config = config
        self._near_config = msgspec.structs.replace(config, threshold=THRESHOLD, min_width_px=MIN_WIDTH_PX)
        self._read = Interpreter(nets.spec, interpret)

    def start(self, plane: DevicePlane, most: int | None = None) -> Looked:
        """Find the plates and begin to read the `most` best scored. Raises `GpuError` and `ModelError`."""
        frame = (plane.width, plane.height)
        detections = decode(self.nets.detector.run(plane), Letterbox(frame, frame), self._config)
        if self.nets.near is not None and seen_at(frame, self.nets.near.input_size) <= SHRUNK:
            again = [self._again(plane, one, self.nets.near) for one in detections[:MOST_READ]]
            detections = without_doubles([*again, *detections[MOST_READ:]])
        wanted = detections[: min(most or MOST_READ, MOST_READ)]
        return Looked(detections, frame, *self._reading(plane, wanted), self._read, self.nets.identities)

    def _again(self, plane: DevicePlane, detection: Detection, near: NearNet) -> Detection:
        frame, (rows, columns) = (plane.width, plane.height), near.window
        window = window_on(detection, frame, near.window, seen_at(frame, near.input_size))
        if window is None:
            return detection
        where = np.array([[window.scale, *window.shift]], np.float32)
        size = (columns, rows)
        found = decode(near.session.run(plane, {WINDOW: where}), Letterbox(size, size), self._near_config)
        return settled(detection, window, found)

    def _reading(self, plane: DevicePlane, wanted: Sequence[Detection]) -> tuple[list[Tensors], PlaneRun | None]:
        """What is read already, where the plates are more than one run takes, and the run under way."""
        if not wanted:
            return [], None
        reader = self.nets.reader
        quads = np.stack([detection.quad for detection in wanted])
        parts = [quads[at : at + reader.most] for at in range(0, len(quads), reader.most)]
        done = [reader.run(plane, {"quads": part}) for part in parts[:-1]]
        return done, reader.start(plane, {"quads": parts[-1]})


class Interpreter:
    """What a reader for planes answers, to reads."""

    def __init__(self, spec: ReaderSpec, interpret: Interpret) -> None:
        self._spec, self._interpret, self._matrix = spec, interpret, folding(spec.alphabet, spec.blank)

    def __call__(self, outputs: Tensors) -> list[Read]:
        """The reads of one run. Raises `ModelError` for nonsense."""
        return [self._interpret(ctc_slots(one)) for one in plane_chances(outputs, self._spec, self._matrix)]


class Looked:
    """Plates that were found in a frame and are being read."""

    def __init__(
        self,
        detections: list[Detection],
        frame: tuple[int, int],
        done: list[Tensors],
        run: PlaneRun | None,
        read: Interpreter,
        identities: dict[str, str],
    ) -> None:
        self.detections = detections
        """Best first, quads in frame pixels."""
        self.identities = identities
        """The networks that look."""
        self._frame, self._done, self._run, self._read = frame, done, run, read

    def consumed(self) -> None:
        """Until the frame has been read: it may go back then. Raises `GpuError`."""
        if self._run is not None:
            self._run.consumed()

    def result(self) -> tuple[list[Crop], list[Read]]:
        """Crops and reads of all detections, `UNREAD` beyond those that were wanted. To be asked once.

        A crop has no pixels here. Raises `GpuError`, and `ModelError` for nonsense.
        """
        done = [*self._done, self._run.result()] if self._run is not None else []
        reads = [read for part in done for read in self._read(part)]
        sharpness = [float(value) for part in done for value in part[SHARPNESS]]
        return self._crops(sharpness), reads + [UNREAD] * (len(self.detections) - len(reads))

    def unread(self) -> tuple[list[Crop], list[Read]]:
        """The same without a read, where that failed."""
        return self._crops([]), [UNREAD] * len(self.detections)

    def _crops(self, sharpness: Sequence[float]) -> list[Crop]:
        known = [*sharpness, *[0.0] * (len(self.detections) - len(sharpness))]
        return [
            Crop(_UNSEEN, detection, *quad_size(detection.quad), sharp, clipped(detection.quad, self._frame))
            for detection, sharp in zip(self.detections, known, strict=True)
        ]
