"""Frames in video memory, without a board: real surfaces in real buffers, over a stand-in that checks every call."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_camera import BYTES, Clip, film, frames_of, memory_mb, need_elements, open_files
from helpers_nvmm import EGL_CALLS, NOTHING, OVERWRITTEN, Layout, Pool, ShownImage, Standin, board, pixels, unreadable

from edge_alpr.camera import open_source
from edge_alpr.camera.bindings import gst
from edge_alpr.camera.buffers import Notify
from edge_alpr.camera.decoders import NVMM_CAPS, TO_ROWS
from edge_alpr.camera.live import Camera, Live
from edge_alpr.camera.nvmm import NvmmBorrower
from edge_alpr.camera.pipelines import Plan, sink
from edge_alpr.camera.registrations import load_library
from edge_alpr.config import SourceConfig
from edge_alpr.errors import CameraLostError, MissingElementError, SourceError, SurfaceError, SurfaceLostError
from edge_alpr.ports import FrameSource
from edge_alpr.types import Luma, Memory

WIDTH, HEIGHT = 318, 178
UNDO_CALLS = ("cuGraphicsUnregisterResource", "NvBufSurfaceUnMapEglImage")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_elements("typefind", "appsink", "avdec_h264", "x264enc")
    return tmp_path_factory.mktemp("nvmm")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    return film(folder / "clip.mp4", Clip(frames=40, width=WIDTH, height=HEIGHT))


@pytest.fixture(scope="module")
def on_cpu(clip: Path) -> list[Luma]:
    return [frame.luma for frame in frames_of(clip)]


@pytest.fixture(scope="module")
def standins(folder: Path) -> dict[int, Standin]:
    return {l4t: Standin(folder, l4t) for l4t in (35, 38)}


@pytest.fixture(params=[35, 38], ids=["r35", "r38"])
def standin(standins: dict[int, Standin], request: pytest.FixtureRequest) -> Standin:
    return standins[request.param]


def opened(path: Path, standin: Standin) -> FrameSource:
    return open_source(SourceConfig(uri=str(path)), device=standin.device())


def looked_at(frames: FrameSource) -> list[Luma]:
    """What CUDA would see of each frame, read as late as it may be."""
    seen = []
    with frames as source:
        for frame in source:
            assert frame.plane is not None and frame.memory is Memory.NVMM
            assert frame.luma.size == 0 and frame.chroma == ()
            assert (frame.width, frame.height) == (frame.plane.width, frame.plane.height)
            seen.append(pixels(frame.plane))
            frame.release()
    return seen


# Every frame


@pytest.mark.parametrize("pitch", [320, 512, 1024])
def test_every_pixel_is_that_of_the_processors_path(
    clip: Path, on_cpu: list[Luma], standin: Standin, pitch: int
) -> None:
    with board(standin, Layout(pitch)) as stage:
        seen = looked_at(opened(clip, standin))
        assert len(seen) == len(on_cpu) == 40 and standin.prepared == ["null"]
        assert all(np.array_equal(here, there) for here, there in zip(seen, on_cpu, strict=True))
        assert stage.registered_at_stop == [0], "all was unregistered before the pipeline stopped"


def test_each_surface_is_registered_once(clip: Path, standin: Standin) -> None:
    with board(standin) as stage, opened(clip, standin) as source:
        pointers = {frame.plane.pointer for frame in source if frame.plane}
        assert len(pointers) == stage.layout.count
        for call in EGL_CALLS[1:]:
            assert standin.calls(call) == len(pointers), call
        assert standin.count("registered") == len(pointers)


def test_on_thor_cuda_sees_the_surface_without_egl(
    clip: Path, on_cpu: list[Luma], standins: dict[int, Standin]
) -> None:
    with board(standins[38], Layout(thor=True)):
        seen = looked_at(opened(clip, standins[38]))
        assert all(np.array_equal(here, there) for here, there in zip(seen, on_cpu, strict=True))
        assert [standins[38].calls(call) for call in EGL_CALLS] == [0] * 4


def test_surfaces_of_a_size_that_is_over_are_given_up_before_they_are_freed(folder: Path, standin: Standin) -> None:
    parts = [
        film(folder / f"part{width}.h264", Clip(12, width, height, encoder=BYTES, muxer="identity"))
        for width, height in ((320, 240), (WIDTH, HEIGHT), (320, 240))
    ]
    joined = folder / "joined.h264"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    there = [frame.luma for frame in frames_of(joined)]
    with board(standin), opened(joined, standin) as source:
        for frame, luma in zip(source, there, strict=True):
            assert frame.plane is not None and np.array_equal(pixels(frame.plane), luma)
            assert standin.count("registered") <= 8 + 1, "those of the pools before are gone, but for the lent one"
        assert source.counters.caps_changes == 2
    # `board` asserts that no surface was freed while it was mapped or registered.


def test_a_thousand_frames_leave_nothing(folder: Path, standin: Standin) -> None:
    path = film(folder / "long.mp4", Clip(frames=1000, width=320, height=180))
    levels = []
    with board(standin), opened(path, standin) as source:
        for frame in source:
            if frame.index in (200, 999):
                levels.append((memory_mb(), open_files()))
        assert source.counters.frames == 1000
        assert standin.calls("cuGraphicsEGLRegisterImage") <= 8
    assert levels[1][0] - levels[0][0] < 8 and levels[1][1] <= levels[0][1]


# Lifetimes


@pytest.fixture
def pool(standin: Standin) -> Iterator[Pool]:
    """Two surfaces outside of a pipeline."""
    standin.reset()
    made = Pool(standin, WIDTH, HEIGHT, Layout(count=2))
    yield made
    made.close()
    assert standin.held() == NOTHING and standin.complaints() == []


def sample_of(pool: Pool, caps: str = NVMM_CAPS) -> Any:
    """A grey picture as an appsink hands it out; nobody else holds it."""
    caps = f"{caps},width={WIDTH},height={HEIGHT},framerate=30/1"
    picture = np.full((HEIGHT, WIDTH), 90, np.uint8)
    return gst().Sample.new(pool.buffer(picture), gst().Caps.from_string(caps), None, None)


def test_a_surface_goes_back_with_its_release_and_not_before(pool: Pool, standin: Standin) -> None:
    borrower = standin.borrower()
    sample = sample_of(pool)
    loan = borrower.borrow(sample)
    plane = loan.plane
    del sample
    assert plane is not None and standin.count("taken") == 1
    assert set(np.unique(pixels(plane))) == {90}, "the image unit did not get it to write to"
    loan.release()
    assert loan.plane is None and standin.count("taken") == 0
    assert set(np.unique(pixels(plane))) == {OVERWRITTEN}
    loan.release()
    borrower.forget()


def test_a_surface_is_not_registered_again_when_it_comes_back(pool: Pool, standin: Standin) -> None:
    borrower = standin.borrower()
    for _ in range(10):
        borrower.borrow(sample_of(pool)).release()
    assert (borrower.registrations.total, len(borrower.registrations)) == (2, 2)
    borrower.forget()
    assert standin.count("registered") == standin.count("mapped") == len(borrower.registrations) == 0


def test_more_surfaces_than_are_kept_are_registered_anew(pool: Pool, standin: Standin) -> None:
    borrower = NvmmBorrower(standin.library, partial(ShownImage, standin.library), standin.release_file, most=1)
    for _ in range(3):
        first, second = borrower.borrow(sample_of(pool)), borrower.borrow(sample_of(pool))
        assert standin.count("registered") == len(borrower.registrations) == 1
        first.release()
        second.release()
    assert borrower.registrations.total == 6
    borrower.forget()


def test_an_image_that_another_element_mapped_stays_mapped(pool: Pool, standin: Standin) -> None:
    borrower, sample = standin.borrower(), sample_of(pool)
    surface = pool.surfaces[0]
    assert standin.library.NvBufSurfaceMapEglImage(surface, 0) == 0
    borrower.borrow(sample).release()
    borrower.forget()
    assert (standin.count("registered"), standin.count("mapped")) == (0, 1)
    assert standin.library.NvBufSurfaceUnMapEglImage(surface, 0) == 0


def test_another_surface_at_the_same_address_is_another_registration(pool: Pool, standin: Standin) -> None:
    borrower = standin.borrower()
    for desc in (77, 78):
        for _ in range(2):
            borrower.borrow(sample_of(pool)).release()
        pool.params(0).bufferDesc = desc
    borrower.borrow(sample_of(pool)).release()
    assert (borrower.registrations.total, len(borrower.registrations), standin.count("registered")) == (4, 2, 2)
    borrower.forget()


@pytest.mark.parametrize(("forget", "called"), [(False, 2), (True, 0)])
def test_what_was_forgotten_is_not_called_when_its_memory_is_freed(
    pool: Pool, standin: Standin, forget: bool, called: int
) -> None:
    borrower, freed = standin.borrower(), []
    registrations = borrower.registrations

    def note(data: int, memory: int) -> None:
        freed.append(memory)
        registrations._freed(data, memory)

    registrations._notify = Notify(note)
    for _ in range(2):
        borrower.borrow(sample_of(pool)).release()
    if forget:
        borrower.forget()
    pool.close()
    assert len(freed) == called and len(registrations) == standin.count("registered") == 0


def test_leaving_a_source_early_takes_back_what_is_out(clip: Path, standin: Standin) -> None:
    with board(standin):
        for _ in range(3):
            with opened(clip, standin) as source:
                for frame in source:
                    if frame.index == 5:
                        break


# Failures


@pytest.mark.parametrize("call", EGL_CALLS)
@pytest.mark.parametrize("nth", [1, 3])
def test_a_call_that_fails_is_an_error_with_the_way_out(clip: Path, standin: Standin, call: str, nth: int) -> None:
    with board(standin):
        standin.fail(call, nth)
        with opened(clip, standin) as source, pytest.raises(SurfaceLostError, match=f"{call} gave .*unset DISPLAY"):
            for _ in source:
                pass
        if call != "cuCtxSetCurrent":  # more than once a surface
            assert source.counters.frames == nth - 1


@pytest.mark.parametrize("call", UNDO_CALLS)
def test_giving_back_is_tried_again(clip: Path, standin: Standin, call: str, caplog: pytest.LogCaptureFixture) -> None:
    with board(standin), caplog.at_level(logging.WARNING):
        standin.fail(call)
        assert len(looked_at(opened(clip, standin))) == 40
    assert caplog.messages == []


def test_what_cannot_be_given_back_is_told(pool: Pool, standin: Standin, caplog: pytest.LogCaptureFixture) -> None:
    borrower = standin.borrower()
    borrower.borrow(sample_of(pool)).release()
    surface = pool.surfaces[0]
    unmap, standin.library.NvBufSurfaceUnMapEglImage = standin.library.NvBufSurfaceUnMapEglImage, lambda *_: -1
    try:
        borrower.forget()
    finally:
        standin.library.NvBufSurfaceUnMapEglImage = unmap
    assert caplog.messages == ["a surface in video memory stays registered: NvBufSurfaceUnMapEglImage gave -1"]
    assert unmap(surface, 0) == 0


def test_a_buffer_that_cannot_be_mapped_is_an_error(standin: Standin, tmp_path: Path) -> None:
    caps = gst().Caps.from_string(f"{NVMM_CAPS},width={WIDTH},height={HEIGHT}")
    with pytest.raises(SurfaceLostError, match="cannot be mapped"):
        standin.borrower().borrow(gst().Sample.new(unreadable(tmp_path / "memory"), caps, None, None))


def live(standin: Standin, reconnect_s: float = 20) -> Live:
    text = (
        "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=100/1 "
        f"! {TO_ROWS} ! {NVMM_CAPS} ! {sink(live=True, memory=Memory.NVMM)}"
    )
    plan = Plan(text, ("appsink",), memory=Memory.NVMM)
    config = SourceConfig(uri="csi://0", reconnect_s=reconnect_s)
    return Live(Camera("csi://0", lambda _convert: plan, "check its cable"), config, lambda: 0, standin.device())


def test_a_live_camera_starts_anew_after_a_failed_call(standin: Standin) -> None:
    with board(standin), live(standin) as source:
        standin.fail("cuGraphicsEGLRegisterImage", 3)
        for frame in source:
            if source.counters.restarts and frame.index > 40:
                break
            frame.release()
    assert source.counters.restarts == 1 and standin.prepared == ["null", "null"]
    assert "cuGraphicsEGLRegisterImage gave 1" in source.counters.last_restart


def test_a_live_camera_whose_surfaces_never_come_through_is_lost(standin: Standin) -> None:
    def refuse(_image: int) -> Any:
        raise SurfaceLostError("cuGraphicsEGLRegisterImage gave 999")

    with board(standin), live(standin, reconnect_s=1) as source:
        source._lender._borrower.registrations._show = refuse  # type: ignore[attr-defined]
        with pytest.raises(CameraLostError, match="gave 999"):
            for _ in source:
                pass
    assert source.counters.frames == 0 and source.counters.restarts >= 1


# What is refused


def spoiled(**values: Any) -> Layout:
    def spoil(params: Any) -> None:
        for name, value in values.items():
            setattr(params, name, value)

    return Layout(spoil=spoil)


def plane_of(name: str, value: int) -> Layout:
    def spoil(params: Any) -> None:
        if name == "num_planes":
            params.planeParams.num_planes = value
        else:
            getattr(params.planeParams, name)[0] = value

    return Layout(spoil=spoil)


def batch_of(size: int, filled: int) -> Layout:
    def spoil(surface: Any) -> None:
        surface[1], surface[2] = size, filled

    return Layout(spoil_surface=spoil)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        (Layout(size=68), "68 bytes.*nvidia-l4t-multimedia"),
        (Layout(size=8), "8 bytes"),
        (spoiled(layout=1), "block-linear.*nvvidconv bl-output=false"),
        (spoiled(colorFormat=19), "colour format 19, not NV12.*nvvidconv"),
        (spoiled(colorFormat=1), "colour format 1, not NV12"),
        (spoiled(paramex=1), "an array, not in rows.*bl-output=false"),
        (spoiled(pitch=640), "rows of 640 bytes.*system memory"),
        (spoiled(height=100), "CUDA sees 318x100"),
        (plane_of("num_planes", 3), "3 planes"),
        (plane_of("width", 316), "316x178.*318x178 NV12"),
        (plane_of("height", 100), "318x100"),
        (plane_of("pitch", 300), "rows of 300 bytes"),
        (batch_of(2, 2), "batch of 2.*nvstreammux"),
        (batch_of(1, 2), "batch of 1"),
        (batch_of(0, 0), "batch of 0"),
    ],
)
def test_a_surface_that_lies_otherwise_is_refused_with_the_way_out(
    clip: Path, standin: Standin, layout: Layout, reason: str
) -> None:
    with board(standin, layout), opened(clip, standin) as source:
        kind, text = refusal_of(source)
        assert kind is SurfaceError, "trying again does not mend it"
        assert re.search(reason, text) and "\n" not in text and source.counters.frames == 0


def refusal_of(source: FrameSource) -> tuple[type[Exception], str]:
    """Kind and text of what the first frame raises; the error itself would hold the sample."""
    try:
        next(iter(source))
    except SurfaceError as error:
        return type(error), str(error)
    raise AssertionError("the frame was taken")


@pytest.mark.parametrize("colour", [6, 7, 33, 34, 36])
def test_nv12_in_every_colour_space_is_taken(pool: Pool, standin: Standin, colour: int) -> None:
    pool.params(0).colorFormat = colour
    borrower = standin.borrower()
    borrower.borrow(sample_of(pool)).release()
    borrower.forget()


def test_the_interface_of_another_release_is_refused(pool: Pool, standin: Standin, tmp_path: Path) -> None:
    release_file = tmp_path / "nv_tegra_release"
    borrow = NvmmBorrower(standin.library, partial(ShownImage, standin.library), release_file).borrow
    with pytest.raises(SurfaceError, match="in a container mount it"):
        borrow(sample_of(pool))
    release_file.write_text(f"# R{38 if standin.l4t == 35 else 36} (release), REVISION: 4.3\n")
    borrow = NvmmBorrower(standin.library, partial(ShownImage, standin.library), release_file).borrow
    with pytest.raises(SurfaceError, match="is not known"):
        borrow(sample_of(pool))


def test_pictures_in_system_memory_are_refused(pool: Pool, standin: Standin) -> None:
    with pytest.raises(SurfaceError, match=r"not in video memory \(video/x-raw, .*nvvidconv"):
        standin.borrower().borrow(sample_of(pool, "video/x-raw,format=NV12"))


def test_without_the_library_the_package_that_brings_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "libnvbufsurface.so").write_text("not a library")
    with pytest.raises(MissingElementError, match=r"nvidia-l4t-multimedia"):
        load_library((tmp_path / "libnvbufsurface.so", tmp_path / "absent.so"))
    with pytest.raises(MissingElementError, match=r"NvBufSurfaceMapEglImage"):
        load_library((Path("libc.so.6"),))


def test_without_the_converter_a_recording_says_so(clip: Path, standin: Standin) -> None:
    with pytest.raises(SourceError, match=r"'nvvidconv', not installed; it comes with JetPack"):
        opened(clip, standin)
