"""The builder on stand-ins for TensorRT 8.6, 10.3 and 11: what each is told, and what a refusal says."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the graphs are made with onnx: pip install -e .[export]")

from helpers_engines import put_graphs
from onnx import TensorProto, helper, numpy_helper
from standin_tensorrt import Standin, facts_of, onnx_of

from edge_alpr.errors import BuildError, BuildMemoryError
from edge_alpr.infer.builder import build_plan, load_builder, typing_of
from edge_alpr.infer.graphs import Graph, Settings, gpu_graphs, settings_of
from edge_alpr.infer.recipe import load_recipes

VERSIONS = ("8.6.2", "10.3.0", "11.4.1")
PLAIN = Settings("fp32", (), workspace_mb=64, optimization_level=3)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory) -> dict[str, Graph]:
    found = gpu_graphs(put_graphs(tmp_path_factory.mktemp("graphs")))
    return {graph.kind: graph for graph in found}


def tiny(quantised: bool = False, dynamic: bool = False) -> bytes:
    """A graph of one product, with or without Q/DQ nodes before it."""
    nodes = [helper.make_node("Mul", ["deq" if quantised else "x", "two"], ["y"], name="product")]
    if quantised:
        nodes[:0] = [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="quantise"),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["deq"], name="dequantise"),
        ]
    constants = {"two": np.float32(2), "scale": np.float32(0.1), "zero": np.int8(0)}
    shape = ["n", 4] if dynamic else [1, 4]
    inputs, outputs = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)] for n in "xy")
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def settings(graph: Graph, board: str = "orin-nano", **changes) -> Settings:
    return dataclasses.replace(settings_of(graph, load_recipes()[board]), **changes)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_half_graph_is_typed_as_the_version_can(version, graphs):
    trt, graph = Standin(version), graphs["reader"]
    built = build_plan(trt, graph.package.model, settings(graph))
    facts = facts_of(built.plan)
    assert onnx_of(built.plan) == graph.package.model
    assert facts["strong"] == (version != "8.6.2")
    assert facts["flags"] == (["FP16", "OBEY_PRECISION_CONSTRAINTS"] if version == "8.6.2" else [])
    assert facts["pools"] == {"WORKSPACE": 512 << 20}
    assert facts["preview"] == ([] if version == "11.4.1" else ["PROFILE_SHARING_0806"])  # 8.6 shares only when told
    assert [profile["quads"] for profile in facts["profiles"]] == [[[n, 4, 2]] * 3 for n in (1, 2, 4, 8)]
    assert typing_of(trt, settings(graph)) == ("flags" if version == "8.6.2" else "strong")


def test_version_8_holds_in_single_what_the_graph_has_in_single(graphs):
    facts = facts_of(build_plan(Standin("8.6.2"), graphs["reader"].package.model, settings(graphs["reader"])).plan)
    assert {"SOFTMAX", "GRID_SAMPLE", "ELEMENTWISE"} <= set(facts["held_types"])
    assert not {"CAST", "SHUFFLE", "SLICE", "GATHER"} & set(facts["held_types"])
    assert facts["held"] < facts["layers"] / 2


def test_version_8_is_told_of_outputs_in_halves(tmp_path):
    graph = next(one for one in gpu_graphs(put_graphs(tmp_path, ("fp32",))) if one.kind == "reader")
    facts = facts_of(build_plan(Standin("8.6.2"), graph.package.model, settings(graph)).plan)
    assert facts["flags"] == ["FP16", "OBEY_PRECISION_CONSTRAINTS"]
    assert facts["held"] > facts["layers"] / 2


@pytest.mark.parametrize("version", VERSIONS)
def test_a_detector_has_no_profile(version, graphs):
    graph = graphs["detector"]
    assert facts_of(build_plan(Standin(version), graph.package.model, settings(graph)).plan)["profiles"] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_int8_comes_from_the_graph_alone(version):
    whole = dataclasses.replace(PLAIN, precision="int8")
    facts = facts_of(build_plan(Standin(version), tiny(quantised=True), whole).plan)
    assert facts["flags"] == (["INT8"] if version == "8.6.2" else [])
    assert (facts["strong"], facts["held"]) == (version != "8.6.2", 0)
    with pytest.raises(BuildError, match="has no Q/DQ nodes, its card says int8; export it again"):
        build_plan(Standin(version), tiny(), whole)
    with pytest.raises(BuildError, match="has Q/DQ nodes, its card says fp16"):
        build_plan(Standin(version), tiny(quantised=True), dataclasses.replace(PLAIN, precision="fp16"))


@pytest.mark.parametrize("version", VERSIONS)
def test_single_precision_is_whole(version):
    facts = facts_of(build_plan(Standin(version), tiny(), PLAIN).plan)
    assert (facts["flags"], facts["level"]) == ([], 3)  # TF32 is off: it would lose grey levels


@pytest.mark.parametrize("version", VERSIONS)
def test_the_dla_is_used_where_it_is(version):
    whole = dataclasses.replace(PLAIN, precision="fp16", dla_core=1)
    facts = facts_of(build_plan(Standin(version, dla_cores=2), tiny(), whole).plan)
    assert (facts["device"], facts["dla"]) == ("DLA", 1)
    assert "GPU_FALLBACK" in facts["flags"]
    assert facts["strong"] == (version == "11.4.1")
    alone = dataclasses.replace(whole, dla_fallback=False)
    assert "GPU_FALLBACK" not in facts_of(build_plan(Standin(version, dla_cores=2), tiny(), alone).plan)["flags"]
    with pytest.raises(BuildError, match="finds 1 DLA cores here, the recipe wants core 1; take dla_core out"):
        build_plan(Standin(version, dla_cores=1), tiny(), whole)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_operator_that_is_not_known_is_named_with_its_node(version, graphs):
    with pytest.raises(BuildError) as raised:
        build_plan(Standin(version, unsupported=("GridSample",)), graphs["reader"].package.model, PLAIN)
    assert "cannot parse the graph: node " in str(raised.value)
    assert "No importer registered for op: GridSample" in str(raised.value)
    if version == "8.6.2":
        assert "While parsing node number" in str(raised.value)
    else:
        assert "(GridSample)" in str(raised.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_garbage_is_refused(version):
    with pytest.raises(BuildError, match="Failed to parse ONNX model"):
        build_plan(Standin(version), b"garbage", PLAIN)


def test_profiles_and_graph_must_agree(graphs):
    with pytest.raises(BuildError, match=r"inputs of any size: \['quads'\], profiles in the recipe: \[\]"):
        build_plan(Standin("10.3.0"), graphs["reader"].package.model, dataclasses.replace(PLAIN, precision="fp16"))
    with pytest.raises(BuildError, match=r"inputs of any size: \[\], profiles in the recipe: \[4\]"):
        build_plan(Standin("10.3.0"), tiny(), dataclasses.replace(PLAIN, profiles=(4,)))


TROUBLE = RuntimeError("the driver is gone")
FAULTS = {
    "Builder": TypeError("pybind11::init(): factory function returned nullptr"),
    "create_network": TROUBLE,
    "OnnxParser": TROUBLE,
    "OnnxParser.parse": False,
    "create_builder_config": TROUBLE,
    "set_memory_pool_limit": TROUBLE,
    "create_optimization_profile": TROUBLE,
    "add_optimization_profile": -1,
    "build_serialized_network": None,
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("call", FAULTS)
def test_each_call_that_fails_once_is_a_typed_error_and_the_next_build_works(call, version):
    trt = Standin(version)
    trt.faults[call] = FAULTS[call]
    whole = dataclasses.replace(PLAIN, profiles=(2,))
    with pytest.raises(BuildError) as raised:
        build_plan(trt, tiny(dynamic=True), whole)
    assert "\n" not in str(raised.value)
    assert trt.calls[call] == 1
    assert call != "build_serialized_network" or "TensorRT built nothing" in str(raised.value)
    assert facts_of(build_plan(trt, tiny(dynamic=True), whole).plan)["profiles"]


@pytest.mark.parametrize("call", ["create_timing_cache", "set_timing_cache"])
def test_a_timing_cache_that_fails_costs_time_only(call):
    trt = Standin("10.3.0")
    trt.faults[call] = TROUBLE if call == "create_timing_cache" else False
    assert build_plan(trt, tiny(), PLAIN, b"TIMING-old").plan


def test_the_timing_cache_is_handed_on_where_it_fits():
    trt = Standin("10.3.0")
    first = build_plan(trt, tiny(), PLAIN)
    second = build_plan(trt, tiny(), PLAIN, first.timing)
    assert facts_of(second.plan)["timing"] == len(first.timing) > facts_of(first.plan)["timing"]
    assert facts_of(build_plan(trt, tiny(), PLAIN, b"garbage").plan)["timing"] == facts_of(first.plan)["timing"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "trouble", [MemoryError(), RuntimeError("CUDA error: out of memory"), "[allocator.cpp] Error Code 1: OutOfMemory"]
)
def test_memory_that_runs_out_has_a_remedy(version, trouble, monkeypatch):
    trt = Standin(version)
    if isinstance(trouble, str):  # as TensorRT does it: a line in the log, and nothing built
        monkeypatch.setattr("standin_tensorrt._Builder._trouble", lambda *_: trouble)
    else:
        trt.faults["build_serialized_network"] = trouble
    with pytest.raises(BuildMemoryError, match=r"close other programs, .* or set a smaller workspace_mb"):
        build_plan(trt, tiny(), PLAIN)


@pytest.mark.parametrize("version", VERSIONS)
def test_progress_is_told_where_the_version_tells(version):
    told: list[tuple] = []
    build_plan(Standin(version), tiny(), PLAIN, step=lambda *step: told.append(step))
    if version == "8.6.2":
        assert told == []
        return
    assert told[:2] == [("Building Engine", "", 0, 2), ("Tactic Selection", "Building Engine", 0, 3)]
    assert ("Tactic Selection", "Building Engine", 2, 3) in told
    assert told[-1] == ("Building Engine", "", 2, 2)


def test_ctrl_c_stops_the_build():
    told = []

    def press(phase: str, parent: str, done: int, steps: int) -> None:
        told.append((phase, done))
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_plan(Standin("10.3.0"), tiny(), PLAIN, step=press)
    assert [done for phase, done in told if phase == "Tactic Selection"] == [0, 1, 3]  # begun, pressed, finished


def test_no_tensorrt_here(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BuildError, match=r"cannot be loaded.*sudo apt install python3-libnvinfer"):
        load_builder()
