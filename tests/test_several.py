"""Several cameras as one source: recordings merged, live cameras in turns, and what is lost of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers_camera import SOLID, Clip, RtspCamera, film, mean_error, need_elements, rtsp_camera

from edge_alpr.camera import open_source
from edge_alpr.camera.several import Several, together
from edge_alpr.config import SourceConfig
from edge_alpr.errors import CameraLostError, ConfigError, SourceCorruptError, SourceNotFoundError
from edge_alpr.ports import FrameSource
from edge_alpr.types import Frame, SourceCounters, SourceInfo

NAMES = ("front", "rear", "left")
GREYS = {"front": 60, "rear": 200}


def cameras(*uris: Path | str, **settings: float) -> FrameSource:
    configs = [
        SourceConfig(uri=str(uri), camera_id=name, **settings)  # type: ignore[arg-type]
        for name, uri in zip(NAMES, uris, strict=False)
    ]
    return together(configs, open_source)


def take(frames: Iterator[Frame], count: int, busy_s: float = 0.0) -> list[tuple[str, int, float]]:
    """Camera, stamp and age in ms at their turn of the next frames."""
    taken = []
    for _, frame in zip(range(count), frames, strict=False):
        with frame:
            taken.append((frame.camera_id, frame.stamp_ns, (time.monotonic_ns() - frame.stamp_ns) / 1e6))
            time.sleep(busy_s)
    return taken


# --- recordings


def test_recordings_are_merged_by_their_stamps_and_nothing_is_dropped(tmp_path: Path) -> None:
    clips = [
        film(tmp_path / f"{name}.mp4", Clip(frames=frames, rate=rate, source=SOLID.format(grey=GREYS[name])))
        for name, frames, rate in (("front", 30, 30), ("rear", 20, 15))
    ]

    def play() -> list[tuple[str, int, int]]:
        seen = []
        with cameras(*clips) as source:
            assert (source.info.live, source.info.total_frames) == (False, 50)
            assert source.info.uri == f"{clips[0]}, {clips[1]}"
            for frame in source:
                luma_of_its_own = 16 + GREYS[frame.camera_id] * 219 / 255
                assert mean_error(frame.luma, luma_of_its_own) < 3
                seen.append((frame.camera_id, frame.index, frame.stamp_ns))
                frame.release()
            counters = source.counters
        assert (counters.frames, counters.dropped) == (50, 0)
        assert {name: each.frames for name, each in counters.cameras.items()} == {"front": 30, "rear": 20}
        return seen

    seen = play()
    stamps = [stamp for _, _, stamp in seen]
    assert stamps == sorted(stamps)
    for name, frames in (("front", 30), ("rear", 20)):
        assert [index for camera, index, _ in seen if camera == name] == list(range(frames))
    assert [camera for camera, _, _ in seen[:6]] == ["front", "rear", "front", "front", "rear", "front"]
    assert play() == seen


def test_a_recording_that_is_cut_off_does_not_end_the_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = resources.files("edge_alpr.samples").joinpath("drive.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 10])
    clip = film(tmp_path / "whole.mp4", Clip(frames=150))
    seen: Counter[str] = Counter()
    with pytest.raises(SourceCorruptError, match=r"cut\.mp4"), cameras(tmp_path / "cut.mp4", clip) as source:
        for frame in source:
            seen[frame.camera_id] += 1
    assert 0 < seen["front"] < 100 and seen["rear"] == 150
    assert "front is lost, the others go on" in caplog.text


def test_a_recording_that_does_not_open_leaves_none_open(tmp_path: Path) -> None:
    closed = []

    class Watched(Clockwork):
        def close(self) -> None:
            super().close()
            closed.append(self)

    def opener(config: SourceConfig) -> FrameSource:
        return Watched("front", 0.01) if config.camera_id == "front" else open_source(config)

    configs = [SourceConfig(camera_id="front"), SourceConfig(uri=str(tmp_path / "none.mp4"), camera_id="rear")]
    with pytest.raises(SourceNotFoundError):
        together(configs, opener)
    assert len(closed) == 1


def test_recordings_and_live_cameras_are_not_mixed(tmp_path: Path) -> None:
    need_elements("rtspsrc")
    clip = film(tmp_path / "clip.mp4", Clip(frames=2))
    with pytest.raises(ConfigError, match=r"rtsp://127\.0\.0\.1:9/front is live and .*clip\.mp4 is recorded"):
        cameras(clip, "rtsp://127.0.0.1:9/front")


# --- live cameras


class Clockwork:
    """A live camera of one frame each `period_s`, the newest of which waits; it minds that its frames are released.

    After `dies_after` frames it raises `error`.
    """

    def __init__(
        self, camera_id: str, period_s: float, dies_after: int | None = None, error: Exception | None = None
    ) -> None:
        self.info, self.counters = SourceInfo(f"clock://{camera_id}", live=True), SourceCounters()
        self.released_on: set[str] = set()
        self._camera_id = camera_id
        self._period_s = period_s
        self._dies_after, self._error = dies_after, error
        self._closed = threading.Event()
        self._lent = False

    def __iter__(self) -> Iterator[Frame]:
        begin, taken = time.monotonic(), -1
        while not self._closed.is_set():
            assert not self._lent, "the frame before is still lent"
            if self.counters.frames == self._dies_after:
                raise self._error or CameraLostError(f"{self._camera_id} went away")
            newest = max(taken + 1, int((time.monotonic() - begin) / self._period_s))
            if self._closed.wait(max(0.0, begin + newest * self._period_s - time.monotonic())):
                return
            self.counters.dropped += newest - taken - 1
            self.counters.frames += 1
            taken, self._lent = newest, True
            stamp_ns = round((begin + newest * self._period_s) * 1e9)
            luma = np.zeros((4, 4), np.uint8)
            yield Frame(luma, newest, stamp_ns, 0, self._camera_id, release=self._take_back)

    def _take_back(self) -> None:
        self.released_on.add(threading.current_thread().name)
        self._lent = False

    def close(self) -> None:
        self._closed.set()

    def __enter__(self) -> Clockwork:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.mark.parametrize("periods_s", [(0.01, 0.01, 0.01), (0.005, 0.02, 0.04)])
def test_a_slow_consumer_gives_each_camera_its_turns(periods_s: tuple[float, ...]) -> None:
    """However quick one of them is; each is done 100 ms after its turn came, and was pulled no sooner than then."""
    sources = {name: Clockwork(name, period_s) for name, period_s in zip(NAMES, periods_s, strict=True)}
    with Several(sources) as source:
        taken = take(iter(source), 30, busy_s=0.1)
        counters = source.counters
    turns = [camera for camera, _, _ in taken]
    assert all(set(turns[i : i + 3]) == set(NAMES) for i in range(6, 27)), "each once in any three turns"
    assert max(age for _, _, age in taken[6:]) < 100 + 1e3 * max(periods_s) + 50, "not two turns of others"
    for name, period_s in zip(NAMES, periods_s, strict=True):
        shown = 30 * 0.1 / period_s
        assert 0.8 * (shown - 13) <= counters.cameras[name].dropped <= 1.6 * shown
    assert counters.dropped == sum(each.dropped for each in counters.cameras.values())
    assert {name for each in sources.values() for name in each.released_on} == {"MainThread"}


def test_a_quick_consumer_loses_nothing() -> None:
    with Several({name: Clockwork(name, period_s) for name, period_s in (("front", 0.02), ("rear", 0.03))}) as source:
        taken = take(iter(source), 50)
        counters = source.counters
    assert counters.dropped <= 2, "a busy machine may sleep too long"
    assert Counter(camera for camera, _, _ in taken)["front"] == pytest.approx(30, abs=3)


def test_silent_cameras_hold_up_no_other() -> None:
    sources = {name: Clockwork(name, period_s) for name, period_s in zip(NAMES, (60.0, 60.0, 0.02), strict=True)}
    begin = time.monotonic()
    with Several(sources) as source:
        taken = take(iter(source), 30)
    assert Counter(camera for camera, _, _ in taken) == {"front": 1, "rear": 1, "left": 28}
    assert time.monotonic() - begin < 5


def test_a_camera_that_is_lost_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    sources = {"front": Clockwork("front", 0.01, dies_after=3), "rear": Clockwork("rear", 0.01)}
    with pytest.raises(CameraLostError, match="front went away"), Several(sources) as source:
        turns = [camera for camera, _, _ in take(iter(source), 30)]
        assert turns.count("front") == 3
        assert source.counters.cameras["front"].lost == "front went away"
        assert source.counters.cameras["rear"].lost == ""
    assert "front is lost, the others go on: front went away" in caplog.text


def test_when_all_are_lost_the_reading_ends_at_once() -> None:
    sources = {"front": Clockwork("front", 0.01, dies_after=3), "rear": Clockwork("rear", 0.01, dies_after=9)}
    with Several(sources) as source, pytest.raises(CameraLostError, match=r"^front went away; rear went away$"):
        take(iter(source), 1000)
    assert source.counters.frames == 12


def test_a_fault_of_the_program_is_not_taken_for_a_lost_camera() -> None:
    front = Clockwork("front", 0.01, dies_after=3, error=ZeroDivisionError())
    sources = {"front": front, "rear": Clockwork("rear", 0.01)}
    with pytest.raises(ZeroDivisionError), Several(sources) as source:
        take(iter(source), 1000)
    assert source.counters.frames < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]


def test_closing_from_another_thread_ends_all() -> None:
    need_elements("rtspsrc")
    source = cameras("rtsp://127.0.0.1:9/front", "rtsp://127.0.0.1:9/rear", reconnect_s=60)
    threading.Timer(0.7, source.close).start()
    start = time.monotonic()
    with source:
        assert list(source) == []
    assert time.monotonic() - start < 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]


# --- real network cameras


@pytest.fixture
def front() -> Iterator[RtspCamera]:
    with rtsp_camera() as running:
        yield running


@pytest.fixture
def rear() -> Iterator[RtspCamera]:
    with rtsp_camera() as running:
        yield running


def test_a_camera_that_comes_back_stops_no_other(front: RtspCamera, rear: RtspCamera) -> None:
    with cameras(front.uri, rear.uri, reconnect_s=60.0) as source:
        frames = iter(source)
        first = take(frames, 40)
        rear.kill()
        threading.Timer(2.0, rear.start).start()
        during = take(frames, 60)
        while source.counters.cameras["rear"].restarts == 0:
            during += take(frames, 1)
        after = take(frames, 1)
        while after[-1][0] == "front" and len(after) < 1000:
            after += take(frames, 1)
        after += take(frames, 40)
        counters = source.counters
    assert {camera for camera, _, _ in first} == {camera for camera, _, _ in after[-40:]} == {"front", "rear"}
    fronts = [stamp for camera, stamp, _ in during if camera == "front"]
    assert len(fronts) > 40
    assert max(b - a for a, b in pairwise(fronts)) < 1e9, "it went on without a pause"
    assert counters.cameras["rear"].restarts >= 1 and counters.cameras["front"].restarts == 0
    assert counters.restarts == counters.cameras["rear"].restarts
    assert counters.last_restart.startswith("rear: ")


def test_a_camera_that_stays_away_is_told_and_the_other_goes_on(
    front: RtspCamera, rear: RtspCamera, caplog: pytest.LogCaptureFixture
) -> None:
    source = cameras(front.uri, rear.uri, reconnect_s=1.5)
    with pytest.raises(CameraLostError, match=r"no picture for 1\.5 s"), source:
        frames = iter(source)
        take(frames, 20)
        rear.kill()
        while not source.counters.cameras["rear"].lost:
            take(frames, 1)
        assert {camera for camera, _, _ in take(frames, 30)} == {"front"}
    assert f"rear is lost, the others go on: {rear.uri}" in caplog.text


def test_a_slow_consumer_of_two_cameras_sees_new_pictures_of_both(front: RtspCamera, rear: RtspCamera) -> None:
    with cameras(front.uri, rear.uri) as source:
        frames = iter(source)
        first = take(frames, 20)
        before = source.counters
        begin = time.monotonic()
        taken = take(frames, 30, busy_s=0.15)
        passed_s = time.monotonic() - begin
        counters = source.counters
    turns = Counter(camera for camera, _, _ in taken)
    assert abs(turns["front"] - turns["rear"]) <= 2
    for name in ("front", "rear"):
        delay = min(age for camera, _, age in first if camera == name)
        ages = [age for camera, _, age in taken if camera == name]
        assert max(ages) < delay + 150 + 250, "as old as the other camera's turn and a picture, on a busy machine"
        lost = counters.cameras[name].dropped - before.cameras[name].dropped
        assert 0.4 * (30 * passed_s - turns[name]) < lost < 1.2 * 30 * passed_s
