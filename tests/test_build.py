"""`edge-alpr build` as a user meets it, on a stand-in for TensorRT: what is built, kept, refused and told."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="the graphs are made with onnx: pip install -e .[export]")

import msgspec
from helpers_engines import NANO, NANO_NAME, blind, nano, opener, put_graphs
from rich.console import Console
from standin_tensorrt import Standin, facts_of

from edge_alpr.build import frames
from edge_alpr.build.command import Here, Request, build, this_machine
from edge_alpr.errors import BuildError, ConfigError, EdgeAlprError, ModelError, PlanError
from edge_alpr.infer.choose import choose
from edge_alpr.infer.graphs import gpu_graphs, outdated
from edge_alpr.infer.package import load_package, shipped, write_card
from edge_alpr.infer.plan import find_plan, sidecar_path
from edge_alpr.infer.planfolder import PlanFolder, own_recipe
from edge_alpr.infer.recipe import load_recipes, recipe_text


@pytest.fixture(scope="module", autouse=True)
def few_frames():
    """Fewer golden frames: the check has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "_MOST", 1)
        frames.golden_frames.cache_clear()
        yield
    frames.golden_frames.cache_clear()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return put_graphs(tmp_path_factory.mktemp("made"), ("fp16", "fp32"))


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """Graphs of their own for each test; linked, for nobody writes into them."""
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    for path in made.iterdir():
        os.link(path, graphs / path.name)
    return graphs


def built(here: Here, *, check: bool = True, **asked) -> str:
    """What the verb prints."""
    console = Console(file=StringIO(), width=240)
    try:
        build(Request(check=check, **asked), console, here)
    finally:
        text = console.file.getvalue()
        print(text)
    return text


def refused(here: Here, kind: type[EdgeAlprError] = BuildError, **asked) -> str:
    with pytest.raises(kind) as raised:
        built(here, **asked)
    return str(raised.value)


def rows(text: str) -> dict[str, str]:
    """What the table says of each graph."""
    lines = [line for line in text.splitlines() if "640x360p768" in line]
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


@pytest.mark.parametrize("version", ["8.6.2", "10.3.0", "11.4.1"])
def test_the_first_build_builds_and_proves_the_second_keeps(version, folder):
    trt = Standin(version)
    first = built(nano(trt), models=folder)
    assert first.startswith(f"Jetson Orin Nano: Orin (nvgpu), TensorRT {version}\n")
    assert "small 640x360p768 fp16 built" in rows(first)["detector"]
    assert "no plan of plate-reader-gpu-640x360p768-fp16 lies there" in first
    assert " texts, scores 0.000" in rows(first)["reader"]
    plans = PlanFolder(folder, own_recipe(folder, NANO_NAME, True), NANO, trt)
    for graph in gpu_graphs(folder):
        if graph.precision == "fp16":
            plan = find_plan(folder, plans.identity(graph))
            assert plans(graph.package) == plan.data
            assert plan.sidecar.golden.passed
            assert plan.sidecar.identity.typing == ("flags" if version == "8.6.2" else "strong")
            assert plan.sidecar.builder.startswith("edge-alpr 0.")
    second = built(nano(trt), models=folder)
    assert trt.calls["build_serialized_network"] == 2
    assert "small 640x360p768 fp16 kept" in rows(second)["detector"]


def test_what_is_stale_is_built_again_and_says_why(folder):
    built(nano(Standin("10.3.0")), models=folder)
    text = built(nano(Standin("10.13.2")), models=folder)
    assert text.count("built by TensorRT 10.3.0, this device has 10.13.2") == 2
    moved = nano(Standin("10.13.2"), machine=dataclasses.replace(NANO, driver="540.5.0"))
    assert "built with driver 540.4.0, this device has 540.5.0" in built(moved, models=folder)


def test_the_timing_cache_is_kept_for_this_tensorrt_and_driver(folder):
    trt = Standin("10.3.0")
    built(nano(trt), models=folder)
    (cache,) = folder.glob("timing-*")
    assert cache.name == "timing-trt10.3.0-sm87-540.4.0.cache"
    first, second = sorted(folder.glob("*.plan"), key=lambda path: path.stat().st_mtime_ns)
    assert facts_of(second.read_bytes())["timing"] > facts_of(first.read_bytes())["timing"]


def test_a_damaged_plan_is_built_again(folder):
    trt = Standin("10.3.0")
    built(nano(trt), models=folder)
    detector, reader = sorted(folder.glob("*.plan"))
    detector.write_bytes(detector.read_bytes()[:-1])
    sidecar_path(reader).unlink()
    text = built(nano(trt), models=folder)
    assert "were built" in rows(text)["detector"]
    assert "it has no sidecar" in rows(text)["reader"]
    assert rows(built(nano(trt), models=folder))["reader"].split()[2] == "kept"


