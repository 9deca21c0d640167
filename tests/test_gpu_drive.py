"""A whole drive whose frames stay in video memory, on stand-ins for NVIDIA's libraries: the events of the processor's.

Surfaces, CUDA and TensorRT are stand-ins, decoder, buffers, networks and all else are real.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import cv2
import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx", reason="the graphs for the GPU are composed with onnx: pip install -e .[export]")

from helpers_camera import run_pipeline
from helpers_engines import put_graphs
from helpers_gpu import PROFILES, Driver, checked_driver, standin_tensorrt
from helpers_nvmm import NOTHING, Layout, Standin, board
from helpers_sets import point, put_graphs_of, put_set

from edge_alpr.config import Config, DetectConfig, ModelsConfig, OutputConfig, SourceConfig, StoreConfig
from edge_alpr.doctor.gpu import gpu
from edge_alpr.drive import Drive, Screen, Summary
from edge_alpr.errors import GpuError, SurfaceLostError
from edge_alpr.gpudrive import Hardware
from edge_alpr.hotswap import renewal
from edge_alpr.infer.cuda import EglImage, open_gpu
from edge_alpr.infer.recipe import load_recipes
from edge_alpr.onplane import Looked, OnPlane
from edge_alpr.pipeline import MOST_BLIND
from edge_alpr.types import DevicePlane, Event
from export.compose import Plane, bytes_out

FRAMES, SHORT, START = 89, 29, 9
"""Of the clips; the last picture of what is cut out is one that others are made of."""
SAMPLE = Path(__file__).resolve().parents[1] / "edge_alpr" / "samples" / "drive.mp4"
LIMIT = 16 * 1024
"""Bytes that may come back for a frame."""


Driven: TypeAlias = tuple[Summary, list[Event]]


@dataclass
class Rig:
    """A board of stand-ins, with the graphs for its frames."""

    folder: Path
    clip: Path
    driver: Driver
    trt: ModuleType
    standin: Standin
    thor: bool
    pitch: int = 1536
    look_again: bool = True
    shelf: str = ""
    said: set[str] = field(default_factory=set)
    """What the screen was told that is not as usual."""

    def hardware(self) -> Hardware:
        return Hardware(
            gpu=lambda: open_gpu(self.driver.path),
            frames=lambda gpu, health: self.standin.device(partial(EglImage, gpu), health),
            recipe=lambda folder: load_recipes()["orin-nano"],
            plans=lambda folder, recipe: lambda package: self.trt.plan_of(
                package.model, PROFILES if package.card.reader else ()
            ),
        )

    def config(self, name: str, run_on: str) -> Config:
        return Config(
            source=SourceConfig(uri=str(self.clip)),
            models=ModelsConfig(
                tier="small", precision="full", run_on=run_on, engines=str(self.folder / "graphs"), shelf=self.shelf
            ),
            detect=DetectConfig(look_again=self.look_again),
            store=StoreConfig(path=str(self.folder / name)),
            output=OutputConfig(events=str(self.folder / f"{name}.jsonl")),
        )

    def drive(
        self, name: str = "gpu", run_on: str = "gpu", progress: Callable[[int], None] = lambda frames: None
    ) -> Driven:
        self.said.clear()
        with board(self.standin, Layout(pitch=self.pitch, thor=self.thor)):
            screen = Screen(progress=progress, status=self.said.add)
            summary = Drive(self.config(name, run_on), screen, hardware=self.hardware()).run()
            gc.collect()
        return summary, events_in(self.folder / f"{name}.jsonl")

    def calls(self, part: str, call: str) -> int:
        if part == "tensorrt":
            return int(self.trt.world.calls[call])
        return self.driver.calls(call) if call.startswith("cu") else self.standin.calls(call)

    def fail(self, part: str, call: str) -> None:
        """The next such call fails."""
        if part == "tensorrt":
            self.trt.world.fault = self.trt.Fault(call, 1, False)
        elif call.startswith("cu"):
            self.driver.fault(call)
        else:
            self.standin.fail(call)


def events_in(path: Path) -> list[Event]:
    return [msgspec.json.decode(line, type=Event) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu-drive")
    put_graphs(folder / "graphs", ("fp32",), Plane(1280, 720, 1536), near=True)
    for name, frames in (("clip", FRAMES), ("short", SHORT), ("start", START)):
        cut = f"qtdemux ! h264parse ! identity eos-after={frames + 1} ! mp4mux"
        run_pipeline(f'filesrc location="{SAMPLE}" ! {cut} ! filesink location="{folder / name}.mp4"')
    return folder


@contextmanager
def rigged(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, l4t: int, thor: bool) -> Iterator[Rig]:
    with checked_driver() as driver:
        standin = Standin(tmp_path, l4t)
        standin.join(driver.lib)
        rig = Rig(tmp_path, folder / "clip.mp4", driver, standin_tensorrt(driver, monkeypatch), standin, thor)
        (tmp_path / "graphs").symlink_to(folder / "graphs")
        yield rig
        standin.part()


@pytest.fixture
def rig(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with rigged(folder, tmp_path, monkeypatch, 38, thor=False) as rig:
        yield rig


@pytest.fixture(scope="module")
def on_cpu(folder: Path) -> Driven:
    """The same clip from system memory."""
    return driven_on_cpu(folder, "clip", True)


@pytest.fixture(scope="module")
def short_on_cpu(folder: Path) -> Driven:
    return driven_on_cpu(folder, "short", True)


@cache
def driven_on_cpu(folder: Path, clip: str, look_again: bool) -> Driven:
    config = Config(
        source=SourceConfig(uri=str(folder / f"{clip}.mp4")),
        models=ModelsConfig(tier="small", precision="full", run_on="cpu"),
        detect=DetectConfig(look_again=look_again),
        store=StoreConfig(path=str(folder / f"{clip}-{look_again}")),
        output=OutputConfig(events=str(folder / f"{clip}-{look_again}.jsonl")),
    )
    summary = Drive(config, Screen()).run()
    return summary, events_in(folder / f"{clip}-{look_again}.jsonl")


def life(event: Event) -> tuple[object, ...]:
    return event.state, event.plate, event.track_id, event.epoch_end - event.epoch_start, event.reads


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.state, event.plate) for event in events if event.state == "confirmed"]


@pytest.mark.parametrize(
    ("board", "clip", "look_again"),
    [((36, False), "short", True), ((38, False), "clip", True), ((38, True), "short", True),
     ((38, False), "short", False)],
    ids=["r36", "r38", "thor", "one-look"],
)  # fmt: skip
def test_the_events_are_those_of_the_processor(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, board: tuple[int, bool], clip: str, look_again: bool
) -> None:
    on_cpu = driven_on_cpu(folder, clip, look_again)
    with rigged(folder, tmp_path, monkeypatch, *board) as rig:
        rig.clip, rig.look_again = rig.clip.with_stem(clip), look_again
        summary, events = rig.drive()
        assert (summary.frames, summary.gpu_faults, summary.gpu_lost) == (on_cpu[0].frames, 0, "")
        assert [life(event) for event in events] == [life(event) for event in on_cpu[1]]
        assert len(told(events)) == (3 if clip == "clip" else 1)
        for event, other in zip(events, on_cpu[1], strict=True):
            assert event.score == pytest.approx(other.score, abs=0.02)
            assert {part.partition(":")[0] for part in event.models.values()} == {"tensorrt"}
        assert {part.partition(":")[0] for part in summary.models.values()} == {"tensorrt"}


def test_confirmed_plates_have_their_pictures_and_most_frames_send_none(rig: Rig, on_cpu: Driven) -> None:
    shown = rig.standin.calls("NvBufSurfaceMap")
    _, events = rig.drive()
    shown = rig.standin.calls("NvBufSurfaceMap") - shown
    for event in events:
        if event.state == "confirmed":
            plate = cv2.imread(str(rig.folder / "gpu" / event.images.plate))
            scene = cv2.imread(str(rig.folder / "gpu" / event.images.frame))
            assert scene.shape == (360, 640, 3)
            assert plate.shape[1] >= event.box.xmax - event.box.xmin
            assert np.ptp(scene.astype(int), axis=2).mean() > 1  # in colour
    assert 3 <= shown <= FRAMES // 3


def test_little_comes_back_for_any_frame(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_alpr.drive.usable_cores", lambda: 1)  # in turn: what comes back is this frame's
    seen = [0]
    rig.drive(progress=lambda frames: seen.append(rig.driver.downloaded))
    costs = np.diff(seen)[1:]  # with the first frame the networks are tried
    assert costs.max() == bytes_out(4) < LIMIT  # with four plates in view


FAULTS = (
    *[("cuda", name) for name in ("cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuEventRecord", "cuEventSynchronize",
                                  "cuGraphLaunch", "cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuCtxSetCurrent",
                                  "cuGraphInstantiateWithFlags")],
    *[("egl", name) for name in ("NvBufSurfaceMapEglImage", "cuGraphicsEGLRegisterImage", "NvBufSurfaceMap",
                                 "cuGraphicsResourceGetMappedEglFrame", "NvBufSurfaceSyncForCpu", "NvBufSurfaceUnMap")],
    *[("tensorrt", name) for name in ("execute_async_v3", "set_tensor_address")],
)  # fmt: skip


@pytest.mark.parametrize(("part", "call"), FAULTS, ids=[name for _, name in FAULTS])
def test_a_call_that_fails_once_in_mid_drive_costs_no_vehicle(
    rig: Rig, short_on_cpu: Driven, part: str, call: str
) -> None:
    rig.clip = rig.clip.with_stem("short")
    before: list[int] = []

    def fail(frames: int) -> None:
        if frames == 3:
            before.append(rig.calls(part, call))
            rig.fail(part, call)

    summary, events = rig.drive(progress=fail)
    assert rig.calls(part, call) > before[0]
    assert summary.frames == short_on_cpu[0].frames
    assert summary.gpu_lost == ""
    assert told(events) == told(short_on_cpu[1]) != []


AT_START = (
    *[("cuda", name) for name in ("cuInit", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute",
                                  "cuDriverGetVersion", "cuDeviceTotalMem_v2", "cuDevicePrimaryCtxRetain",
                                  "cuMemAlloc_v2", "cuMemAllocHost_v2", "cuStreamCreate", "cuEventCreate",
                                  "cuMemsetD8Async", "cuStreamSynchronize")],
    *[("tensorrt", name) for name in ("Runtime", "deserialize_cuda_engine", "create_execution_context",
                                      "set_optimization_profile_async", "set_input_shape", "get_tensor_shape",
                                      "set_input_consumed_event")],
)  # fmt: skip


@pytest.mark.parametrize(("part", "call"), AT_START, ids=[name for _, name in AT_START])
def test_a_call_that_fails_at_the_start_leaves_the_drive_to_another_rung(rig: Rig, part: str, call: str) -> None:
    rig.clip = rig.clip.with_stem("start")
    before = rig.calls(part, call)
    rig.fail(part, call)
    summary, events = rig.drive(run_on="auto")
    assert rig.calls(part, call) > before
    assert summary.frames == START
    assert told(events) == [("confirmed", "7XKM482")]


@pytest.mark.parametrize("blind", [1, MOST_BLIND - 1, MOST_BLIND])
def test_frames_that_nobody_can_look_at_are_followed_but_not_for_long(
    rig: Rig, short_on_cpu: Driven, monkeypatch: pytest.MonkeyPatch, blind: int
) -> None:
    rig.clip = rig.clip.with_stem("short")
    monkeypatch.setattr("edge_alpr.drive.usable_cores", lambda: 1)  # in turn, so that the failures meet one frame
    monkeypatch.setattr("edge_alpr.gpuhealth.MOST_IN_A_ROW", 99)
    look, left = OnPlane.start, [0]

    def start(self: OnPlane, plane: DevicePlane, most: int | None = None) -> Looked:
        if left[0] > 0:
            left[0] -= 1
            rig.standin.fail("NvBufSurfaceMap")
            raise GpuError("made to fail", status=1)
        return look(self, plane, most)

    def fail(frames: int) -> None:
        if frames == 12:
            left[0] = blind

    monkeypatch.setattr(OnPlane, "start", start)
    if blind == MOST_BLIND:
        with pytest.raises(SurfaceLostError, match="NvBufSurfaceMap gave -1"):
            rig.drive(progress=fail)
        gc.collect()  # the error holds what its traceback saw
        deadline = time.monotonic() + 20
        while rig.standin.held() != NOTHING and time.monotonic() < deadline:
            time.sleep(0.01)  # a thread of GStreamer's that ends may be the last to hold a buffer
        assert rig.standin.held() == NOTHING
        return
    summary, events = rig.drive(progress=fail)
    assert (summary.frames, summary.coasted) == (short_on_cpu[0].frames, blind)
    assert summary.gpu_faults == 2 * blind
    assert told(events) == told(short_on_cpu[1])


def test_without_graphs_for_its_frames_the_processor_reads_and_says_why(
    rig: Rig, short_on_cpu: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    rig.clip = rig.clip.with_stem("short")
    rig.pitch = 2048
    summary, events = rig.drive()
    assert "no graph takes frames of 1280x720 with 2048 bytes a row, there are: 1280x720p1536" in caplog.text
    assert told(events) == told(short_on_cpu[1])
    assert summary.gpu_lost and summary.models["detector"].startswith("onnxruntime-cpu")


def until(caplog: pytest.LogCaptureFixture, act: Callable[[], object], said: str) -> None:
    """Do something, and hold the drive until it has said this of it."""
    act()
    ends = time.monotonic() + 60
    while said not in caplog.text:
        assert time.monotonic() < ends, f"never said: {said}"
        time.sleep(0.02)


@pytest.mark.parametrize("graphs", [True, False])
def test_another_model_set_takes_over_on_the_gpu_only_with_graphs_of_its_own(
    rig: Rig, on_cpu: Driven, graphs: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="edge_alpr.hotswap")
    monkeypatch.setattr(renewal, "EVERY_S", 0.05)
    folder = put_set(rig.folder / "shelf", "2.0.0")
    if graphs:
        put_graphs_of(folder, rig.folder / "graphs")
    rig.shelf = str(folder.parent)
    said = "models 2.0.0 are open" if graphs else "models 2.0.0: no graphs for the GPU were made from them"

    def switch(frames: int) -> None:
        if frames == 30:
            until(caplog, lambda: point(folder.parent, "current", "2.0.0"), said)

    summary, events = rig.drive(progress=switch)
    assert (summary.frames, summary.gpu_faults, summary.gpu_lost) == (on_cpu[0].frames, 0, "")
    assert (summary.models_swaps, summary.models_version) == ((1, "2.0.0") if graphs else (0, ""))
    assert [life(event) for event in events] == [life(event) for event in on_cpu[1]]
    assert {part.partition(":")[0] for event in events for part in event.models.values()} == {"tensorrt"}
    assert len({event.models["reader"] for event in events}) == (2 if graphs else 1)
    assert rig.said == {"", *([] if graphs else ["models on the shelf not taken, see the log"])}


@pytest.mark.parametrize("run_on", ["gpu", "auto"])
def test_a_drive_on_the_gpu_begins_with_the_shipped_set_where_the_other_has_no_graphs(
    rig: Rig, run_on: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig.clip = rig.clip.with_stem("start")
    folder = put_set(rig.folder / "shelf", "2.0.0")
    point(folder.parent, "current", "2.0.0")
    rig.shelf = str(folder.parent)
    summary, events = rig.drive(run_on=run_on)
    assert told(events) == [("confirmed", "7XKM482")]
    assert summary.models_version == ""
    assert summary.models_refused.startswith("models 2.0.0: no graphs for the GPU were made from them; put them into")
    assert {part.partition(":")[0] for part in summary.models.values()} == {"tensorrt"}
    assert "the shipped models read, for the GPU has nothing of the others: models 2.0.0: no graphs" in caplog.text


def test_insisting_on_a_gpu_that_is_not_there_is_an_error(rig: Rig) -> None:
    rig.driver.fault("cuInit")
    with pytest.raises(GpuError, match="cuInit"):
        rig.drive()


def test_a_gpu_that_goes_away_leaves_the_drive_to_the_processor(
    rig: Rig, on_cpu: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    summary, events = rig.drive(progress=lambda frames: rig.driver.lose() if frames == 40 else None)
    assert summary.frames == on_cpu[0].frames
    assert summary.gpu_lost
    assert "the GPU is given up, the processor reads from now on" in caplog.text
    assert "GPU given up, the processor reads" in rig.said
    assert told(events) == told(on_cpu[1])
    assert [event.models["detector"].partition(":")[0] for event in events if event.state == "confirmed"] == [
        "tensorrt", "onnxruntime-cpu", "onnxruntime-cpu",
    ]  # fmt: skip
    assert rig.driver.complaint == "a surface goes before its registration"  # nothing could be given back
    rig.driver.reset()


def test_doctor_says_which_rung_runs_each_network(rig: Rig) -> None:
    rig.driver.fault("cuMemAlloc_v2", nth=1)
    first = list(gpu(rig.config("doctor", "auto"), rig.hardware()))
    second = list(gpu(rig.config("doctor", "auto"), rig.hardware()))
    assert [(found.status, found.what.partition(":")[2]) for found in second[1:]] == [
        ("ok", " tensorrt runs"), ("ok", " tensorrt runs"), ("ok", " tensorrt runs"),
    ]  # fmt: skip
    assert (first[1].status, first[2].status) == ("limited", "ok")
    assert "cuMemAlloc_v2" in first[1].what
    assert second[0].what.startswith("stand-in")
