"""Heartbeats: what they say, that they come, and that nothing waits for them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest
from helpers_camera import rtsp_camera

from edge_alpr import __version__
from edge_alpr.config import Config, GovernorConfig, LearningConfig, OutputConfig, SourceConfig, StoreConfig
from edge_alpr.device import BoardReading
from edge_alpr.doctor.drive import heartbeat as examine_drive
from edge_alpr.drive import Drive, Screen
from edge_alpr.errors import CameraLostError, SinkError
from edge_alpr.hotlist.status import ListStatus, Status
from edge_alpr.ops.governor import Conditions, Governor
from edge_alpr.ops.heart import Heart, Signs
from edge_alpr.ops.heart_sinks import newest_in
from edge_alpr.ops.heartbeat import (
    CameraBeat,
    Heartbeat,
    LevelBeat,
    ListBeat,
    Mark,
    camera_beats,
    keeping_up,
    list_beats,
    percentiles,
)
from edge_alpr.ops.steering import Sensors
from edge_alpr.timings import Recent
from edge_alpr.types import SourceCounters

PATIENCE_S = 30.0
GOOD = CameraBeat(camera_id="front", frames=30, fps=30.0, dropped=0, restarts=0, last_restart="", lost="")
FULL = LevelBeat(place=0, of=5, name="full", reason="", changes=0)
LESS = LevelBeat(place=2, of=5, name="half", reason="p99 41.0 ms over 33 ms", changes=2)


def until(done: Callable[[], bool]) -> None:
    """Wait for it, but not for ever."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


# --- what is said


def test_a_camera_is_told_by_what_it_did_in_the_interval() -> None:
    then = Mark.of({"front": SourceCounters(100, 5, 1)}, 10.0)
    cameras = {"front": SourceCounters(145, 8, 2, last_restart="no picture for 10 s"), "rear": SourceCounters(30)}
    front, rear = camera_beats(then, Mark.of(cameras, 12.0), cameras)
    assert front == CameraBeat(
        camera_id="front", frames=45, fps=22.5, dropped=3, restarts=1, last_restart="no picture for 10 s", lost=""
    )
    assert (rear.camera_id, rear.frames, rear.fps) == ("rear", 30, 15.0)
    assert camera_beats(then, replace_at(then, 10.0), {"front": SourceCounters()})[0].fps == 0


def replace_at(mark: Mark, at_s: float) -> Mark:
    return msgspec.structs.replace(mark, at_s=at_s)


@pytest.mark.parametrize(
    ("cameras", "level", "so"),
    [
        ([GOOD], FULL, True),
        ([GOOD, GOOD], None, True),
        ([GOOD], LESS, False),
        ([GOOD, msgspec.structs.replace(GOOD, frames=0, fps=0.0)], FULL, False),
        ([GOOD, msgspec.structs.replace(GOOD, dropped=1)], FULL, False),
        ([], FULL, False),
    ],
)
def test_it_keeps_up_where_all_is_done_for_each_frame_of_each_camera(
    cameras: list[CameraBeat], level: LevelBeat | None, so: bool
) -> None:
    assert keeping_up(cameras, level) is so


def test_percentiles_of_nothing_are_not_known() -> None:
    assert percentiles([]) == (None, None)
    assert percentiles([10.0] * 99 + [50.0]) == (10.0, pytest.approx(10.4))


# --- that they come


class Street:
    """A drive's signs, as a test wishes; hears what is told."""

    def __init__(self) -> None:
        self.front = SourceCounters()
        self.board = BoardReading(7.4, 61.5, "15W")
        self.beats: list[Heartbeat] = []
        self.spent = Recent(64)

    def heart(self, every_s: float, *more: Callable[[Heartbeat], None]) -> Heart:
        cameras, models = {"front": self.front}, {"detector": "onnxruntime-cpu:1f3a"}
        signs = Signs("car-7", lambda: cameras, lambda: self.board, lambda: (3, 1), lambda: models, self.spent)
        return Heart(signs, [*more, self.beats.append], every_s)


def test_a_heartbeat_says_how_the_drive_is() -> None:
    street = Street()
    heart = street.heart(0.3)
    heart.govern(Governor(GovernorConfig()))
    for ms in (10.0, 20.0, 30.0):
        street.front.frames += 1
        street.spent.add(ms)
    with heart:
        until(lambda: bool(street.beats))
    first, last = street.beats[0], street.beats[-1]
    told = datetime.fromisoformat(first.timestamp.replace("Z", "+00:00"))
    assert abs((datetime.now(timezone.utc) - told).total_seconds()) < PATIENCE_S
    assert first == Heartbeat(
        device_id="car-7", timestamp=first.timestamp, running=True, error="", keeping_up=True, uptime_s=first.uptime_s,
        interval_s=first.interval_s, cameras=(replace_frames(GOOD, 3, first.interval_s),), p50_ms=20.0, p99_ms=29.8,
        level=FULL, board=first.board, rss_mb=first.rss_mb, confirmed=3, withdrawn=1,
        models={"detector": "onnxruntime-cpu:1f3a"}, software=__version__,
    )  # fmt: skip
    assert (first.board.watts, first.board.celsius, first.board.power_mode) == (7.4, 61.5, "15W")
    assert first.rss_mb is not None and first.rss_mb > 10
    assert [beat.running for beat in street.beats] == [True] * (len(street.beats) - 1) + [False] and not last.running


