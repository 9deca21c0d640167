"""Frames in video memory reach CUDA by the calls of `infer.cuda`: both stand-ins at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import helpers_gpu as gpus
import numpy as np
import pytest
from helpers_camera import Clip, film, frames_of
from helpers_nvmm import Layout, Standin, board, rows_at

from edge_alpr.camera import open_source
from edge_alpr.camera.lender import DeviceFrames
from edge_alpr.config import SourceConfig
from edge_alpr.errors import SurfaceLostError
from edge_alpr.infer import cuda

Kit: TypeAlias = tuple[Standin, Layout, gpus.Driver, cuda.Gpu]


@pytest.fixture(params=[(35, False), (38, False), (38, True)], ids=["r36", "r38", "thor"])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kit]:
    l4t, thor = request.param
    driver, standin = gpus.Driver(), Standin(tmp_path, l4t)
    driver.reset()
    standin.join(driver.lib)
    with cuda.open_gpu(driver.path) as gpu:
        yield standin, Layout(thor=thor), driver, gpu
    standin.part()
    assert driver.alive == {} and driver.complaint == ""


def test_every_pixel_is_seen_by_cuda(kit: Kit, tmp_path: Path) -> None:
    standin, layout, driver, gpu = kit
    clip = film(tmp_path / "clip.mp4", Clip(frames=40, width=318, height=178))
    there = [frame.luma for frame in frames_of(clip)]
    with board(standin, layout):
        with open_source(SourceConfig(uri=str(clip)), device=standin.device(partial(cuda.EglImage, gpu))) as source:
            for frame, luma in zip(source, there, strict=True):
                plane = frame.plane
                assert plane is not None and plane.pointer % 256 == 0
                host = driver.lib.standin_host(plane.pointer, plane.pitch * plane.height)
                assert np.array_equal(rows_at(host, plane.pitch, plane.height, plane.width), luma)
                frame.release()
        assert driver.calls("cuGraphicsEGLRegisterImage") == driver.calls("cuGraphicsUnregisterResource")
        assert driver.calls("cuGraphicsEGLRegisterImage") == (0 if layout.thor else 8)


@pytest.mark.parametrize("kit", [(35, False), (38, False)], ids=["r36", "r38"], indirect=True)  # Thor needs no EGL
@pytest.mark.parametrize("call", ["cuGraphicsEGLRegisterImage", "cuGraphicsResourceGetMappedEglFrame"])
def test_a_call_that_fails_leaves_nothing(kit: Kit, tmp_path: Path, call: str) -> None:
    standin, layout, driver, gpu = kit
    clip = film(tmp_path / "clip.mp4", Clip(frames=10, width=318, height=178))
    with board(standin, layout):
        driver.fault(call)
        _is_refused(SourceConfig(uri=str(clip)), standin.device(partial(cuda.EglImage, gpu)))
        gc.collect()  # an error holds what its traceback saw


def _is_refused(config: SourceConfig, frames: DeviceFrames) -> None:
    with open_source(config, device=frames) as source, pytest.raises(SurfaceLostError, match="cannot be shown to CUDA"):
        next(iter(source))
