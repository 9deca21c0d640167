"""Following plates: by motion at 30 fps, by text at a frame a second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers_traffic import Vehicle, drive, observation, slots_of
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_alpr.config import TrackConfig
from edge_alpr.evidence import NONE, UNREAD
from edge_alpr.stages.track import CameraMotion, Tracker
from edge_alpr.types import Floats, Luma, Observation, Sighting

FRAME_NS = 33_333_333
SECOND_NS = 1_000_000_000


def plate(text: str, x: float = 600, y: float = 400, sure: float = 0.98, height: float = 20) -> Observation:
    """A plate with its centre at (x, y); an empty text is one that the reader made nothing of."""
    slots = slots_of(text, sure) if text else np.zeros((0, NONE + 1), np.float32)
    return observation(slots, (x - 2.3 * height, y - height / 2, x + 2.3 * height, y + height / 2))


def follow(
    tracker: Tracker, frames: Sequence[Sequence[Observation]], step_ns: int = FRAME_NS
) -> list[list[Sighting]]:
    return [tracker.update(seen, i * step_ns, 1000 + i, "front") for i, seen in enumerate(frames)]


def ids(sightings: Sequence[Sighting]) -> list[int]:
    return [sighting.track_id for sighting in sightings]


def test_a_plate_keeps_its_track_and_the_last_sighting_says_lost() -> None:
    tracker = Tracker(TrackConfig(max_gap_s=0.5))
    frames = [[plate("B69BMA", 600 + 3 * i)] if i % 3 else [] for i in range(1, 20)]
    seen = [s for sightings in follow(tracker, frames) for s in sightings]
    assert set(ids(seen)) == {1}
    assert (seen[-1].reads, seen[-1].agreement, seen[-1].lost) == (13, 1.0, False)
    (lost,) = tracker.update([], 3 * SECOND_NS, 4000, "front")
    assert (lost.lost, lost.current, lost.track_id, lost.epoch_end) == (True, None, 1, 1018)
    assert lost.last_stamp_ns == 18 * FRAME_NS
    assert tracker.flush() == []


def test_flush_ends_every_track() -> None:
    tracker = Tracker(TrackConfig())
    follow(tracker, [[plate("B69BMA"), plate("IF14UPS", 200)]])
    assert [s.lost for s in tracker.flush()] == [True, True]
    assert tracker.flush() == []


def test_sightings_come_in_the_order_of_the_observations_ended_ones_first() -> None:
    tracker = Tracker(TrackConfig(max_gap_s=0.01))
    follow(tracker, [[plate("B69BMA")]])
    seen = tracker.update([plate("IF14UPS", 200), plate("TR95XMI", 900)], SECOND_NS, 2000, "front")
    assert [(s.lost, s.read.plate) for s in seen] == [(True, "B69BMA"), (False, "IF14UPS"), (False, "TR95XMI")]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(2, 25))
def test_tracks_survive_a_shaking_camera_when_told_its_motion(seed: int, shake_px: float) -> None:
    rng = np.random.default_rng(seed)
    vehicles = [
        Vehicle(text, np.random.default_rng(seed + i), 0, 1.2, (200 + 300 * i, 380), (220 + 300 * i, 400), (16, 20))
        for i, text in enumerate(("B69BMA", "IF14UPS", "TR95XMI"))
    ]
    tracker, owners = Tracker(TrackConfig()), {v.text: set[int]() for v in vehicles}
    for stamp, seen, motion in drive(vehicles, 30, rng, shake_px):
        unread = [observation(slots_of("", 1.0, 1), _box(o)) for o in seen]  # motion alone
        for sighting, before in zip(tracker.update(unread, stamp, 0, "front", motion), seen, strict=True):
            x = float(before.detection.quad[:, 0].mean())
            nearest = min(vehicles, key=lambda v: abs(v.start[0] + 10 - x))
            owners[nearest.text].add(sighting.track_id)
    assert sorted(len(tracks) for tracks in owners.values()) == [1, 1, 1]


def _box(seen: Observation) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = seen.detection.quad.min(axis=0), seen.detection.quad.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def test_without_the_camera_s_motion_a_hard_bump_breaks_an_unread_track() -> None:
    bump = np.array([[1, 0, 0], [0, 1, 60]], np.float32)
    for motion, expected in ((bump, 1), (None, 2)):
        tracker = Tracker(TrackConfig())
        follow(tracker, [[plate("", y=400)]] * 10)
        (seen,) = tracker.update([plate("", y=460)], 10 * FRAME_NS, 0, "front", motion)
        assert seen.track_id == expected


def test_two_plates_that_cross_keep_their_texts() -> None:
    tracker = Tracker(TrackConfig())
    frames = [
        [plate("B69BMA", 500 + 10 * i, 400 + (i % 3)), plate("IF14UPS", 700 - 10 * i, 404)] for i in range(21)
    ]
    seen = follow(tracker, frames)
    assert all(ids(sightings) == [1, 2] for sightings in seen)
    assert [s.read.plate for s in seen[-1]] == ["B69BMA", "IF14UPS"]


def test_at_a_frame_a_second_the_text_joins_what_jumps_far() -> None:
    tracker = Tracker(TrackConfig())
    places = [(300, 400), (700, 520), (1100, 380), (500, 600)]
    frames = [[plate("IF14UPS", 1300 - x, y), plate("B69BMA", x, y)] for x, y in places]
    assert [ids(s) for s in follow(tracker, frames, SECOND_NS)] == [[1, 2]] * 4


def test_at_a_frame_a_second_another_text_in_the_same_place_is_another_vehicle() -> None:
    tracker = Tracker(TrackConfig())
    seen = follow(tracker, [[plate("B69BMA")], [plate("IF14UPS")], [plate("B69BHA")]], SECOND_NS)
    assert [ids(s) for s in seen] == [[1], [2], [1]]  # the third is the first, with one character misread


def test_a_plate_nobody_can_read_is_left_to_motion() -> None:
    tracker = Tracker(TrackConfig())
    frames = [[plate("" if i % 2 else "B69BMA", 600 + 4 * i)] for i in range(10)]
    seen = follow(tracker, frames)
    assert {i for s in seen for i in ids(s)} == {1}
    assert (seen[-1][0].reads, seen[-1][0].read.plate) == (5, "B69BMA")


def test_one_frame_of_rubbish_stays_in_the_track_and_changes_nothing() -> None:
    tracker = Tracker(TrackConfig())
    texts = ["B69BMA"] * 5 + ["XXW77KKL"] + ["B69BMA"] * 5
    seen = follow(tracker, [[plate(text)] for text in texts])
    assert {i for s in seen for i in ids(s)} == {1}
    assert seen[5][0].read.plate == "B69BMA"
    assert seen[-1][0].read.plate == "B69BMA"
    assert seen[-1][0].agreement == pytest.approx(10 / 11)


def test_another_vehicle_in_the_place_of_the_first_gets_its_own_track() -> None:
    tracker = Tracker(TrackConfig())
    seen = follow(tracker, [[plate(text)] for text in ["B69BMA"] * 6 + ["IF14UPS"] * 6])
    assert seen[-1][0].track_id == 2
    assert seen[-1][0].read.plate == "IF14UPS"
    assert [s.read.plate for s in tracker.flush()] == ["B69BMA", "IF14UPS"]


def test_a_stamp_that_goes_back_ends_all_tracks() -> None:
    tracker = Tracker(TrackConfig())
    tracker.update([plate("B69BMA")], 90 * SECOND_NS, 0, "front")
    seen = tracker.update([plate("B69BMA")], 2 * SECOND_NS, 0, "front")
    assert [(s.track_id, s.lost) for s in seen] == [(1, True), (2, False)]


def test_a_stamp_that_stands_still_is_no_error() -> None:
    tracker = Tracker(TrackConfig())
    assert [ids(s) for s in follow(tracker, [[plate("B69BMA")]] * 3, 0)] == [[1]] * 3


def test_too_many_tracks_end_the_longest_unseen_and_are_counted() -> None:
    tracker = Tracker(TrackConfig(max_tracks=3))
    follow(tracker, [[plate("", 150 + 300 * i)] for i in range(3)])
    seen = tracker.update([plate("", 150, 600), plate("", 1000, 600)], 3 * FRAME_NS, 0, "front")
    assert [(s.track_id, s.lost) for s in seen] == [(1, True), (2, True), (4, False), (5, False)]
    assert tracker.evicted == 2
    assert len(tracker.flush()) == 3


def test_best_is_a_clear_picture_that_shows_the_text() -> None:
    blurred = observation(slots_of("B69BMA", 0.9), (500, 380, 640, 410), sharpness=0.01)
    clear = observation(slots_of("B69BMA", 0.95), (500, 380, 620, 406), sharpness=0.6)
    larger_misread = observation(slots_of("869BHA", 0.8), (500, 380, 660, 416), sharpness=0.6)
    cut = observation(slots_of("B69BMA", 0.95), (-30, 380, 130, 416), sharpness=0.6)
    tracker = Tracker(TrackConfig())
    frames = [[blurred], [clear], [larger_misread], [blurred]]
    seen = [s for sightings in follow(tracker, frames) for s in sightings]
    assert seen[-1].read.plate == "B69BMA"
    assert [s.best_is_new for s in seen] == [True, True, False, False]
    assert all(s.best is clear for s in seen[1:])
    other = Tracker(TrackConfig())
    assert [s.best is clear for s in (follow(other, [[clear], [cut]])[-1])] == [True]


@pytest.mark.parametrize(("step_ns", "left"), [(FRAME_NS, "B69"), (SECOND_NS, "B6")])
def test_the_rest_of_a_plate_at_the_border_does_not_change_its_text(step_ns: int, left: str) -> None:
    boxes = [(1150.0 + 8 * i, 380.0, 1250.0 + 8 * i, 402.0) for i in range(12)]
    whole = [observation(slots_of("B69BMA", 0.9), box) for box in boxes[:4]]
    rest = [observation(slots_of(left, 0.98), box) for box in boxes[4:]]
    assert rest[0].crop.clipped
    tracker = Tracker(TrackConfig())
    last = follow(tracker, [[seen] for seen in [*whole, *rest]], step_ns)[-1][0]
    assert (last.track_id, last.read.plate) == (1, "B69BMA")


def test_following_is_quick() -> None:
    tracker = Tracker(TrackConfig())
    frames = [[plate(f"B{i}9BM{i}", 60 + 75 * i, 300 + 40 * (i % 4)) for i in range(16)] for _ in range(10)]
    times = []
    for i, seen in enumerate(frames):
        start = time.thread_time()
        assert len(tracker.update(seen, i * FRAME_NS, 0, "front")) == 16
        times.append(time.thread_time() - start)
    assert min(times[1:]) < 0.1  # sixteen plates in one frame; about 15 ms on a quiet core


def textured(seed: int = 1, size: tuple[int, int] = (720, 1280)) -> Luma:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (size[0] // 24, size[1] // 24), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.uint8)


def moved(luma: Luma, matrix: Floats) -> Luma:
    size = (luma.shape[1], luma.shape[0])
    return np.asarray(cv2.warpAffine(luma, matrix, size, borderMode=cv2.BORDER_REFLECT), np.uint8)


def shift(camera: CameraMotion, luma: Luma) -> Floats:
    camera.follow(camera.look(luma))
    return camera.shift()


@pytest.mark.parametrize("angle", [0.0, 1.5])
def test_camera_motion_is_found(angle: float) -> None:
    matrix = np.asarray(cv2.getRotationMatrix2D((640, 360), angle, 1.01), np.float32)
    matrix[:, 2] += (14, -22)
    camera = CameraMotion()
    shift(camera, textured())
    found = shift(camera, moved(textured(), matrix))
    points = np.array([[300, 200, 1], [900, 400, 1]], np.float32).T
    assert np.abs(found @ points - matrix @ points).max() < 1.5


def test_camera_motion_is_identity_where_it_cannot_tell() -> None:
    identity = np.eye(2, 3)
    camera = CameraMotion()
    black = np.zeros((720, 1280), np.uint8)
    pictures = [textured(1), textured(2), black, black, textured(1, (480, 640)), np.zeros((1, 1), np.uint8)]
    for luma in pictures:
        assert np.array_equal(shift(camera, luma), identity)


@pytest.mark.parametrize("size", [(720, 1280), (180, 320)])
def test_camera_motion_keeps_nothing_of_a_lent_frame(size: tuple[int, int]) -> None:
    camera, lent = CameraMotion(), textured(size=size)
    shift(camera, lent)
    lent[:] = 0  # the buffer goes back to its owner
    by_4 = np.array([[1, 0, 4], [0, 1, 0]], np.float32)
    assert shift(camera, moved(textured(size=size), by_4))[0, 2] == pytest.approx(4, abs=0.5)


def test_camera_motion_is_quick() -> None:
    frames = [moved(textured(), np.array([[1, 0, 3 * i], [0, 1, i]], np.float32)) for i in range(12)]
    camera, times = CameraMotion(), []
    for luma in frames:
        start = time.thread_time()
        shift(camera, luma)
        times.append(time.thread_time() - start)
    assert min(times[1:]) < 5e-3  # 1.1 ms on a quiet core


# --- frames that are not searched, plates that are not read


@pytest.mark.parametrize("every", [2, 3, 5])
def test_a_frame_that_is_not_searched_breaks_no_track(every: int) -> None:
    rng = np.random.default_rng(every)
    vehicles = [
        Vehicle(text, np.random.default_rng(i), 0, 2.0, (200 + 300 * i, 380), (300 + 300 * i, 420), (16, 20))
        for i, text in enumerate(("B69BMA", "IF14UPS", "TR95XMI"))
    ]
    tracker, seen_ids = Tracker(TrackConfig()), set[int]()
    for index, (stamp, seen, motion) in enumerate(drive(vehicles, 30, rng, 12.0)):
        if index % every:
            tracker.coast(stamp, motion)
            continue
        blind = [replace(o, read=UNREAD) for o in seen]  # motion alone
        seen_ids |= set(ids(tracker.update(blind, stamp, 0, "front", motion)))
    assert len(seen_ids) == 3


def test_frames_that_are_not_searched_are_no_miss() -> None:
    tracker = Tracker(TrackConfig(max_gap_s=2.5))
    tracker.update([plate("B69BMA")], 0, 0, "front")
    for second in (1, 2, 3):
        tracker.coast(second * SECOND_NS, None)
    assert tracker.update([], 4 * SECOND_NS, 4000, "front") == []
    for second in (5, 6, 7):
        tracker.coast(second * SECOND_NS, None)
    (ended,) = tracker.update([], 8 * SECOND_NS, 8000, "front")
    assert ended.lost and ended.last_stamp_ns == 0


def test_a_plate_that_is_not_read_keeps_its_track_and_loses_nothing() -> None:
    read, spared = Tracker(TrackConfig()), Tracker(TrackConfig())
    for index in range(9):
        seen, stamp = plate("B69BMA", 600 + 4 * index, sure=0.6), index * SECOND_NS // 4
        unread = replace(seen, read=UNREAD)
        (now,) = spared.update([seen if index % 4 == 0 else unread], stamp, index, "front")
        if index % 4 == 0:
            (all_read,) = read.update([seen], stamp, index, "front")
    assert (now.track_id, now.reads, now.agreement) == (1, 3, 1.0) == (1, all_read.reads, all_read.agreement)
    assert now.read.score == pytest.approx(all_read.read.score), "views count by the time between reads"
    assert now.best.read is not UNREAD


def test_a_track_that_begins_unread_is_read_later() -> None:
    tracker = Tracker(TrackConfig())
    (first,) = tracker.update([replace(plate("B69BMA"), read=UNREAD)], 0, 0, "front")
    assert (first.read.plate, first.reads, first.agreement) == ("", 0, 0.0)
    (second,) = tracker.update([plate("B69BMA")], FRAME_NS, 1, "front")
    assert (second.track_id, second.read.plate, second.reads) == (first.track_id, "B69BMA", 1)
    assert second.best.read.plate == "B69BMA"


def test_new_plates_are_worth_most_then_unsure_ones_and_a_sure_one_has_its_turn() -> None:
    tracker = Tracker(TrackConfig())
    sure, unsure, new = plate("B69BMA", 200), plate("IF14UPS", 600, sure=0.7), plate("TR95XMI", 1000)
    for index in range(10):
        tracker.update([sure, unsure], index * FRAME_NS, index, "front")
    seen, orders = [sure, unsure, new], []
    for index in range(10, 200):
        stamp = index * FRAME_NS
        orders.append(tracker.by_worth([o.detection for o in seen], stamp, None))
        first = orders[-1][0]
        shown = [o if i == first else replace(o, read=UNREAD) for i, o in enumerate(seen)]
        tracker.update(shown, stamp, index, "front")
    assert orders[0] == [2, 1, 0]
    turns = [order[0] for order in orders]
    assert 0 < turns.count(0) < turns.count(1)


def test_a_plate_is_known_where_its_track_is_foretold() -> None:
    tracker = Tracker(TrackConfig())
    for index in range(12):
        tracker.update([plate("B69BMA", 200 + 40 * index)], index * FRAME_NS, index, "front")
    there, far = plate("", 200 + 40 * 16).detection, plate("", 200).detection
    assert tracker.by_worth([there, far], 16 * FRAME_NS, None) == [1, 0], "the one that moved on is no new plate"
    moved = np.array([[1, 0, -440], [0, 1, 0]], np.float32)
    assert tracker.by_worth([far, there], 12 * FRAME_NS, moved) == [1, 0]
