"""Quads and the upright crop, on drawn plates."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_alpr.geometry import (
    CROP_HEIGHT,
    CROP_WIDTH,
    as_quad,
    box_iou,
    box_quad,
    crop_corners,
    normalise_light,
    pixel_box,
    quad_box,
    quad_size,
    rectify,
)
from edge_alpr.types import Floats, Luma

COORDINATE = st.floats(0, 500)
SHIFT = st.floats(-0.12, 0.12)


def plate_crop(seed: int) -> Luma:
    """What a crop of a plate looks like: dark characters on light ground, soft edges."""
    image = np.full((CROP_HEIGHT, CROP_WIDTH), 200, np.uint8)
    text = "".join(np.random.default_rng(seed).choice(list("ABCDEHKMNPRSTXZ2345678"), 6))
    cv2.putText(image, text, (10, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 30, 2, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.8), np.uint8)


def in_a_frame(crop: Luma, quad: Floats, shape: tuple[int, int]) -> Luma:
    """A grey frame with the crop's plate drawn on `quad` (through the homography the other way)."""
    matrix = cv2.getPerspectiveTransform(crop_corners(), quad)
    size = (shape[1], shape[0])
    return np.asarray(cv2.warpPerspective(crop, matrix, size, flags=cv2.INTER_AREA, borderValue=90), np.uint8)


def inner_error(a: Luma, b: Luma) -> float:
    return float(np.abs(a.astype(float) - b.astype(float))[3:-3, 5:-5].mean())


@st.composite
def views(draw: st.DrawFn) -> Floats:
    """The quad of a plate turned, bent and seen from the side, inside a frame (480, 720)."""
    width, turn = draw(st.floats(110, 250)), draw(st.floats(-0.35, 0.35))
    height = width / draw(st.floats(3.0, 4.5))
    bends = draw(st.lists(SHIFT, min_size=8, max_size=8))
    quad = box_quad(-width / 2, -height / 2, width / 2, height / 2)
    quad += np.array(bends, np.float32).reshape(4, 2) * height
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]], np.float32)
    middle = draw(st.floats(60, 300)) + width / 2, draw(st.floats(60, 250)) + height / 2
    return as_quad(quad @ rotation + middle)


@given(views(), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_a_plate_seen_at_any_angle_comes_back_upright(quad: Floats, seed: int) -> None:
    crop = plate_crop(seed)
    back = rectify(in_a_frame(crop, quad, (480, 720)), quad)
    assert inner_error(back, crop) < 12
    mirrored = as_quad(quad[[1, 0, 3, 2]])
    assert inner_error(rectify(in_a_frame(crop, quad, (480, 720)), mirrored), crop) > 12


@pytest.mark.parametrize("factor", [2, 3, 5, 9])
def test_a_near_plate_is_averaged_not_sampled(factor: int) -> None:
    crop = plate_crop(3)
    size = (CROP_WIDTH * factor, CROP_HEIGHT * factor)
    large = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    noise = np.random.default_rng(0).normal(0, 40, large.shape)
    noisy = np.clip(large.astype(float) + noise, 0, 255).astype(np.uint8)
    quad = as_quad((crop_corners() + 0.5) * factor - 0.5)
    assert inner_error(rectify(large, quad), crop) < 3
    assert inner_error(rectify(noisy, quad), crop) < 40 / factor


def test_the_frame_may_be_a_padded_view() -> None:
    frame = in_a_frame(plate_crop(1), box_quad(40, 50, 180, 90), (160, 240))
    padded = np.zeros((160, 256), np.uint8)
    padded[:, :240] = frame
    quad = box_quad(40, 50, 180, 90)
    assert np.array_equal(rectify(padded[:, :240], quad), rectify(frame, quad))


@pytest.mark.parametrize("shape", [(40, 40_000), (40_000, 40), (1, 1), (5000, 4000)])
def test_any_frame_size_can_be_cut(shape: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    rows, columns = shape
    for quad in (
        box_quad(columns - 30, rows - 20, columns - 1, rows - 1),
        box_quad(0, 0, columns - 1, rows - 1),
        box_quad(columns + 5, 0, columns + 50, 12),
        box_quad(-50, -20, -10, -5),
    ):
        assert rectify(frame, quad).shape == (CROP_HEIGHT, CROP_WIDTH)


def test_what_lies_beyond_the_border_repeats_it() -> None:
    frame = np.full((60, 100), 50, np.uint8)
    frame[:, 50:] = 180
    crop = rectify(frame, box_quad(60, 10, 160, 40))
    assert crop.min() == crop.max() == 180


@given(st.lists(COORDINATE, min_size=4, max_size=4), st.lists(COORDINATE, min_size=4, max_size=4))
def test_iou_is_symmetric_and_a_share(one: list[float], two: list[float]) -> None:
    a, b = (quad_box(box_quad(*values)) for values in (one, two))
    assert box_iou(a, b) == pytest.approx(box_iou(b, a))
    assert 0 <= box_iou(a, b) <= 1 + 1e-6
    if a[2] - a[0] > 1 and a[3] - a[1] > 1:
        assert box_iou(a, a) == pytest.approx(1)


@given(st.lists(st.floats(-1e4, 1e4), min_size=8, max_size=8))
def test_a_pixel_box_lies_in_the_frame(values: list[float]) -> None:
    box = pixel_box(as_quad(values), 640, 480)
    assert 0 <= box.xmin <= box.xmax <= 639
    assert 0 <= box.ymin <= box.ymax <= 479


def test_the_size_of_a_quad_is_along_the_text() -> None:
    assert quad_size(as_quad([0, 0, 0, 100, -20, 100, -20, 0])) == pytest.approx((100, 20))


@given(st.integers(0, 20), st.floats(0.2, 1.0), st.floats(-40, 40))
@settings(max_examples=30, deadline=None)
def test_light_and_contrast_do_not_matter(seed: int, gain: float, offset: float) -> None:
    crop = plate_crop(seed)
    other = np.clip(crop * gain + offset + 20, 0, 255)
    if other.min() > 0 and other.max() < 255:
        error = inner_error(normalise_light(crop), normalise_light(other.astype(np.uint8)))
        assert error < 4


def test_a_flat_crop_stays_flat() -> None:
    assert np.ptp(normalise_light(np.full((32, 128), 77, np.uint8))) == 0
