"""The frames of the golden check, and where their plates are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import cv2
import msgspec
import numpy as np

from edge_alpr.camera import open_source
from edge_alpr.config import SourceConfig
from edge_alpr.doctor.networks import GOLDEN_BOX, golden_frame
from edge_alpr.geometry import as_quad, box_quad, quad_size
from edge_alpr.types import Floats, Luma

_EVERY, _MOST = 24, 8
"""Of the sample drive."""
_LEAST_WIDTH_PX, _WHOLE = 40, 0.99


@dataclass(frozen=True, slots=True, eq=False)
class GoldenFrame:
    """A frame (H, W) uint8 and the quads of its plates, in its pixels."""

    luma: Luma
    quads: list[Floats]


class _Plate(msgspec.Struct):
    quad: list[list[float]]
    visible: float


class _Line(msgspec.Struct):
    plates: list[_Plate]


@lru_cache(maxsize=1)
def golden_frames(width: int, height: int) -> tuple[GoldenFrame, ...]:
    """The drawn plate and frames of the sample drive, brought to a size. Raises `SourceError` where none decodes."""
    drawn = GoldenFrame(golden_frame(), [box_quad(*GOLDEN_BOX)])
    return tuple(resized(frame, width, height) for frame in (drawn, *_drive()))


def _drive() -> Iterator[GoldenFrame]:
    lines = (files("edge_alpr.samples") / "drive.jsonl").read_bytes().splitlines()
    with open_source(SourceConfig(uri="sample://drive")) as source:
        taken = 0
        for frame in source:
            with frame:
                if frame.index % _EVERY == 0:
                    yield GoldenFrame(frame.luma.copy(), quads_of(lines[frame.index]))
                    taken += 1
            if taken == _MOST:
                return


def quads_of(line: bytes) -> list[Floats]:
    """The plates of a line of `drive.jsonl` that are seen whole, in pixels of the sample drive."""
    return [as_quad(plate.quad) for plate in msgspec.json.decode(line, type=_Line).plates if plate.visible >= _WHOLE]


def resized(frame: GoldenFrame, width: int, height: int) -> GoldenFrame:
    """A frame brought to a size; plates that are too narrow there to be read are left out."""
    rows, columns = frame.luma.shape
    scale = np.array([width / columns, height / rows], np.float32)
    luma = cv2.resize(frame.luma, (width, height), interpolation=cv2.INTER_AREA)
    quads = [((quad + 0.5) * scale - 0.5).astype(np.float32) for quad in frame.quads]
    return GoldenFrame(np.asarray(luma, np.uint8), [quad for quad in quads if quad_size(quad)[0] >= _LEAST_WIDTH_PX])