def replace_frames(beat: CameraBeat, frames: int, seconds: float) -> CameraBeat:
    return msgspec.structs.replace(beat, frames=frames, fps=pytest.approx(frames / seconds, rel=0.05))


def test_hot_lists_are_told_with_their_age_and_what_is_wrong() -> None:
    hour_ms = 3_600_000
    good = ListStatus("stolen", "stolen.csv", 4, 1, 5, "", "", "", "", 100 * hour_ms, 0, 130 * hour_ms, "not taken")
    status = Status(0, 0.1, 0.5, (good,), {"wanted.csv": "not signed"})
    stolen = ListBeat(name="stolen", entries=4, age_h=29.5, stale=False, trouble="not taken")
    wanted = ListBeat(name="wanted.csv", entries=0, age_h=0.0, stale=False, trouble="not signed")
    assert list_beats(status, round(129.5 * hour_ms)) == (stolen, wanted)
    assert list_beats(status, 130 * hour_ms)[0].stale
    assert list_beats(None, 0) == ()


def test_however_seldom_they_are_the_first_comes_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_alpr.ops.heart.FIRST_S", 0.2)
    street = Street()
    with street.heart(3600):
        until(lambda: bool(street.beats))
        time.sleep(0.3)
    assert [beat.running for beat in street.beats] == [True, False]


def test_the_last_one_says_what_went_wrong() -> None:
    street = Street()
    with pytest.raises(CameraLostError), street.heart(3600):
        raise CameraLostError("rtsp://10.0.0.7/front: no picture for 120 s")
    last = street.beats[-1]
    assert (last.running, last.error) == (False, "rtsp://10.0.0.7/front: no picture for 120 s")


def test_they_come_while_no_frame_does_and_say_so() -> None:
    street = Street()
    heart = street.heart(0.2)
    street.front.frames += 9
    street.spent.add(12.0)
    with heart:
        until(lambda: len(street.beats) >= 4)
    assert street.beats[0].keeping_up and street.beats[0].cameras[0].frames == 9
    still = street.beats[3]
    assert (still.keeping_up, still.cameras[0].frames, still.cameras[0].fps, still.p99_ms) == (False, 0, 0.0, None)
    assert still.interval_s < still.uptime_s


def test_a_change_of_level_is_told_at_once() -> None:
    street, governor = Street(), Governor(GovernorConfig(p99_ms=33))
    with street.heart(3600) as heart:
        street.front.frames += 30
        for second, p99_ms in enumerate((20, 41, 20, 42, 20)):
            governor.decide(Conditions(p99_ms=p99_ms), second * 2.0)
            heart.govern(governor)
            until(lambda: len(street.beats) == governor.changes)
    levels = [beat.level for beat in street.beats]
    assert [(x.place, x.of, x.name, x.reason, x.changes) for x in levels if x] == [
        (1, 5, "fewer reads", "p99 41.0 ms over 33 ms", 1),
        (2, 5, "half", "p99 42.0 ms over 33 ms", 2),
        (2, 5, "half", "p99 42.0 ms over 33 ms", 2),
    ]
    assert not any(beat.keeping_up for beat in street.beats)


def test_a_sink_that_fails_or_hangs_holds_up_neither_frames_nor_the_other_sinks() -> None:
    street, stuck = Street(), threading.Event()

    def fail(beat: Heartbeat) -> None:
        raise OSError("no room")

    with street.heart(0.05, fail):
        until(lambda: len(street.beats) >= 3)
    with street.heart(0.05, lambda beat: stuck.wait(PATIENCE_S) and None) as heart:
        time.sleep(0.2)
        governor = Governor(GovernorConfig(p99_ms=33))
        governor.decide(Conditions(p99_ms=50), 0.0)
        begun = time.perf_counter()
        for _ in range(1000):
            heart.govern(governor)
        assert time.perf_counter() - begun < 0.5
        stuck.set()


def test_the_newest_lies_whole_in_its_file(tmp_path: Path) -> None:
    street, path = Street(), tmp_path / "heartbeat.json"
    seen = set()
    with street.heart(0.01, newest_in(path)):
        until(path.exists)
        for _ in range(300):
            seen.add(msgspec.json.decode(path.read_bytes(), type=Heartbeat).uptime_s)
            time.sleep(0.001)
    assert len(seen) > 2
    assert msgspec.json.decode(path.read_bytes(), type=Heartbeat) == street.beats[-1]
    assert [file.name for file in tmp_path.iterdir()] == ["heartbeat.json"]


