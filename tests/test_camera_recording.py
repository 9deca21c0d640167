"""Recorded files: every frame, in place, in order, with its time; and what becomes of damaged ones."""

from __future__ import annotations

import ctypes
import logging
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_camera import (
    BYTES,
    GREY,
    GREY_LUMA,
    H264,
    H265,
    MJPEG,
    SOLID,
    Clip,
    copied,
    film,
    frames_of,
    mean_error,
    memory_mb,
    need_elements,
    open_files,
    opened,
    run_pipeline,
)

from edge_alpr.camera import mapped as mapped_module
from edge_alpr.camera import open_source
from edge_alpr.camera.bindings import gst
from edge_alpr.camera.container import missing_bytes
from edge_alpr.camera.mapped import borrow
from edge_alpr.camera.pipelines import file_plan
from edge_alpr.camera.player import Player
from edge_alpr.config import SourceConfig
from edge_alpr.errors import ConfigError, MissingElementError, SourceCorruptError, SourceError, SourceNotFoundError
from edge_alpr.types import Frame

FASTSTART = "mp4mux faststart=true"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_elements("typefind", "appsink", "videotestsrc")
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def ball(folder: Path) -> Path:
    """60 frames of 640x360, index in front, so that a copy cut off at the end still opens."""
    return film(folder / "ball.mp4", Clip(frames=60, width=640, height=360, muxer=FASTSTART))


# What comes out