def test_an_engine_that_sees_nothing_is_told_not_used_and_built_again(folder):
    trt = Standin("10.3.0")
    said = refused(nano(trt, blind), PlanError, models=folder)
    assert "its golden check failed: a plate of" in said
    assert "(1 more failed)" in said
    text = built(nano(trt), models=folder)
    assert "its golden check failed" in rows(text)["detector"]
    assert trt.calls["build_serialized_network"] == 4


def test_without_the_check_nothing_is_used_until_it_is_run(folder):
    trt = Standin("10.3.0")
    assert "(not checked, so it is not used yet)" in built(nano(trt), models=folder, check=False)
    text = built(nano(trt), models=folder)
    assert "checked" in rows(text)["reader"]
    assert "its golden check was not run" in rows(text)["reader"]
    assert trt.calls["build_serialized_network"] == 2


def test_one_graph_that_fails_does_not_stop_the_other(folder):
    trt = Standin("10.3.0", unsupported=("GridSample",))
    said = refused(nano(trt), PlanError, models=folder)
    assert said.startswith("plate-reader-gpu-640x360p768-fp16: TensorRT cannot parse the graph: node")
    assert "(GridSample)" in said
    assert len(list(folder.glob("*.plan"))) == 1


def test_memory_that_runs_out_is_told_with_its_remedy(folder):
    trt = Standin("10.3.0")
    trt.faults["build_serialized_network"] = MemoryError()
    assert "close other programs" in refused(nano(trt), PlanError, models=folder)


def test_another_precision_on_demand(folder):
    text = built(nano(Standin("10.3.0")), models=folder, precision="fp32")
    assert "fp32 built" in rows(text)["reader"]
    text = built(nano(Standin("10.3.0")), models=folder, precision="int8")
    assert "fp16, not int8: there is none" in rows(text)["reader"]
    assert "there is no precision 'int4'; known: fp32, fp16, int8" in refused(nano(Standin("10.3.0")), precision="int4")


def test_a_recipe_beside_the_graphs_is_used(folder):
    text = recipe_text("orin-nano").replace("[1, 2, 4, 8]", "[1, 3]").replace("= 512", "= 99")
    (folder / "recipe.toml").write_text(text)
    built(nano(Standin("10.3.0")), models=folder)
    plan = facts_of(next(folder.glob("plate-reader*.plan")).read_bytes())
    assert (len(plan["profiles"]), plan["pools"]["WORKSPACE"]) == (2, 99 << 20)
    (folder / "recipe.toml").write_text(recipe_text("orin-nx"))
    assert "the recipe is for Jetson Orin NX, this is NVIDIA Jetson Orin Nano" in refused(
        nano(Standin("10.3.0")), models=folder
    )
    (folder / "recipe.toml").write_text(text.replace("precision", "precission"))
    assert "unknown field" in refused(nano(Standin("10.3.0")), ConfigError, models=folder)


def test_a_board_that_no_recipe_knows(folder, tmp_path):
    odd = nano(Standin("10.3.0"), name="reComputer J4012")
    said = refused(odd, models=folder)
    assert said == (
        "no recipe knows the board 'reComputer J4012'; "
        "name one: edge-alpr build --for agx-orin|desktop|orin-nano|orin-nx|thor"
    )
    out = tmp_path / "image"
    assert "Jetson Orin NX: Orin (nvgpu)" in built(odd, models=folder, board="orin-nx", out=out)
    assert "kept" in built(odd, models=out)  # by the recipe that lies there now
    thor = built(odd, models=folder, board="thor", out=tmp_path / "thor")
    assert "compute capability 11.0 or 10.1, this GPU (Orin (nvgpu)) has 8.7" in thor
    old = nano(Standin("8.6.2"), machine=dataclasses.replace(NANO, sm="7.2"))
    assert "the recipe is for compute capability 8.7, this GPU (Orin (nvgpu)) has 7.2" in refused(old, models=folder)


def test_a_package_without_a_proven_plan_has_none(folder):
    plans = PlanFolder(folder, load_recipes()["orin-nano"], NANO, Standin("10.3.0"))
    with pytest.raises(PlanError, match="build it here: edge-alpr build"):
        plans(gpu_graphs(folder)[0].package)
    with pytest.raises(ModelError, match="it is no graph for the GPU"):
        plans(load_package(shipped("reader")))


