"""Pictures in video memory shown to the processor: real GStreamer, the stand-in for NVIDIA's library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers_camera import Clip, film, frames_of
from helpers_nvmm import Standin, board

from edge_alpr.camera import open_source
from edge_alpr.config import SourceConfig
from edge_alpr.errors import SurfaceLostError
from edge_alpr.gpuhealth import MOST_IN_A_ROW, GpuHealth
from edge_alpr.types import Frame, Memory


@pytest.fixture(params=[35, 38], ids=["r36", "r38"])
def standin(request: pytest.FixtureRequest, tmp_path: Path) -> Standin:
    return Standin(tmp_path, request.param)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return film(tmp_path / "clip.mp4", Clip(frames=12, width=318, height=178))


def lent(standin: Standin, clip: Path, health: GpuHealth | None = None) -> Iterator[Frame]:
    with board(standin), open_source(SourceConfig(uri=str(clip)), device=standin.device(health=health)) as source:
        for frame in source:
            with frame:
                yield frame


def test_the_processor_sees_what_it_would_have_decoded(standin: Standin, clip: Path):
    there = [(frame.luma, frame.chroma) for frame in frames_of(clip)]
    for frame, (luma, chroma) in zip(lent(standin, clip), there, strict=True):
        with frame.on_host() as host:
            assert host.plane is None and host.memory is Memory.SYSTEM
            assert np.array_equal(host.luma, luma)
            assert [plane.shape for plane in host.chroma] == [(89, 318)]
            assert all(np.array_equal(host.chroma[0][:, i::2], plane) for i, plane in enumerate(chroma))
            assert standin.count("shown") == 1
        assert standin.count("shown") == 0


def test_a_frame_in_system_memory_is_itself(clip: Path):
    with open_source(SourceConfig(uri=str(clip))) as source:
        frame = next(iter(source))
        with frame.on_host() as host:
            assert host is frame


@pytest.mark.parametrize("call", ["NvBufSurfaceMap", "NvBufSurfaceSyncForCpu"])
def test_a_picture_that_cannot_be_shown_is_an_error_and_leaves_nothing(standin: Standin, clip: Path, call: str):
    for number, frame in enumerate(lent(standin, clip)):
        if number == 3:
            standin.fail(call)
            with pytest.raises(SurfaceLostError, match=f"{call} gave -1"), frame.on_host():
                pass
        with frame.on_host() as host:
            assert host.luma.any()


def test_unmapping_is_tried_twice(standin: Standin, clip: Path, caplog: pytest.LogCaptureFixture):
    for frame in lent(standin, clip):
        standin.fail("NvBufSurfaceUnMap")
        with frame.on_host():
            pass
        assert standin.count("shown") == 0
    assert "stays mapped" in caplog.text


def test_a_registration_that_fails_costs_no_frame(standin: Standin, clip: Path):
    there = [frame.luma for frame in frames_of(clip)]
    health, memories = GpuHealth(), []
    for number, (frame, luma) in enumerate(zip(lent(standin, clip, health), there, strict=True)):
        memories.append(frame.memory)
        with frame.on_host() as host:
            assert np.array_equal(host.luma, luma)
        if number == 1:
            standin.fail("cuGraphicsEGLRegisterImage")
    assert memories.count(Memory.SYSTEM) == 1
    assert (health.faults, health.lost) == (1, "")


def test_a_gpu_that_is_given_up_leaves_the_frames_to_the_processor(standin: Standin, clip: Path):
    there = [frame.luma for frame in frames_of(clip)]
    reasons: list[str] = []
    health = GpuHealth(reasons.append)
    for number, (frame, luma) in enumerate(zip(lent(standin, clip, health), there, strict=True)):
        assert (frame.plane is None) == (number > 3)
        with frame.on_host() as host:
            assert np.array_equal(host.luma, luma)
        if number == 3:
            for _ in range(MOST_IN_A_ROW):
                health.fault(SurfaceLostError("it failed"))
    assert reasons == ["it failed"]
