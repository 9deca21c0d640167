"""Frames with more plates than are read of one: on sessions that answer by rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_alpr.config import DetectConfig
from edge_alpr.evidence import UNREAD
from edge_alpr.geometry import box_quad
from edge_alpr.onplane import MOST_READ, NearNet, OnPlane, PlaneNets
from edge_alpr.stages.read import ReaderSpec
from edge_alpr.types import DevicePlane, Memory, Tensors

PLANE = DevicePlane(256, 1280, 720, 1536, Memory.NVMM)


class Row:
    """Finds `count` plates in a row, in a window the one in its middle, and reads each as "A"."""

    identity, most = "row", 8

    def __init__(self, count: int) -> None:
        self.count = count
        self.bytes_back, self.read, self.looked = 0, 0, 0

    def run(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = {}) -> Tensors:
        answer = self._answer(extra)
        self.bytes_back += sum(array.nbytes for array in answer.values())
        return answer

    def start(self, plane: DevicePlane, extra: Mapping[str, NDArray[Any]] = {}) -> Row.Over:
        return Row.Over(self.run(plane, extra))

    def _answer(self, extra: Mapping[str, NDArray[Any]]) -> Tensors:
        if "quads" in extra:
            self.read += len(extra["quads"])
            rows = next(size for size in (1, 2, 4, 8) if size >= len(extra["quads"]))
            best, classes = np.full((rows, 64, 5), -20, np.float16), np.zeros((rows, 64, 5), np.uint8)
            classes[:] = np.arange(30, 35)
            best[..., 0], classes[..., 0], classes[:, 9, 0] = 0, 36, 10
            parts = {"best": best, "classes": classes, "sharpness": np.ones(rows, np.float32)}
            return {name: part[: len(extra["quads"])] for name, part in parts.items()}
        if "window" in extra:
            self.looked += 1
            quads = np.repeat(box_quad(26, 40, 134, 60)[None], 4, axis=0)
            return {"scores": np.array([[0.9, 0, 0, 0]], np.float32), "quads": quads[None].astype(np.float32)}
        quads = [box_quad(20 + 60 * i, 300, 60 + 60 * i, 310) for i in range(self.count)]
        scores = np.linspace(0.9, 0.8, self.count, dtype=np.float32)
        return {"scores": scores[None], "quads": np.array(quads, np.float32)[None]}

    class Over:
        def __init__(self, answer: Tensors) -> None:
            self._answer = answer

        def consumed(self) -> None:
            return None

        def result(self) -> Tensors:
            return self._answer


def test_of_very_many_plates_the_best_scored_are_read_and_the_others_followed():
    row = Row(20)
    nets = PlaneNets(row, row, ReaderSpec(blank=36), NearNet(row, (96, 160), (384, 640)))
    looked = OnPlane(nets, DetectConfig(max_plates=20)).start(PLANE)
    crops, reads = looked.result()
    assert len(looked.detections) == len(crops) == len(reads) == 20
    assert (row.read, row.looked) == (MOST_READ, MOST_READ)
    assert [read.plate for read in reads[:MOST_READ]] == ["A"] * MOST_READ
    assert all(read is UNREAD for read in reads[MOST_READ:])
    assert [crop.sharpness for crop in crops] == [1.0] * MOST_READ + [0.0] * (20 - MOST_READ)


def test_fewer_are_read_where_that_is_asked():
    row = Row(5)
    looked = OnPlane(PlaneNets(row, row, ReaderSpec(blank=36)), DetectConfig()).start(PLANE, most=2)
    assert [read.plate for read in looked.result()[1]] == ["A", "A", "", "", ""]
    assert row.read == 2


def test_an_empty_frame_is_not_read():
    row = Row(0)
    looked = OnPlane(PlaneNets(row, row, ReaderSpec(blank=36)), DetectConfig()).start(PLANE)
    looked.consumed()
    assert looked.result() == ([], [])
    assert row.read == 0
