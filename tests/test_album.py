"""Which frames on the GPU are pictured: every new plate, a larger one, and now and then."""

from __future__ import annotations

import itertools

import numpy as np

from edge_alpr.geometry import box_quad
from edge_alpr.stages.album import Album
from edge_alpr.types import Detection

MS = 1_000_000


def plate(x: float, height: float = 20.0, y: float = 100.0) -> Detection:
    return Detection(np.asarray(box_quad(x, y, x + 5 * height, y + height), np.float32), 0.9)


def test_a_plate_is_pictured_when_it_is_new_and_then_every_half_second():
    album = Album()
    pictured = [ms for ms in range(0, 1200, 33) if album.wants([plate(100 + ms / 50)], ms * MS)]
    assert len(pictured) == 3
    assert pictured[0] == 0
    assert all(500 <= b - a < 534 for a, b in itertools.pairwise(pictured))


def test_a_plate_that_grows_is_pictured_again():
    album = Album()
    heights = [20, 21, 22, 23, 24, 25, 26, 27]
    assert [h for i, h in enumerate(heights) if album.wants([plate(100, h)], i * 33 * MS)] == [20, 23, 27]


def test_a_new_plate_beside_a_known_one_is_pictured():
    album = Album()
    assert album.wants([plate(100)], 0)
    assert not album.wants([plate(100)], 33 * MS)
    assert album.wants([plate(100), plate(400)], 66 * MS)
    assert not album.wants([plate(400), plate(100)], 99 * MS)


def test_one_that_comes_back_is_new_and_an_empty_frame_is_nothing():
    album = Album()
    assert album.wants([plate(100)], 0)
    assert not album.wants([], 33 * MS)
    assert not album.wants([plate(100)], 66 * MS)
    assert album.wants([plate(100)], 400 * MS)


def test_a_clock_that_goes_back_forgets():
    album = Album()
    assert album.wants([plate(100)], 10_000 * MS)
    assert album.wants([plate(100)], 0)
