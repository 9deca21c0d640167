"""Still pictures of every kind, and folders of recorded frames."""

from __future__ import annotations

import base64
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_camera import frames_of, need_elements, opened
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.camera import open_source
from edge_alpr.camera.folder import RIDE_GAP_S, Due, schedule
from edge_alpr.camera.pictures import SUFFIXES, load_bgr, load_luma
from edge_alpr.config import SourceConfig
from edge_alpr.errors import ImageError, SourceCorruptError, SourceNotFoundError

HEIGHT, WIDTH = 40, 60


def scene() -> np.ndarray:
    """(40, 60, 3) BGR: bright at the top left, dark at the right, coloured."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    grey = 230 - 2 * columns - rows
    return np.dstack([grey * 0.9, grey, np.minimum(grey * 1.05, 255)]).astype(np.uint8)


def grey_of(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


def save(path: Path, picture: np.ndarray, *options: int) -> Path:
    assert cv2.imwrite(str(path), picture, list(options))
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".tif", ".webp", ".bmp", ".ppm"])
def test_every_kind_of_picture_gives_its_luma(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", scene())
    luma = load_luma(path)
    assert luma.dtype == np.uint8 and luma.shape == (HEIGHT, WIDTH)
    assert np.abs(luma.astype(int) - grey_of(scene())).mean() < 3
    assert load_bgr(path).shape == (HEIGHT, WIDTH, 3)
    assert np.abs(load_bgr(path).astype(int) - scene()).mean() < 6
    assert path.suffix in SUFFIXES


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("colours", [1, 3])
def test_sixteen_bits_are_brought_to_eight(tmp_path: Path, suffix: str, colours: int) -> None:
    picture = scene() if colours == 3 else grey_of(scene())
    luma = load_luma(save(tmp_path / f"a{suffix}", picture.astype(np.uint16) * 257))
    assert luma.dtype == np.uint8
    assert np.abs(luma.astype(int) - grey_of(scene())).max() <= 2


CMYK_JPEG = (
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwANCQoLCggNCwoLDg4NDxMgFRMSEhMnHB4XIC4pMTAuKS0sMzpKPjM2RjcsLUBXQUZMTlJT"
    "UjI+WmFaUGBKUVJP/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAcABv/EABQQAQAAAAAAAAAAAAAA"
    "AAAAAAD/2gAOBEMATQBZAEsAAD8AxLEsSTjEYjEg6HQ6jEYjEn//2Q=="
)
"""16x16, four inks: 40 at the left, 200 at the right."""


def test_four_inks_give_their_luma(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(base64.b64decode(CMYK_JPEG))
    luma = load_luma(path)
    assert luma.shape == (16, 16) and load_bgr(path).shape == (16, 16, 3)
    assert abs(float(luma[:, :7].mean()) - 40) < 4 and abs(float(luma[:, 9:].mean()) - 200) < 4


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_transparency_is_left_out(tmp_path: Path, alpha: int) -> None:
    picture = np.dstack([scene(), np.full((HEIGHT, WIDTH), alpha, np.uint8)])
    path = save(tmp_path / "a.png", picture)
    assert np.abs(load_luma(path).astype(int) - grey_of(scene())).max() <= 2
    assert np.array_equal(load_bgr(path), scene())


def test_a_grey_picture_is_its_own_luma(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", grey_of(scene()))
    assert np.array_equal(load_luma(path), grey_of(scene()))
    assert load_bgr(path).shape == (HEIGHT, WIDTH, 3)


def test_a_picture_is_upright_as_its_exif_says(tmp_path: Path) -> None:
    turned_by_a_quarter = b"Exif\0\0MM\0*" + bytes([0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6]) + bytes(6)
    data = cv2.imencode(".jpg", scene())[1].tobytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(with_segment(data, turned_by_a_quarter))
    luma = load_luma(path)
    assert luma.shape == (WIDTH, HEIGHT)
    assert np.abs(luma.astype(int) - np.rot90(grey_of(scene()), -1)).mean() < 4


def test_the_luma_of_a_jpeg_is_its_stored_y_plane(tmp_path: Path) -> None:
    """As a video decoder gives it, not a mixture of decoded colours: saturated ones would be clipped first."""
    need_elements("avdec_mjpeg", "jpegparse")
    colours = np.random.default_rng(5).integers(0, 2, (6, 8, 3), dtype=np.uint8) * 255
    picture = cv2.resize(colours, (64, 48), interpolation=cv2.INTER_CUBIC)
    path = save(tmp_path / "a.jpg", picture, cv2.IMWRITE_JPEG_QUALITY, 60)
    shutil.copy(path, tmp_path / "a.mjpeg")
    decoded = frames_of(tmp_path / "a.mjpeg")[0].luma.astype(int)
    assert np.abs(load_luma(path) - decoded).max() <= 2
    assert np.abs(grey_of(load_bgr(path)) - decoded).max() > 4, "the colours are such that it matters"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_the_smallest_picture(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", np.full((1, 1, 3), 77, np.uint8))
    assert load_luma(path).tolist() == [[77]]


def test_a_picture_of_twenty_megapixels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", np.full((3648, 5472), 90, np.uint8))
    luma = load_luma(path)
    assert luma.shape == (3648, 5472) and abs(float(luma.mean()) - 90) < 1


def with_thumbnail(data: bytes) -> bytes:
    """A JPEG that carries a whole small JPEG in a segment in front, as cameras write it."""
    return with_segment(data, cv2.imencode(".jpg", scene()[::4, ::4])[1].tobytes())


def with_segment(data: bytes, content: bytes) -> bytes:
    """A JPEG with one more segment of application data."""
    return data[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + data[2:]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp"])
def test_a_picture_cut_off_is_refused_in_one_line(
    tmp_path: Path, suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = save(tmp_path / f"whole{suffix}", scene()).read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: max(1, int(len(whole) * share))])
    for load in (load_luma, load_bgr):
        with pytest.raises(ImageError) as caught:
            load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    heard = capfd.readouterr()
    assert (heard.out, heard.err) == ("", ""), "nobody else may talk about it"


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_with_a_thumbnail_is_whole_only_with_its_own_end(tmp_path: Path, progressive: int) -> None:
    data = cv2.imencode(".jpg", scene(), [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(with_thumbnail(data))
    assert load_luma(path).shape == (HEIGHT, WIDTH)
    path.write_bytes(with_thumbnail(data) + bytes(100))
    assert load_luma(path).shape == (HEIGHT, WIDTH), "cameras append their own data"
    path.write_bytes(with_thumbnail(data)[:-2])
    with pytest.raises(ImageError, match="cut off"):
        load_luma(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"GIF? no." * 50), "not a whole picture of a known kind"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "cut off"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(ImageError, match=reason):
        load_luma(path)


# Folders


def test_names_tell_the_second_and_rides_follow_one_another() -> None:
    names = ["night_00003.jpg", "day_00580.jpg", "day_00010.jpg", "day_00009.png", "night_00001.jpg"]
    assert schedule(names) == [
        Due("day_00009.png", 9 * 10**9),
        Due("day_00010.jpg", 10 * 10**9),
        Due("day_00580.jpg", 580 * 10**9),
        Due("night_00001.jpg", (580 + RIDE_GAP_S) * 10**9),
        Due("night_00003.jpg", (582 + RIDE_GAP_S) * 10**9),
    ]


def test_names_without_a_second_are_counted() -> None:
    assert [due.stamp_ns // 10**9 for due in schedule(["c.jpg", "a.jpg", "b_20240131.jpg"])] == [0, 1, 2]
    assert [due.name for due in schedule(["c.jpg", "a_7.jpg", "b.jpg"])] == ["b.jpg", "c.jpg", "a_7.jpg"]


file_names = st.builds(
    "{}{}{}".format, *map(st.sampled_from, (["", "a", "b"], ["", "_1", "_01", "_2", "_99999"], [".jpg", ".png"]))
)


@given(st.lists(file_names, unique=True, max_size=12))
def test_stamps_always_grow(names: list[str]) -> None:
    dues = schedule(names)
    assert sorted(due.name for due in dues) == sorted(names)
    stamps = [due.stamp_ns for due in dues]
    assert stamps == sorted(set(stamps))


def test_frames_of_a_folder(tmp_path: Path) -> None:
    for second in (12, 10, 11):
        save(tmp_path / f"ride_{second:05d}.png", np.full((8, 9), second, np.uint8))
    (tmp_path / "LICENSE.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    config = SourceConfig(uri=f"dir://{tmp_path}", camera_id="rear")
    with open_source(config, wall_clock=lambda: 5_000) as source:
        assert source.info.total_frames == 3 and not source.info.live
        frames = list(source)
    assert [int(frame.luma[0, 0]) for frame in frames] == [10, 11, 12]
    assert [frame.stamp_ns for frame in frames] == [10 * 10**9, 11 * 10**9, 12 * 10**9]
    assert [frame.epoch_ms for frame in frames] == [5_000, 6_000, 7_000]
    assert [frame.origin for frame in frames] == [f"ride_000{second}.png" for second in (10, 11, 12)]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert {frame.camera_id for frame in frames} == {"rear"} and {frame.chroma for frame in frames} == {()}


def test_a_path_to_a_folder_or_a_picture_is_enough(tmp_path: Path) -> None:
    save(tmp_path / "a.png", scene())
    save(tmp_path / "b.png", scene())
    assert [frame.origin for frame in frames_of(tmp_path)] == ["a.png", "b.png"]
    assert [frame.origin for frame in frames_of(tmp_path / "b.png")] == ["b.png"]


def test_an_unreadable_picture_is_counted_told_once_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(4):
        save(tmp_path / f"ride_{second}.jpg", scene())
    data = (tmp_path / "ride_1.jpg").read_bytes()
    (tmp_path / "ride_1.jpg").write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING), opened(tmp_path) as source:
        stamps = [frame.stamp_ns // 10**9 for frame in source]
    assert stamps == [0, 2, 3]
    assert source.counters.unreadable == 1 and source.counters.frames == 3
    assert [record.getMessage() for record in caplog.records if "ride_1.jpg" in record.getMessage()] == [
        f"{tmp_path}/ride_1.jpg: the picture is cut off, its end is missing; copy it again"
    ]


def test_a_folder_of_ruins_is_an_error(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_bytes(b"?")
    with (
        opened(f"dir://{tmp_path}") as source,
        pytest.raises(SourceCorruptError, match=r"none of the 2 pictures.*a\.jpg"),
    ):
        list(source)
    assert source.counters.unreadable == 2


def test_an_empty_folder_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no pictures in this folder"):
        opened(f"dir://{tmp_path}")
    with pytest.raises(SourceNotFoundError, match="no such folder"):
        opened(f"dir://{tmp_path}/none")
    save(tmp_path / "a.png", scene())
    with pytest.raises(SourceNotFoundError, match="leave out dir://"):
        opened(f"dir://{tmp_path}/a.png")


def test_recorded_rides_beside_the_repository(data: Path) -> None:
    with opened(f"dir://{data}/dashcam/frames") as source:
        dues = source.info.total_frames
        first = next(iter(source))
    assert dues == 292 and first.origin == "dayride001_00580.jpg" and first.stamp_ns == 580 * 10**9
    assert first.luma.shape == (720, 1280)
