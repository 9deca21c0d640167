"""The checks for a machine with a GPU, on the stand-ins: all of them pass there, and each sees what it is there for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

pytest.importorskip("onnx", reason="the graphs for the GPU are composed with onnx: pip install -e .[export]")

from helpers_engines import NANO, NANO_NAME, opener, put_graphs
from helpers_gpu import PROFILES, Driver, checked_driver, standin_tensorrt
from standin_tensorrt import Standin

from edge_alpr.build.command import Here
from edge_alpr.build.golden import LIMITS
from edge_alpr.camera.lender import DeviceFrames
from edge_alpr.errors import MissingElementError
from edge_alpr.evidence import UNREAD
from edge_alpr.geometry import box_quad
from edge_alpr.gpudrive import Hardware
from edge_alpr.infer.cuda import open_gpu
from edge_alpr.infer.recipe import load_recipes
from edge_alpr.infer.rungs import find_gpu
from edge_alpr.types import Detection, Read
from export.compose import Plane
from export.gpu_checks import isolate, timing
from export.gpu_checks.__main__ import run_here
from export.gpu_checks.isolate import checked_apart
from export.gpu_checks.line import AbsentError, Line, WrongError, attempt
from export.gpu_checks.parity import Seen, compare
from export.gpu_checks.site import Effort, Site

EFFORT = Effort(stills=1, rounds=2, frames=4, settle=2)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_graphs(tmp_path_factory.mktemp("checks") / "graphs", ("fp32",), Plane(640, 360, 768), near=True)


def no_frames(*_: object) -> DeviceFrames:
    raise MissingElementError("no nvcodec here; install it")


@pytest.fixture
def driver() -> Iterator[Driver]:
    with checked_driver() as driver:
        yield driver


@pytest.fixture
def world(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return standin_tensorrt(driver, monkeypatch)


@pytest.fixture
def site(graphs: Path, driver: Driver, world: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(timing, "WARM", 1)
    hardware = Hardware(
        gpu=lambda: open_gpu(driver.path),
        frames=no_frames,
        recipe=lambda folder: load_recipes()["orin-nano"],
        plans=lambda folder, recipe: lambda package: world.plan_of(
            package.model, PROFILES if package.card.reader else ()
        ),
    )
    here = Here(NANO_NAME, True, partial(Standin, "10.3.0"), lambda: NANO, opener())
    return Site(graphs, None, EFFORT, hardware, lambda: here, gpus={})


def lines_of(check: str, site: Site, folder: Path) -> list[Line]:
    folder.mkdir(exist_ok=True)
    run_here([check], site, folder / "lines")
    return [msgspec.json.decode(line, type=Line) for line in (folder / "lines").read_bytes().splitlines()]


@pytest.mark.parametrize("check", ["facts", "driver", "build", "parity", "throughput", "latency", "memory"])
def test_what_a_stand_in_can_do_is_measured_there(check: str, site: Site, tmp_path: Path) -> None:
    lines = lines_of(check, site, tmp_path)
    about_time = {"throughput"}  # the share of engines that compute on a busy processor says nothing
    assert [(line.what, line.why) for line in lines if line.result != "ok" and check not in about_time] == []
    assert len(lines) == {"facts": 3, "driver": 1, "build": 3, "latency": 6}.get(check, 1)
    assert all(line.figures for line in lines)


def test_what_is_not_there_is_absent_and_says_what_to_install(site: Site, tmp_path: Path) -> None:
    needs_no_gpu = [line for check in ("rungs", "video") for line in lines_of(check, site, tmp_path / check)]
    assert {line.result for line in needs_no_gpu} == {"absent"}
    assert all("install" in line.why for line in needs_no_gpu)


def test_a_run_that_is_not_captured_is_told(site: Site, world: ModuleType, tmp_path: Path) -> None:
    world.world.capturable = False
    (line,) = lines_of("parity", site, tmp_path)
    world.world.capturable = True
    assert (line.result, line.figures["texts_same"]) == ("failed", line.figures["texts"])
    assert "not captured: " in line.why


def plate(x: float, score: float, text: str) -> tuple[Detection, Read]:
    return Detection(box_quad(x, 10, x + 60, 30), score), replace(UNREAD, plate=text, score=0.9)


def seen(*plates: tuple[Detection, Read]) -> list[Seen]:
    return [Seen([one for one, _ in plates], [read for _, read in plates])]


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (seen(plate(10, 0.8, "AB1"), plate(200, 0.36, "CD2")), ""),
        (seen(plate(10, 0.8, "AB1")), ""),  # the other one is seen at the threshold only
        (seen(plate(10, 0.8, "AB7"), plate(200, 0.36, "CD2")), "1 texts differ"),
        (seen(plate(11.5, 0.8, "AB1"), plate(200, 0.36, "CD2")), "a corner lies 1.50 px off"),
        (seen(plate(10, 0.7, "AB1"), plate(200, 0.36, "CD2")), "a score differs by 0.100"),
        (seen(plate(10, 0.8, "AB1"), plate(400, 0.9, "")), "1 plates are seen by one alone"),
        (seen(), "nothing is read"),
    ],
)
def test_what_differs_from_the_processor_is_named(found: list[Seen], wrong: str) -> None:
    wanted = seen(plate(10, 0.8, "AB1"), plate(200, 0.36, "CD2"))
    problems = [problem for problem, there in compare(found, wanted, LIMITS["fp16"])[1].items() if there]
    assert any(problem.startswith(wrong) for problem in problems) if wrong else problems == []


def test_one_that_fails_is_a_line_and_not_the_end() -> None:
    def raising(error: Exception) -> Line:
        def work() -> dict[str, float]:
            raise error

        return attempt("driver", "x", work)

    assert (raising(AbsentError("no GPU")).result, raising(KeyError("a")).result) == ("absent", "failed")
    wrong = raising(WrongError("off", {"px": 2.0}))
    assert (wrong.result, wrong.why, wrong.figures) == ("failed", "off", {"px": 2.0})


@pytest.mark.parametrize(
    ("does", "why"),
    [("sleep 60", "stopped after 2 s"), ("kill -SEGV $$", "ended by SIGSEGV"), ("true", "it said nothing"),
     ("echo why; exit 3", "ended with 3; why")],
)  # fmt: skip
def test_a_check_that_hangs_or_crashes_ends_as_a_line(
    does: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(isolate, "_LEAST_S", 1.0)
    (line,) = checked_apart("driver", [], 2.0)
    assert (line.result, line.why) == ("failed", why)


def test_one_command_tells_what_it_found_also_without_a_gpu(repo: Path, tmp_path: Path) -> None:
    if find_gpu()[0] is not None:
        pytest.skip("there is a GPU here")
    report = tmp_path / "report.json"
    command = ["-m", "export.gpu_checks", "--only", "facts", "--json", str(report), "--engines", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], cwd=repo, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = msgspec.json.decode(report.read_bytes(), type=list[Line])
    assert [(line.what, line.result) for line in lines][:2] == [("software", "ok"), ("GPU", "absent")]
    assert "libcuda.so.1 cannot be loaded" in done.stdout.replace("\n", " ")
