"""The detector stage around a real session: where plates come to lie, and what is never reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from helpers_infer import BLOB_QUAD, blob_finder, card, package
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_alpr.config import DetectConfig
from edge_alpr.errors import ImageError, ModelError
from edge_alpr.geometry import box_iou, box_quad, quad_box
from edge_alpr.infer.rungs import open_session
from edge_alpr.ports import Session
from edge_alpr.stages.detect import Detector, choose_plates, decode, letterbox, plate_like
from edge_alpr.types import Floats, Luma, Tensors

CONFIG = DetectConfig(threshold=0.6)
FRAME = (640, 384)
"""Width and height of a frame that the letterbox leaves as it is."""
SAME = letterbox(FRAME, (384, 640))
SIDE = st.integers(1, 9000)


class Tap:
    """A session that remembers what it was fed."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.identity = session.identity
        self.feeds: list[tuple[int, Luma]] = []

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        buffer = feeds["luma"]
        self.feeds.append((buffer.__array_interface__["data"][0], buffer.copy()))
        return self.session.run(feeds)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return open_session(package(tmp_path_factory.mktemp("tiny"), blob_finder(), card("detector")), 1)


def outputs(quads: NDArray[np.floating], scores: list[float]) -> Tensors:
    return {
        "scores": np.array([scores], np.float32),
        "quads": np.asarray(quads, np.float32).reshape(1, len(scores), 4, 2),
    }


def quads_at(*corners: tuple[float, float], size: tuple[float, float] = (60, 20)) -> Floats:
    return np.stack([box_quad(x, y, x + size[0], y + size[1]) for x, y in corners])


@pytest.mark.parametrize("size", [(640, 384), (1280, 720), (1920, 1080), (800, 1200), (500, 300), (8000, 600)])
def test_a_bright_blob_is_found_where_it_is(session: Session, size: tuple[int, int]) -> None:
    width, height = size
    frame = np.zeros((height, width), np.uint8)
    fit = letterbox(size, (384, 640))
    spots = [(0.25, 0.5), (0.75, 0.5)]
    for x, y in spots:
        rx, ry = 8 / fit.scale
        cx, cy = x * width, y * height
        frame[max(0, round(cy - ry)) : round(cy + ry), round(cx - rx) : round(cx + rx)] = 255
    found = Detector(session, CONFIG)(frame)
    assert found
    for x, y in spots:
        near = min(found, key=lambda d: abs(d.quad[:, 0].mean() - x * width))
        offset = (near.quad.mean(axis=0) - (x * width, y * height)) * fit.scale
        assert np.abs(offset).max() <= 8
        np.testing.assert_allclose(near.quad - near.quad.mean(axis=0), BLOB_QUAD / fit.scale, atol=1e-2)
        assert near.quad.dtype == np.float32


def test_the_best_are_kept_and_they_come_first(session: Session) -> None:
    frame = np.zeros((384, 640), np.uint8)
    for i in range(6):
        frame[96:104, 80 + 80 * i : 88 + 80 * i] = 220 + 5 * i
    found = Detector(session, DetectConfig(threshold=0.6, max_plates=4))(frame)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    assert len(found) == 4
    assert found[0].quad[:, 0].mean() == pytest.approx(80 + 80 * 5 + 3.5)


def test_the_buffer_stays_and_old_frames_leave_no_trace(session: Session) -> None:
    tap = Tap(session)
    detector = Detector(tap, CONFIG)
    detector(np.full((720, 1280), 200, np.uint8))
    detector(np.full((720, 1280), 100, np.uint8))
    detector(np.full((1200, 300), 50, np.uint8))
    assert len({address for address, _ in tap.feeds}) == 1
    wide, again, tall = (fed[0, 0] for _, fed in tap.feeds)
    assert (wide[:360] == 200).all()
    assert (wide[360:] == 114).all()
    assert (again[:360] == 100).all()
    assert (again[360:] == 114).all()
    assert (tall[:, :96] == 50).all()
    assert (tall[:, 96:] == 114).all()


def test_small_frames_are_enlarged_at_most_twice(session: Session) -> None:
    tap = Tap(session)
    Detector(tap, CONFIG)(np.full((50, 40), 10, np.uint8))
    assert (tap.feeds[0][1] == 10).sum() == 100 * 80


@pytest.mark.parametrize("shape", [(1, 1), (4000, 5000), (30, 40_000), (40_000, 30), (1, 3000), (2, 2)])
def test_any_frame_size_runs(session: Session, shape: tuple[int, int]) -> None:
    assert Detector(session, CONFIG)(np.zeros(shape, np.uint8)) == []


def test_a_padded_and_read_only_frame_gives_the_same(session: Session) -> None:
    rng = np.random.default_rng(0)
    padded = rng.integers(0, 256, (720, 1344), np.uint8)
    view = padded[:, :1280]
    view.flags.writeable = False
    detector = Detector(session, DetectConfig(threshold=0.05))
    a, b = detector(view), detector(np.ascontiguousarray(view))
    assert len(a) > 0
    assert [d.quad.tolist() for d in a] == [d.quad.tolist() for d in b]


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_luma_is_refused(session: Session, frame: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match="uint8"):
        Detector(session, CONFIG)(frame)