def test_a_full_disk_is_told(folder, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    said = refused(nano(Standin("10.3.0")), PlanError, models=folder)
    assert "No space left on device; free some space" in said


def test_a_folder_is_prepared_on_a_machine_without_tensorrt(folder, tmp_path):
    def none():
        raise BuildError("TensorRT's Python module is not installed here")

    pc = Here("ASUS PRIME", False, none, none, opener())
    out = tmp_path / "image"
    text = built(pc, models=folder, board="orin-nano", out=out, precision="fp32")
    assert {path.name for path in out.iterdir()} == {
        *(f"plate-{n}-gpu-640x360p768-fp32.{e}" for n in ("detector-small", "reader") for e in ("onnx", "toml")),
        "recipe.toml",
    }
    assert "No plans were made here: TensorRT's Python module is not installed here" in text
    assert f"`edge-alpr build --models {out}` on the board makes them." in text
    assert "fp32 built" in rows(built(nano(Standin("10.3.0")), models=out))["reader"]
    assert "it is for Jetson Orin Nano; name another folder" in refused(pc, models=folder, board="thor", out=out)
    assert refused(pc, models=folder) == "TensorRT's Python module is not installed here"
    assert "there is no recipe for 'nano'" in refused(pc, models=folder, board="nano", out=out)


def test_on_the_board_the_prepared_folder_has_its_plans_too(folder, tmp_path):
    out = tmp_path / "image"
    text = built(nano(Standin("10.3.0")), models=folder, board="orin-nano", out=out)
    assert "built" in rows(text)["reader"]
    assert len(list(out.glob("*.plan"))) == 2
    other = built(nano(Standin("10.3.0")), models=folder, board="agx-orin", out=tmp_path / "agx")
    assert "No plans were made here: the recipe is for Jetson AGX Orin, this is NVIDIA Jetson Orin Nano" in other


def test_graphs_of_other_weights_are_left_out(folder):
    path = folder / "plate-reader-gpu-640x360p768-fp16.onnx"
    card = load_package(path).card
    path.with_suffix(".toml").unlink()  # a link of the others
    other = {"made_from": f"plate-reader.onnx sha256 {'0' * 64}"}
    write_card(path, msgspec.structs.replace(card, data={**card.data, **other}))
    text = built(nano(Standin("10.3.0")), models=folder, precision="fp16")
    assert "fp32, not fp16: made from another plate-reader.onnx than the installed one" in rows(text)["reader"]
    assert [outdated(graph) for graph in gpu_graphs(folder)].count("") == 3
    (folder / "plate-reader-gpu-640x360p768-fp32.onnx").unlink()
    assert "made from another plate-reader.onnx than the installed one; make them again" in refused(
        nano(Standin("10.3.0")), ModelError, models=folder
    )


def test_a_folder_that_lacks_a_part(folder, tmp_path):
    here = nano(Standin("10.3.0"))
    assert "no such folder" in refused(here, ModelError, models=tmp_path / "nowhere")
    assert "no graph for the GPU lies there" in refused(here, ModelError, models=tmp_path)
    for path in folder.glob("plate-reader*.onnx"):
        path.unlink()
    assert "no reader for frames of 640x360p768 lies beside its detector" in refused(here, ModelError, models=folder)


def test_a_package_that_does_not_hold_is_refused(folder):
    path = folder / "plate-reader-gpu-640x360p768-fp16.onnx"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data + b"\0")
    assert "its sha256 is" in refused(nano(Standin("10.3.0")), ModelError, models=folder)
    path.write_bytes(data)
    card = load_package(path).card
    path.with_suffix(".toml").unlink()
    write_card(path, msgspec.structs.replace(card, data={**card.data, "frame": "1280x720, 1536 bytes a row"}))
    assert "variant, frame and inside of its card do not fit its input" in refused(
        nano(Standin("10.3.0")), ModelError, models=folder
    )


def test_a_precision_that_nobody_made(folder):
    graphs = [graph for graph in gpu_graphs(folder) if graph.precision == "fp16"]
    recipe = load_recipes()["desktop"]
    assert [choice.graph.precision for choice in choose(graphs, recipe, "fp32")] == ["fp16", "fp16"]
    int8 = [dataclasses.replace(graph, precision="int8") for graph in graphs]
    with pytest.raises(ModelError, match="there is no fp16 graph of the detector small 640x360p768"):
        choose(int8, recipe, None)


def test_this_machine_says_in_one_line_that_it_cannot(folder):
    here = this_machine()
    assert here.module
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "edge_alpr.cli", "build", "--models", str(folder)]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=120)
    if "tensorrt" in sys.modules:
        pytest.skip("TensorRT is installed here")
    assert done.returncode == 2
    assert done.stderr.startswith("edge-alpr: no plan can be built here: TensorRT's Python module cannot be loaded")
    assert done.stderr.count("\n") == 1
