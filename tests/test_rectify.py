"""Cutting plates: upright, normalised, with an honest sharpness and the border noticed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_alpr.geometry import as_quad, box_quad
from edge_alpr.stages.rectify import cut, sharpness
from edge_alpr.types import Detection, Luma


def street() -> Luma:
    """A frame (360, 640) with a plate at (200, 100) to (330, 130)."""
    frame = np.full((360, 640), 70, np.uint8)
    frame[100:131, 200:331] = 150
    cv2.putText(frame, "AB 123", (212, 123), cv2.FONT_HERSHEY_SIMPLEX, 0.75, 60, 2, cv2.LINE_AA)
    return frame


PLATE = Detection(box_quad(200, 100, 330, 130), 0.9)


def test_a_crop_says_what_it_is() -> None:
    crop = cut(street(), PLATE)
    assert crop.image.shape == (32, 128)
    assert crop.image.dtype == np.uint8
    assert (crop.width_px, crop.height_px) == pytest.approx((130, 30))
    assert crop.image.mean() == pytest.approx(128, abs=4)
    assert crop.image.std() == pytest.approx(52, abs=4)
    assert crop.detection is PLATE
    assert not crop.clipped


def test_a_crop_owns_its_pixels() -> None:
    frame = street()
    crop = cut(frame, PLATE)
    before = crop.image.copy()
    frame[:] = 0
    assert np.array_equal(crop.image, before)


def test_sharpness_falls_with_blur_and_ignores_light() -> None:
    frame = street()
    values = [cut(frame, PLATE).sharpness]
    values += [cut(np.asarray(cv2.blur(frame, (k, k))), PLATE).sharpness for k in (3, 5, 9, 17)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 3 * values[-1]
    dim = (frame // 2 + 10).astype(np.uint8)
    assert cut(dim, PLATE).sharpness == pytest.approx(values[0], rel=0.1)


def test_a_flat_crop_is_not_sharp() -> None:
    noise = np.random.default_rng(0).integers(100, 102, (32, 128), np.uint8)
    assert sharpness(noise) == 0.0
    assert sharpness(np.zeros((32, 128), np.uint8)) == 0.0


@pytest.mark.parametrize(
    ("quad", "clipped"),
    [
        ([10, 10, 90, 10, 90, 30, 10, 30], False),
        ([1, 1, 638, 1, 638, 358, 1, 358], False),
        ([0.5, 10, 90, 10, 90, 30, 10, 30], True),
        ([10, -4, 90, 10, 90, 30, 10, 30], True),
        ([560, 10, 639, 10, 639, 30, 560, 30], True),
        ([560, 330, 630, 330, 630, 365, 560, 365], True),
        ([-80, 10, 0, 10, 0, 30, -80, 30], True),
    ],
)
def test_a_plate_cut_by_the_border_is_marked(quad: list[float], clipped: bool) -> None:
    crop = cut(street(), Detection(as_quad(quad), 0.5))
    assert crop.clipped == clipped
    assert crop.image.shape == (32, 128)


def test_a_frame_of_one_pixel_can_be_cut() -> None:
    crop = cut(np.full((1, 1), 9, np.uint8), Detection(box_quad(-1, -1, 1, 1), 0.5))
    assert crop.clipped
    assert crop.sharpness == 0.0