# --- in real drives


def config(folder: Path, uri: str, heartbeat: str = "", every_s: float = 0.5) -> Config:
    return Config(
        source=SourceConfig(uri=uri, camera_id="front"),
        store=StoreConfig(path=str(folder / "store"), device_id="car-7"),
        output=OutputConfig(heartbeat=heartbeat, heartbeat_s=every_s),
        learning=LearningConfig(watch_drift=False),
    )


def beats_in(path: Path) -> list[Heartbeat]:
    return [msgspec.json.decode(line, type=Heartbeat) for line in path.read_bytes().splitlines()]


def test_a_camera_that_freezes_is_no_empty_street(tmp_path: Path) -> None:
    """Its connection stands and nothing comes, and the board's sensor hangs besides."""
    lines, stuck = tmp_path / "beats.jsonl", threading.Event()

    def board() -> BoardReading:
        stuck.wait()
        return BoardReading()

    def stands_still() -> bool:
        return any(beat.cameras[0].frames == 0 for beat in beats_in(lines)[3:])

    with rtsp_camera() as camera:
        drive = Drive(config(tmp_path, camera.uri, str(lines)), Screen(), sensors=Sensors(board))
        thread = threading.Thread(target=drive.run)
        thread.start()
        until(lambda: lines.exists() and any(beat.keeping_up for beat in beats_in(lines)))
        camera.freeze()
        until(stands_still)
        drive.stop()
        camera.thaw()
        thread.join(PATIENCE_S)
        stuck.set()
    assert not thread.is_alive()
    beats = beats_in(lines)
    good = next(beat for beat in beats if beat.keeping_up)
    assert good.device_id == "car-7" and good.cameras[0].camera_id == "front" and good.cameras[0].fps > 5
    assert good.level == FULL and good.board.celsius is None and good.p99_ms is not None
    assert set(good.models) == {"detector", "reader"}
    still = next(beat for beat in beats[3:] if beat.cameras[0].frames == 0)
    assert not still.keeping_up and still.running and still.p50_ms is None
    assert msgspec.json.decode((tmp_path / "store" / "heartbeat.json").read_bytes(), type=Heartbeat) == beats[-1]
    assert not beats[-1].running and not beats[-1].error


def test_a_recording_has_heartbeats_only_where_a_file_is_named(tmp_path: Path) -> None:
    def play(heartbeat: str) -> None:
        screen = Screen(progress=lambda n: n >= 20 and drive.stop())
        drive = Drive(config(tmp_path, "sample://drive", heartbeat, every_s=60.0), screen)
        drive.run()

    play("")
    assert not (tmp_path / "store" / "heartbeat.json").exists()
    play(str(tmp_path / "beats.jsonl"))
    last = beats_in(tmp_path / "beats.jsonl")[-1]
    assert (last.running, last.level, last.cameras[0].frames in (20, 21)) == (False, None, True)
    with pytest.raises(SinkError, match=r"heartbeat file .* cannot be written"):
        play(str(tmp_path))


# --- the doctor


def test_the_doctor_tells_of_the_last_drive(tmp_path: Path) -> None:
    settings = config(tmp_path, "sample://drive", every_s=60.0)
    (tmp_path / "store").mkdir()
    path, street = tmp_path / "store" / "heartbeat.json", Street()
    assert _found(settings) == ("ok", "no heartbeat: no live drive yet")
    heart = street.heart(0.1)
    street.front.frames += 60
    with heart:
        until(lambda: bool(street.beats))
    beat = street.beats[0]
    for told, status, said in (
        (beat, "ok", "running and keeping up"),
        (msgspec.structs.replace(beat, keeping_up=False, level=LESS), "limited", "level 2 of 5: p99 41.0 ms over"),
        (msgspec.structs.replace(beat, running=False), "ok", "ended in order"),
        (msgspec.structs.replace(beat, running=False, error="no picture"), "limited", "with an error: no picture"),
    ):
        newest_in(path)(told)
        found = _found(settings)
        assert found[0] == status and said in found[1]
    newest_in(path)(beat)
    assert _found(replace_every(settings, 0.001))[0] == "ok", "there is a grace"
    os.utime(path, (time.time() - 200, time.time() - 200))
    status, what = _found(settings)
    assert status == "limited" and "silent since" in what
    path.write_bytes(b'{"version": 1')
    assert _found(settings)[0] == "limited"


def replace_every(settings: Config, every_s: float) -> Config:
    return msgspec.structs.replace(settings, output=OutputConfig(heartbeat_s=every_s))


def _found(settings: Config) -> tuple[str, str]:
    [finding] = examine_drive(settings)
    assert finding.status == "ok" or finding.remedy
    return finding.status, finding.what
