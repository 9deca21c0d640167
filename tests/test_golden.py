"""The golden check: an engine that is blind, bent or deaf in one profile does not pass; the true graph does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the graphs are made with onnx: pip install -e .[export]")

from helpers_engines import PLANE, KeptSession, blind, put_graphs

from edge_alpr.build.frames import golden_frames
from edge_alpr.build.golden import LIMITS, check_detector, check_near, check_reader, surface
from edge_alpr.errors import ModelError
from edge_alpr.infer.graphs import Graph, gpu_graphs
from edge_alpr.infer.package import shipped
from edge_alpr.infer.plan import Golden
from edge_alpr.infer.reference import ReferenceSession
from export.compose import detector_for_gpu, reader_for_gpu
from export.half import rehearse, to_half
from export.nodes import load_full

SIZES = (1, 4)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory) -> dict[str, Graph]:
    found = gpu_graphs(put_graphs(tmp_path_factory.mktemp("graphs"), near=True))
    return {"near" if graph.tier == "near" else graph.kind: graph for graph in found}


@pytest.fixture(scope="module")
def frames():
    return golden_frames(PLANE.width, PLANE.height)[:4]


def checked(graph: Graph, frames, spoil=lambda outputs: outputs, model: bytes = b"") -> Golden:
    session, reference = KeptSession(model or graph.package.model, spoil), ReferenceSession(graph.package)
    if graph.tier == "near":
        return check_near(session, reference, graph, frames)
    if graph.kind == "detector":
        return check_detector(session, reference, graph, frames)
    return check_reader(session, reference, graph, frames, SIZES)


def bent(px: float):
    return lambda outputs: {**outputs, "quads": outputs["quads"] + np.float32(px)}


def faded(share: float):
    return lambda outputs: {**outputs, "scores": outputs["scores"] * np.float32(share)}


def shifted(outputs):
    """Each character is told as the next one."""
    return {**outputs, "classes": ((outputs["classes"] + 1) % 37).astype(np.uint8)}


def deaf_at_four(outputs):
    return blind(outputs) if len(outputs["sharpness"]) == 4 else outputs


def noisy(outputs):
    """Sees plates everywhere."""
    return {**outputs, "scores": np.maximum(outputs["scores"], np.float32(0.9))}


def without(name):
    return lambda outputs: {key: array for key, array in outputs.items() if key != name}


def broken(name, value):
    return lambda outputs: {**outputs, name: np.full_like(outputs[name], value)}


def test_the_true_graphs_pass(graphs, frames):
    found, read = (checked(graphs[kind], frames) for kind in ("detector", "reader"))
    assert found.passed
    assert read.passed
    assert (found.frames, found.plates >= 4, found.corners_px, found.score) == (4, True, 0, 0)
    assert read.texts == read.texts_same >= 8
    assert found.limits == "corners 1 px, scores 0.03, texts from 0.6 the same"


def test_a_little_off_passes_and_is_told(graphs, frames):
    found = checked(graphs["detector"], frames, lambda outputs: bent(0.5)(faded(0.99)(outputs)))
    assert found.passed
    assert found.corners_px == pytest.approx(0.5, abs=0.01)
    assert 0 < found.score <= 0.01


def test_what_half_precision_rounds_away_is_far_within_the_limits(graphs, frames):
    pad = graphs["detector"].package.card.detector.pad
    for kind, tier in (("detector", "small"), ("reader", "large")):
        twin = rehearse(to_half(load_full(shipped(kind, tier).read_bytes())))
        whole = detector_for_gpu(twin, PLANE, pad) if kind == "detector" else reader_for_gpu(twin, PLANE)
        golden = checked(graphs[kind], frames, model=whole.SerializeToString())
        assert golden.passed
        assert golden.corners_px < LIMITS["fp16"].corners_px / 4
        assert 0 < golden.score < LIMITS["fp16"].score / 4
        assert golden.texts == golden.texts_same


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (blind, "is not seen"),
        (bent(1.5), "a corner lies 1.50 px off, the limit is 1"),
        (faded(0.9), "a score differs by 0.100, the limit is 0.03"),
        (faded(0.3), "is not seen"),
        (noisy, "is seen where none is"),
        (without("quads"), "output quads is missing"),
        (broken("scores", np.nan), "output scores holds what is no number"),
        (broken("quads", np.inf), "output quads holds what is no number"),
        (broken("scores", 7), "scor"),
        (lambda outputs: {**outputs, "scores": outputs["scores"][:, :5]}, "output scores is float32 [1, 5]"),
        (lambda outputs: {**outputs, "scores": outputs["scores"].astype(np.float64)}, "output scores is float64"),
    ],
)
def test_a_bad_detector_does_not_pass(spoil, said, graphs, frames):
    golden = checked(graphs["detector"], frames, spoil)
    assert not golden.passed
    assert said in golden.problem


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (blind, "1 plates a run: the reader gives no log-probabilities"),
        (shifted, "1 plates a run: "),
        (deaf_at_four, "4 plates a run: "),
        (broken("best", np.nan), "output best holds what is no number"),
        (broken("sharpness", 0), "a crop's sharpness differs by more than 5%"),
        (without("sharpness"), "output sharpness is missing"),
        (lambda outputs: {name: array[:1] for name, array in outputs.items()}, "4 plates a run: output best is"),
    ],
)
def test_a_bad_reader_does_not_pass(spoil, said, graphs, frames):
    golden = checked(graphs["reader"], frames, spoil)
    assert not golden.passed
    assert said in golden.problem
    assert golden.texts_same < golden.texts or "sharpness" in said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(blind, "is not seen"), (bent(9), "a corner lies"), (faded(0.9), "a score differs"), (noisy, "where none is")],
)
def test_a_bad_second_look_does_not_pass(spoil, said, graphs, frames):
    assert checked(graphs["near"], frames).passed
    golden = checked(graphs["near"], frames, spoil)
    assert said in golden.problem


def test_an_engine_that_does_not_run_does_not_pass(graphs, frames):
    def dead(outputs):
        raise ModelError("the GPU\nis gone")

    assert checked(graphs["detector"], frames, dead).problem == "the GPU is gone"
    assert checked(graphs["reader"], frames, dead).problem == "1 plates a run: the GPU is gone"


def test_frames_that_show_nothing_prove_nothing(graphs, frames):
    grey = [type(frames[0])(np.full_like(frames[0].luma, 96), frames[0].quads)]
    with pytest.raises(ModelError, match="it finds no plate on the golden frames"):
        checked(graphs["detector"], grey)
    with pytest.raises(ModelError, match="it reads nothing on the golden frames"):
        checked(graphs["reader"], grey)


def test_the_frames_fit_the_plane(graphs, frames):
    assert {frame.luma.shape for frame in frames} == {(PLANE.height, PLANE.width)}
    assert all(frame.quads for frame in frames)
    memory = surface(frames[0].luma, graphs["reader"])
    assert memory.shape == (1, 1, PLANE.height, PLANE.pitch)
    assert (memory[..., PLANE.width :] == 255).all()
    assert Path(graphs["reader"].package.path).name == "plate-reader-gpu-640x360p768-fp16.onnx"