@given(SIDE, SIDE, st.lists(st.floats(0, 1), min_size=2, max_size=2))
@settings(max_examples=200, deadline=None)
def test_the_letterbox_maps_there_and_back(width: int, height: int, place: list[float]) -> None:
    fit = letterbox((width, height), (384, 640))
    assert 1 <= fit.size[0] <= 640
    assert 1 <= fit.size[1] <= 384
    point = np.array(place) * (width, height) - 0.5
    inside = fit.to_input(point)
    assert (inside >= -0.5001).all()
    assert (inside <= np.array(fit.size) - 0.4999).all()
    back, whole = np.array(fit.to_frame([inside.tolist(), np.round(inside).tolist()]))
    assert np.abs(back - point).max() < 0.01
    assert (np.abs(whole - point) <= 0.5 / fit.scale + 1e-6).all()
    if min(fit.size) >= 20:
        assert fit.scale[0] == pytest.approx(fit.scale[1], rel=0.03)


@st.composite
def crowd(draw: st.DrawFn) -> Floats:
    """Quads, best first."""
    corner = st.tuples(st.floats(0, 100, width=32), st.floats(0, 40, width=32))
    quads = [box_quad(x, y, x + 40, y + 12) for x, y in draw(st.lists(corner, max_size=24))]
    return np.array(quads, np.float32).reshape(-1, 4, 2)


@given(crowd(), st.floats(0, 1))
@settings(max_examples=150, deadline=None)
def test_suppression_is_idempotent_and_leaves_no_overlap(found: Floats, most_iou: float) -> None:
    config = msgspec.structs.replace(CONFIG, nms_iou=most_iou, max_plates=64)
    kept = choose_plates(found.tolist(), FRAME, config)
    assert choose_plates(found[kept].tolist(), FRAME, config) == list(range(len(kept)))
    boxes = [quad_box(q) for q in found[kept]]
    for i, a in enumerate(boxes):
        assert all(box_iou(a, b) <= most_iou + 1e-5 for b in boxes[i + 1 :])
    for i in set(range(len(found))) - set(kept):
        rivals = [k for k in kept if k < i]
        assert max(box_iou(quad_box(found[i]), quad_box(found[k])) for k in rivals) > most_iou - 1e-5


@pytest.mark.parametrize(
    "broken",
    [
        [[np.nan, 0], [60, 0], [60, 20], [0, 20]],
        [[np.inf, 0], [60, 0], [60, 20], [0, 20]],
        [[100, 100], [100, 100], [100, 100], [100, 100]],
        [[100, 100], [160, 100], [220, 100], [280, 100]],
        [[160, 100], [100, 100], [100, 120], [160, 120]],
        [[100, 100], [160, 120], [160, 100], [100, 120]],
        [[100, 100], [160, 100], [110, 105], [100, 120]],
        [[100, 100], [112, 100], [112, 106], [100, 106]],
        [[100, 100], [160, 100], [160, 101], [100, 101]],
        [[700, 100], [760, 100], [760, 120], [700, 120]],
        [[100, -60], [160, -60], [160, -40], [100, -40]],
        [[-3e38, 100], [3e38, 100], [3e38, 120], [-3e38, 120]],
        [[-5000, 100], [160, 100], [160, 120], [-5000, 120]],
    ],
)
def test_what_cannot_be_a_plate_is_dropped(broken: list[list[float]]) -> None:
    quads = np.concatenate([np.array([broken], np.float32), quads_at((300, 200))])
    with np.errstate(all="raise"):
        found = decode(outputs(quads, [0.9, 0.8]), SAME, CONFIG)
    assert [d.score for d in found] == [pytest.approx(0.8)]


def test_a_plate_cut_by_the_border_and_a_turned_one_are_kept() -> None:
    cut_off = quads_at((-30, 100), (600, 370))
    upside_down = quads_at((300, 200))[:, [2, 3, 0, 1]]
    steep = np.array([[[100, 50], [140, 90], [130, 105], [90, 65]]], np.float32)
    quads = np.concatenate([cut_off, upside_down, steep])
    assert all(plate_like(quad, FRAME, 16) for quad in quads.tolist())
    assert len(decode(outputs(quads, [0.9] * 4), SAME, CONFIG)) == 4


@pytest.mark.parametrize("score", [np.nan, np.inf, -0.5, 3.0])
def test_scores_that_are_none_are_an_error_not_an_empty_street(score: float) -> None:
    with pytest.raises(ModelError, match="scores") as caught:
        decode(outputs(quads_at((10, 10), (100, 100)), [0.9, score]), SAME, CONFIG)
    assert "\n" not in str(caught.value)


def test_nothing_over_the_threshold_is_no_plate() -> None:
    assert decode(outputs(quads_at((10, 10)), [0.59]), SAME, CONFIG) == []
    assert decode(outputs(np.full((1, 4, 2), np.nan), [0.1]), SAME, CONFIG) == []
    assert decode(outputs(np.zeros((0, 4, 2)), []), SAME, CONFIG) == []


def test_the_least_width_counts_frame_pixels() -> None:
    fit = letterbox((1280, 768), (384, 640))
    quads = quads_at((10, 10), (200, 100), size=(9, 4))
    config = msgspec.structs.replace(CONFIG, min_width_px=17.0)
    assert len(decode(outputs(quads, [0.9, 0.8]), fit, config)) == 2
    config = msgspec.structs.replace(CONFIG, min_width_px=19.0)
    assert decode(outputs(quads, [0.9, 0.8]), fit, config) == []