@pytest.mark.parametrize(
    ("encoder", "muxer"),
    [
        (H264, "mp4mux"),
        (H264, "matroskamux"),
        (H264, "mpegtsmux"),
        (H265, "mp4mux"),
        (H265, "matroskamux"),
        (MJPEG, "qtmux"),
        (MJPEG, "matroskamux"),
    ],
)
@pytest.mark.parametrize("size", [(638, 358), (320, 240)])
def test_luma_is_what_the_camera_saw(folder: Path, encoder: str, muxer: str, size: tuple[int, int]) -> None:
    width, height = size
    source = SOLID.format(grey=GREY)
    clip = Clip(frames=8, width=width, height=height, source=source, encoder=encoder, muxer=muxer)
    frames = frames_of(film(folder / f"solid-{muxer}-{encoder.split(maxsplit=1)[0]}-{width}.bin", clip))
    assert [frame.index for frame in frames] == list(range(8))
    assert {frame.luma.shape for frame in frames} == {(height, width)}
    assert max(mean_error(frame.luma, GREY_LUMA) for frame in frames) < 2
    planes = [plane for frame in frames for plane in frame.chroma]
    assert {plane.shape for plane in planes} == {((height + 1) // 2, (width + 1) // 2)}
    assert max(mean_error(plane, 128) for plane in planes) < 2


@pytest.mark.parametrize(("raw_format", "encoder"), [("Y42B", MJPEG), ("Y444", H264), ("I420_10LE", "x264enc")])
def test_other_formats_give_the_same_luma(folder: Path, raw_format: str, encoder: str) -> None:
    """4:2:2 and 4:4:4 are taken as they are; 10 bits have no 8-bit plane and are converted."""
    source = SOLID.format(grey=GREY)
    clip = Clip(frames=8, width=638, source=source, raw_format=raw_format, encoder=encoder, muxer="matroskamux")
    frames = frames_of(film(folder / f"{raw_format}.mkv", clip))
    assert len(frames) == 8
    assert max(mean_error(frame.luma, GREY_LUMA) for frame in frames) < 2
    assert {plane.shape for frame in frames for plane in frame.chroma} == {(120, 319)}
    assert max(mean_error(plane, 128) for frame in frames for plane in frame.chroma) < 2


@pytest.mark.parametrize(("raw_format", "encoder"), [("Y42B", MJPEG), ("Y444", H264), ("I420_10LE", "x264enc")])
def test_colours_are_where_they_belong(folder: Path, raw_format: str, encoder: str) -> None:
    """The colour planes of other formats are seen at half size, as in I420."""
    pattern = Clip(frames=1, source="videotestsrc pattern=smpte", encoder=encoder, muxer="matroskamux")
    usual, other = (
        frames_of(film(folder / f"{raw_format}-as-{name}.mkv", replace(pattern, raw_format=name)))[0]
        for name in ("I420", raw_format)
    )
    for plane, expected in zip(other.chroma, usual.chroma, strict=True):
        assert plane.shape == expected.shape == (120, 160)
        assert np.median(np.abs(plane.astype(int) - expected)) < 4
    assert not np.array_equal(*usual.chroma)


def test_rows_are_in_their_place(folder: Path) -> None:
    """A wrong stride or offset shears the picture: upright bars would lean."""
    bars = "videotestsrc pattern=smpte"
    clip = Clip(1, width=638, height=358, source=bars, encoder="jpegenc quality=100", muxer="matroskamux")
    frames = frames_of(film(folder / "smpte.mkv", clip))
    top = frames[0].luma[:200, :624].astype(int)  # the last block codes what stands beside the picture, too
    assert np.ptp(top[:, 20:80], axis=None) < 8, "the first bar is one grey"
    assert (np.abs(top - top[100]).max(axis=1) < 8).all(), "bars stand upright"
    assert len(np.unique(top[100, 45::91] // 4)) == 7, "seven bars"


def test_every_frame_comes_with_its_time(ball: Path) -> None:
    with open_source(SourceConfig(uri=str(ball), camera_id="front"), wall_clock=lambda: 1_000_000) as source:
        assert source.info.total_frames == 60 and source.info.duration_s == pytest.approx(2.0)
        assert not source.info.live and source.info.uri == str(ball)
        frames = [copied(frame) for frame in source]
    assert [frame.stamp_ns for frame in frames] == pytest.approx([i * 1e9 / 30 for i in range(60)], abs=1e6)
    assert [frame.epoch_ms - 1_000_000 for frame in frames] == [frame.stamp_ns // 1_000_000 for frame in frames]
    assert {frame.camera_id for frame in frames} == {"front"} and {frame.origin for frame in frames} == {"ball.mp4"}
    assert source.counters.frames == 60 and source.counters.dropped == 0 and source.counters.unreadable == 0


def test_a_slow_reader_loses_nothing(ball: Path) -> None:
    with opened(ball) as source:
        for frame in source:
            if frame.index % 10 == 0:
                time.sleep(0.03)
        assert source.counters.frames == 60


def test_a_recording_is_read_once(ball: Path) -> None:
    with opened(ball) as source:
        assert sum(1 for _ in source) == 60
        with pytest.raises(SourceError, match="read once"):
            next(iter(source))


def test_names_that_a_shell_would_not_like(folder: Path, ball: Path) -> None:
    odd = folder / 'we "ird\\ !na$me # ä.mp4'
    odd.write_bytes(ball.read_bytes())
    assert len(frames_of(odd)) == 60
    assert len(frames_of(f"file://{folder}/we%20%22ird%5C%20%21na%24me%20%23%20%C3%A4.mp4")) == 60


def test_sound_beside_the_video_is_left_out(folder: Path) -> None:
    need_elements("vorbisenc")
    path = folder / "sound.mkv"
    muxer = "matroskamux name=mux audiotestsrc num-buffers=40 ! vorbisenc ! mux. mux."
    assert len(frames_of(film(path, Clip(frames=30, muxer=muxer)))) == 30


def test_of_two_cameras_in_a_file_the_first_is_read(folder: Path) -> None:
    second = f"videotestsrc num-buffers=30 ! video/x-raw,format=I420,width=64,height=48,framerate=30/1 ! {H264}"
    muxer = f"matroskamux name=mux {second} ! mux. mux."
    frames = frames_of(film(folder / "two.mkv", Clip(frames=30, muxer=muxer)))
    assert len(frames) == 30 and len({frame.luma.shape for frame in frames}) == 1


def test_the_picture_may_change_its_size(folder: Path) -> None:
    need_elements("x264enc")
    parts = [
        film(folder / f"part{width}.h264", Clip(20, width, height, encoder=BYTES, muxer="identity"))
        for width, height in ((320, 240), (638, 358), (640, 360))
    ]
    joined = folder / "joined.h264"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with opened(joined) as source:
        shapes = [(frame.width, frame.height) for frame in source]
        assert shapes == [(320, 240)] * 20 + [(638, 358)] * 20 + [(640, 360)] * 20
        assert source.counters.caps_changes == 2


def test_a_recording_that_goes_on_as_another_stream_is_an_error(folder: Path) -> None:
    need_elements("mpegtsmux", "x264enc")
    parts = [folder / f"{pid}.ts" for pid in (65, 80)]
    for part in parts:
        film_text = f"videotestsrc num-buffers=20 ! video/x-raw,format=I420 ! {H264} ! mux.sink_{part.stem}"
        run_pipeline(f"mpegtsmux name=mux ! filesink location={part} {film_text}")
    joined = folder / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with opened(joined) as source, pytest.raises(SourceCorruptError, match="goes on as another stream") as caught:
        for frame in source:
            frame.release()
    assert source.counters.frames == 20 and str(joined) in str(caught.value)


# In place


def _mapped_buffer(frame: Frame) -> memoryview:
    """What the pixels of a frame hang on; every array on the way must be a view."""
    base: object = frame.luma
    while isinstance(base, np.ndarray):
        assert base.base is not None, "an array of its own: the picture was copied"
        base = base.base
    assert isinstance(base, memoryview)
    return base


class _MapInfo(ctypes.Structure):
    _fields_ = [("memory", ctypes.c_void_p), ("flags", ctypes.c_int), ("data", ctypes.c_void_p)]
    _fields_ += [("size", ctypes.c_size_t), ("maxsize", ctypes.c_size_t), ("rest", ctypes.c_void_p * 8)]


def _address_in_c(buffer: object) -> int:
    """Where GStreamer itself says that the buffer's bytes are."""
    core, info = ctypes.CDLL("libgstreamer-1.0.so.0"), _MapInfo()
    pointer = ctypes.c_void_p(hash(buffer))
    assert core.gst_buffer_map_range(pointer, 0, 1, ctypes.byref(info), 1)
    core.gst_buffer_unmap(pointer, ctypes.byref(info))
    return int(info.data)


def test_the_pixels_are_the_decoders_own(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffers: list[object] = []

    def noting(sample: object) -> mapped_module.Loan:
        buffers.append(sample.get_buffer())  # type: ignore[attr-defined]
        return borrow(sample)

    monkeypatch.setattr("edge_alpr.camera.lender.borrow", noting)
    with opened(ball) as source:
        for frame in source:
            start = np.frombuffer(_mapped_buffer(frame), np.uint8).ctypes.data
            assert start == _address_in_c(buffers.pop())
            assert frame.luma.ctypes.data == start and not frame.luma.flags.writeable
            assert all(np.shares_memory(plane, _mapped_buffer(frame)) for plane in frame.chroma)
            frame.release()
    assert source.counters.frames == 60


def test_the_decoder_hands_over_its_own_buffers(folder: Path) -> None:
    """At 720 rows libav pads the planes: that layout only comes through when the decoder does not copy."""
    need_elements("avdec_h264")
    layouts = set()
    with opened(film(folder / "hd.mp4", Clip(frames=10, width=1280, height=720))) as source:
        for frame in source:
            u = frame.chroma[0].ctypes.data - frame.luma.ctypes.data
            layouts.add(u > 1280 * 720)
            frame.release()
    assert layouts == {True}


def test_planes_in_memories_of_their_own_are_not_merged() -> None:
    """Merging would be a copy: then there is luma only."""
    need_elements("appsink")
    video = mapped_module.gst_video()
    width, height, stride = 6, 4, 8
    luma, chroma = bytes(range(stride * height)), bytes(stride * height // 2)
    buffer = gst().Buffer.new()
    for data in (luma, chroma):
        buffer.append_memory(gst().Buffer.new_wrapped(data).get_memory(0))
    offsets, strides = [0, len(luma), 0, 0], [stride, stride, 0, 0]
    video.buffer_add_video_meta_full(
        buffer, video.VideoFrameFlags.NONE, video.VideoFormat.NV12, width, height, 2, offsets, strides
    )
    caps = gst().Caps.from_string(f"video/x-raw,format=NV12,width={width},height={height},framerate=30/1")
    loan = borrow(gst().Sample.new(buffer, caps, None, None))
    assert loan.chroma == () and loan.luma.strides == (stride, 1)
    assert loan.luma.tolist() == [list(range(row * stride, row * stride + width)) for row in range(height)]
    assert loan.luma.ctypes.data == _address_in_c(buffer), "the first memory, in place"
    loan.release()


def test_a_buffer_too_short_for_its_picture_is_an_error() -> None:
    need_elements("appsink")
    caps = gst().Caps.from_string("video/x-raw,format=GRAY8,width=64,height=64,framerate=30/1")
    with pytest.raises(SourceCorruptError, match="shorter than its layout"):
        borrow(gst().Sample.new(gst().Buffer.new_wrapped(bytes(100)), caps, None, None))


def test_a_frame_goes_back_once_and_at_the_latest_before_the_next(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped: list[object] = []
    override = gst().Buffer.map, gst().Buffer.unmap

    def mapping(buffer: object, flags: object) -> object:
        mapped.append(1)
        return override[0](buffer, flags)

    def unmapping(buffer: object, info: object) -> object:
        mapped.pop()
        return override[1](buffer, info)

    monkeypatch.setattr(gst().Buffer, "map", mapping)
    monkeypatch.setattr(gst().Buffer, "unmap", unmapping)
    with opened(ball) as source:
        for frame in source:
            assert len(mapped) == 1, "one frame is out, never two"
            if frame.index % 3 == 0:
                frame.release()
                frame.release()
                assert mapped == []
            elif frame.index % 3 == 1:
                with frame:
                    pass
                assert mapped == []
            if frame.index == 41:
                break
        assert len(mapped) == 1
    assert mapped == [], "leaving the source takes back what is still out"


def test_memory_stays_steady_over_two_thousand_frames(folder: Path) -> None:
    path = film(folder / "long.mp4", Clip(frames=2000, width=320, height=180))
    levels = []
    with opened(path) as source:
        for frame in source:
            assert frame.luma[90, 160] >= 0
            if frame.index in (500, 1999):
                levels.append(memory_mb())
    assert source.counters.frames == 2000
    assert levels[1] - levels[0] < 8, "a leaked frame is 0.08 MiB, 1,500 of them 120 MiB"


def test_sources_leave_nothing_behind(ball: Path) -> None:
    def read_some() -> None:
        with opened(ball) as source:
            for frame in source:
                if frame.index == 5:
                    break

    for _ in range(5):
        read_some()
    files, memory = open_files(), memory_mb()
    for _ in range(20):
        read_some()
    assert open_files() <= files
    assert memory_mb() - memory < 15


# Damage


def damaged_copy(source: Path, name: str, start: float, length: float) -> Path:
    """A copy with noise from a share of the file on."""
    data = bytearray(source.read_bytes())
    first, count = round(len(data) * start), round(len(data) * length)
    data[first : first + count] = random.Random(7).randbytes(count)
    path = source.parent / name
    path.write_bytes(data)
    return path


def cut_copy(source: Path, name: str, share: float) -> Path:
    """A copy without its end."""
    data = source.read_bytes()
    path = source.parent / name
    path.write_bytes(data[: round(len(data) * share)])
    return path


def one_line(error: BaseException, path: Path) -> str:
    text = str(error)
    assert "\n" not in text and str(path) in text
    return text


def test_a_recording_cut_off_gives_what_is_there_and_then_an_error(ball: Path) -> None:
    path = cut_copy(ball, "cut.mp4", 0.6)
    with opened(path) as source, pytest.raises(SourceCorruptError, match=r"cut off.*bytes are missing") as caught:
        for frame in source:
            frame.release()
    one_line(caught.value, path)
    assert 20 <= source.counters.frames < 60


def test_a_cut_matroska_and_avi_are_told_too(folder: Path) -> None:
    for muxer in ("matroskamux", "avimux"):
        encoder = MJPEG if muxer == "avimux" else H264
        path = cut_copy(film(folder / f"whole.{muxer}", Clip(encoder=encoder, muxer=muxer)), f"cut.{muxer}", 0.6)
        with opened(path) as source, pytest.raises(SourceCorruptError, match="cut off"):
            for frame in source:
                frame.release()
        assert 5 <= source.counters.frames < 30


def test_whole_files_miss_nothing(folder: Path, ball: Path) -> None:
    assert missing_bytes(ball) == 0
    for muxer in ("mp4mux", "mp4mux fragment-duration=200", "qtmux", "matroskamux", "mpegtsmux"):
        assert missing_bytes(film(folder / f"whole.{muxer.replace(' ', '')}", Clip(frames=5, muxer=muxer))) == 0
    streamed = film(folder / "streamed.mkv", Clip(frames=5, muxer="matroskamux streamable=true"))
    assert missing_bytes(streamed) == 0 and missing_bytes(cut_copy(streamed, "streamed-cut.mkv", 0.7)) == 0


def test_noise_in_the_middle_is_counted_and_the_rest_is_read(ball: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = damaged_copy(ball, "noise.mp4", 0.4, 0.2)
    with caplog.at_level(logging.WARNING), opened(path) as source:
        last = [frame.stamp_ns for frame in source][-1]
    counters = source.counters
    assert 0 < counters.unreadable < 40 and counters.frames + counters.unreadable == 60
    assert last == pytest.approx(59e9 / 30, abs=1e6), "the end was reached"
    assert f"{counters.unreadable} of its 60 pictures could not be decoded" in caplog.text


def test_a_file_full_of_noise_but_for_its_index_is_corrupt(ball: Path) -> None:
    data = ball.read_bytes()
    start = data.index(b"mdat") + 4
    path = ball.parent / "all-noise.mp4"
    path.write_bytes(data[:start] + random.Random(3).randbytes(len(data) - start))
    with pytest.raises(SourceCorruptError) as caught, opened(path) as source:
        assert [frame for frame in source] == []
    one_line(caught.value, path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("noise.bin", random.Random(1).randbytes(100_000), "not a video"),
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"a drive through the town\n" * 200, "no video that can be read, but text/plain"),
        ("short.mp4", b"\x00", "not a video"),
    ],
)
def test_what_is_no_video_is_refused_at_once(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    need_elements("typefind")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceCorruptError, match=reason) as caught:
        opened(path)
    one_line(caught.value, path)


def test_a_recording_without_its_index_is_refused(folder: Path) -> None:
    path = cut_copy(film(folder / "index-last.mp4"), "no-index.mp4", 0.5)
    with pytest.raises(SourceCorruptError, match="not a video that can be read"):
        opened(path)


@pytest.mark.parametrize("muxer", ["matroskamux", "mp4mux", "wavenc"])
def test_a_video_without_video_is_refused(folder: Path, muxer: str) -> None:
    need_elements("vorbisenc", "opusenc")
    encoder = {"mp4mux": "opusenc", "matroskamux": "vorbisenc", "wavenc": "audioconvert"}[muxer]
    path = folder / f"sound.{muxer}"
    run_pipeline(f"audiotestsrc num-buffers=20 ! {encoder} ! {muxer} ! filesink location={path}")
    for _ in range(5):
        with pytest.raises(SourceCorruptError, match=r"holds no video, only audio/"):
            opened(path)


def test_a_codec_that_is_not_supported_is_named(folder: Path) -> None:
    need_elements("vp8enc")
    path = film(folder / "vp8.webm", Clip(frames=5, encoder="vp8enc", muxer="webmmux"))
    with pytest.raises(SourceError, match=r"video/x-vp8.*not supported; record it as H\.264"):
        opened(path)


def test_a_missing_decoder_is_named_with_its_package(ball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = frozenset({"filesrc", "qtdemux", "appsink", "h264parse", "identity"})
    monkeypatch.setattr("edge_alpr.camera.player.installed", lambda: there)
    with pytest.raises(MissingElementError, match=r"'avdec_h264'.*sudo apt-get install gstreamer1\.0-libav"):
        opened(ball)


def test_a_missing_file_and_a_wrong_scheme(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no such file"):
        opened(tmp_path / "none.mp4")
    with pytest.raises(ConfigError, match=r"unknown kind of source.*rtsp://"):
        opened("ftp://user:secret@host/x.mp4")
    with pytest.raises(SourceNotFoundError, match="sample"):
        opened("sample://none")
    with pytest.raises(ConfigError, match="names no host"):
        opened("rtsp://")
    with pytest.raises(ConfigError, match="names no sensor"):
        opened("csi://front")


def test_cameras_that_are_not_there() -> None:
    need_elements("v4l2src")
    with pytest.raises(SourceNotFoundError, match="there is no /dev/video77"):
        opened("v4l2:///dev/video77")
    if gst().ElementFactory.find("nvarguscamerasrc") is None:
        with pytest.raises(MissingElementError, match=r"'nvarguscamerasrc'.*JetPack"):
            opened("csi://0")


def test_a_player_needs_what_its_plan_names(monkeypatch: pytest.MonkeyPatch) -> None:
    need_elements("appsink")
    monkeypatch.setattr("edge_alpr.camera.player.installed", lambda: frozenset({"filesrc", "appsink"}))
    with pytest.raises(MissingElementError, match=r"'tsdemux'.*gstreamer1\.0-plugins-bad"):
        Player(file_plan("a.ts", "video/mpegts", ()))
