"""Network cameras: a real RTSP server on loopback, killed, frozen and started again."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from helpers_camera import RtspCamera, need_elements, opened, rtsp_camera

from edge_alpr.camera.live import Camera, Live, redact
from edge_alpr.camera.offers import offers
from edge_alpr.camera.pipelines import PLANAR, Offer, Plan, sink
from edge_alpr.config import SourceConfig
from edge_alpr.errors import CameraLostError, SourceError, SourceNotFoundError
from edge_alpr.types import Frame

PATIENCE_S = 30.0
COLOURED = "videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48 ! pngenc snapshot=false ! pngdec"
"""A camera whose decoder gives a format without a luma plane."""


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    with rtsp_camera() as running:
        yield running


def take(frames: Iterator[Frame], count: int) -> list[tuple[int, int, int]]:
    """Index, stamp and epoch of the next frames."""
    taken = []
    for _ in range(count):
        frame = next(frames)
        taken.append((frame.index, frame.stamp_ns, frame.epoch_ms))
        frame.release()
    return taken


def test_frames_of_a_network_camera_carry_its_time(camera: RtspCamera) -> None:
    with opened(camera.uri) as source:
        assert source.info.live and source.info.total_frames is None
        frames = iter(source)
        first = next(frames)
        assert first.luma.shape == (240, 320) and len(first.chroma) == 2 and not first.luma.flags.writeable
        taken = take(frames, 20)
        delay_s = (time.monotonic_ns() - taken[-1][1]) / 1e9
    assert [index for index, _, _ in taken] == list(range(1, 21))
    steps = [b[1] - a[1] for a, b in pairwise(taken)]
    assert min(steps) > 0
    assert -0.1 < delay_s < 10, "stamps are of the monotonic clock"
    assert abs(time.time() * 1e3 - taken[-1][2] - delay_s * 1e3) < 10_000, "epochs are of the wall clock"


def test_a_slow_reader_gets_the_newest_frame_and_the_others_are_counted(camera: RtspCamera) -> None:
    with opened(camera.uri) as source:
        frames = iter(source)
        take(frames, 3)
        dropped = source.counters.dropped
        start = time.monotonic()
        stamps = []
        for _ in range(4):
            time.sleep(0.5)
            stamps.append(take(frames, 1)[0][1])
        passed_s = time.monotonic() - start
        lost = source.counters.dropped - dropped
    assert stamps == sorted(stamps)
    assert 0.3 * 30 * passed_s < lost < 1.2 * 30 * passed_s, "nearly all of 30 a second"
    assert source.counters.restarts == 0


def test_a_camera_that_was_cut_off_comes_back(camera: RtspCamera, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), opened(camera.uri, reconnect_s=PATIENCE_S) as source:
        frames = iter(source)
        before = take(frames, 5)
        camera.kill()
        threading.Timer(1.0, camera.start, kwargs={"width": 640, "height": 360}).start()
        while source.counters.restarts == 0 and len(before) < 300:
            before += take(frames, 1)
        after = take(frames, 5)
        size = next(frames).luma.shape
    counters = source.counters
    assert counters.restarts >= 1 and counters.last_restart and "\n" not in counters.last_restart
    assert [index for index, _, _ in before + after] == list(range(len(before + after)))
    stamps = [stamp for _, stamp, _ in before + after]
    assert stamps == sorted(set(stamps))
    assert size == (360, 640) and counters.caps_changes == 1, "it came back with another picture"
    assert "trying again in" in caplog.text


def test_a_camera_that_sends_nothing_is_started_again(camera: RtspCamera) -> None:
    with opened(camera.uri, stall_s=1.5, reconnect_s=PATIENCE_S) as source:
        frames = iter(source)
        take(frames, 3)
        camera.freeze()
        threading.Timer(3.0, camera.thaw).start()
        while source.counters.restarts == 0 and source.counters.frames < 300:
            take(frames, 1)
        take(frames, 3)
    assert source.counters.restarts >= 1


def test_a_camera_that_stays_away_is_lost() -> None:
    need_elements("rtspsrc")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    start = time.monotonic()
    uri = f"rtsp://driver:secret@127.0.0.1:{port}/front"
    with opened(uri, reconnect_s=1.2) as source, pytest.raises(CameraLostError) as caught:
        next(iter(source))
    text = str(caught.value)
    assert text.startswith(f"rtsp://***@127.0.0.1:{port}/front: no picture for 1.2 s (") and "\n" not in text
    assert "check its power" in text and "secret" not in text + source.counters.last_restart + source.info.uri
    assert 1.2 <= time.monotonic() - start < 6
    assert source.counters.restarts >= 1


def test_closing_from_another_thread_ends_the_iteration() -> None:
    need_elements("rtspsrc")
    source = opened("rtsp://127.0.0.1:9/front", reconnect_s=60)
    assert isinstance(source, Live)
    threading.Timer(0.7, source.close).start()
    start = time.monotonic()
    assert list(source) == []
    assert time.monotonic() - start < 5


def test_passwords_are_not_shown() -> None:
    assert redact("open rtsp://me:pa@ss@10.0.0.7/x failed") == "open rtsp://***@10.0.0.7/x failed"
    assert redact("rtsp://10.0.0.7/x?a=b@c") == "rtsp://10.0.0.7/x?a=b@c"


def test_a_local_camera_that_vanishes_is_started_again_until_it_is_lost() -> None:
    """The device ends after five frames, each time; then it is gone for good."""
    starts = []

    def plan(_convert: bool) -> Plan:
        starts.append(1)
        if len(starts) == 2:
            raise SourceNotFoundError("there is no test://me:secret@camera")
        source = "videotestsrc is-live=true num-buffers=5" if len(starts) < 4 else 'filesrc location="/dev/no-camera"'
        return Plan(f"{source} ! video/x-raw,format=GRAY8 ! {sink(live=True)}", ("appsink",))

    need_elements("videotestsrc", "appsink")
    source = Live(Camera("test://camera", plan, "plug it in"), SourceConfig(reconnect_s=2.0), lambda: 0)
    frames, reasons = [], []
    with source, pytest.raises(CameraLostError, match="plug it in"):
        for frame in source:
            frames.append(frame.index)
            reasons.append(source.counters.last_restart)
    assert frames == list(range(len(frames))) and 2 <= len(frames) <= 10
    assert reasons[0] == "" and reasons[-1] == "there is no test://***@camera"
    assert len(starts) >= 4 and source.counters.restarts == len(starts) - 1


def test_a_camera_without_a_luma_plane_is_converted_from_the_second_start_on() -> None:
    asked = []

    def plan(convert: bool) -> Plan:
        asked.append(convert)
        return Plan(f"{COLOURED} {'! videoconvert' if convert else ''} ! {sink(live=True)}", ("appsink",))

    need_elements("videotestsrc", "videoconvert", "pngenc", "pngdec")
    with Live(Camera("test://camera", plan, "plug it in"), SourceConfig(reconnect_s=5), lambda: 0) as source:
        assert next(iter(source)).luma.shape == (48, 64)
    assert asked == [False, True] and source.counters.restarts == 1
    assert "no 8-bit luma plane" in source.counters.last_restart


def test_what_trying_again_does_not_mend_is_raised_at_once() -> None:
    need_elements("videotestsrc", "appsink", "pngenc", "pngdec")
    camera = Camera("test://camera", lambda _: Plan(f"{COLOURED} ! {sink(live=True)}", ("appsink",)), "plug it in")
    with Live(camera, SourceConfig(), lambda: 0) as source, pytest.raises(SourceError) as caught:
        next(iter(source))
    assert not isinstance(caught.value, CameraLostError)
    assert str(caught.value) == "test://camera: the pictures have no 8-bit luma plane; plug it in"


def test_a_camera_is_asked_what_it_offers() -> None:
    need_elements("videotestsrc")
    found = offers("videotestsrc")
    assert {Offer("video/x-raw", name) for name in PLANAR} <= set(found)
    assert Offer("video/x-raw", "YUY2") in found and len(found) == len(set(found))
