"""The golden check on the GPU's own session: the way from the built plan to its proof, on the stand-in driver."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("onnx", reason="the graphs are made with onnx: pip install -e .[export]")

from helpers_engines import identity, put_graphs, sidecar
from helpers_gpu import Driver, standin_tensorrt

from edge_alpr.build import frames, session
from edge_alpr.build.run import check
from edge_alpr.build.session import open_plan
from edge_alpr.errors import EdgeAlprError
from edge_alpr.infer.cuda import open_gpu
from edge_alpr.infer.graphs import gpu_graphs
from edge_alpr.infer.plan import write_plan

PROFILES = (1, 4)


@pytest.fixture
def plans(tmp_path, monkeypatch):
    """A driver, and the built plans of a detector and a reader with their graphs."""
    driver = Driver()
    driver.reset()
    trt = standin_tensorrt(driver, monkeypatch)
    monkeypatch.setattr(session, "open_gpu", partial(open_gpu, driver.path))
    monkeypatch.setattr(frames, "_MOST", 1)
    frames.golden_frames.cache_clear()
    made = {}
    for graph in gpu_graphs(put_graphs(tmp_path)):
        sizes = [(n, n, n) for n in PROFILES] if graph.kind == "reader" else []
        data = trt.plan_of(graph.package.model, sizes)
        made[graph.kind] = graph, write_plan(tmp_path, data, sidecar(identity(model=graph.kind), golden=None))
    yield driver, made
    frames.golden_frames.cache_clear()


def test_both_plans_are_proven_and_all_is_given_back(plans):
    driver, made = plans
    for graph, plan in made.values():
        with open_plan(plan) as opened:
            golden = check(opened, graph, PROFILES if graph.kind == "reader" else ())
        assert golden.passed, golden
        assert golden.frames == 2
    assert driver.alive == {}
    assert driver.complaint == ""


def test_a_gpu_that_goes_while_it_is_checked_proves_nothing(plans):
    driver, made = plans
    graph, plan = made["reader"]
    with pytest.raises(EdgeAlprError), open_plan(plan) as opened:
        driver.lose()
        golden = check(opened, graph, PROFILES)
        assert not golden.passed
        assert golden.texts_same == 0
        raise EdgeAlprError(golden.problem)
