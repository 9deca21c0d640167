"""Half precision and INT8: what runs in which, and a gate that shuts."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the export needs onnx: pip install -e .[export]")
pytest.importorskip("PIL", reason="the export's damaged crops need pillow: pip install -e .[export]")

import cv2
from onnx import ModelProto, TensorProto, numpy_helper

from edge_alpr.camera.pictures import load_luma
from edge_alpr.infer.package import load_package
from export.compose import Plane, reader_for_gpu
from export.half import DELICATE, as_half, halved_nodes, rehearse, to_half
from export.judge import Judge, Loss, verdict
from export.nodes import initializers, load_full, named, tensor_types
from export.parser import problems
from export.precision import CPU, GPU, coarsened, to_int8
from export.product import CoreSession, finder, plate_reader
from export.variants import Variant, file_name, least_cautious, slim, write

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "edge_alpr" / "models"
PAD = 114


def shipped(name: str) -> ModelProto:
    return load_full((MODELS / f"plate-{name}.onnx").read_bytes())


def crops(count: int = 8) -> np.ndarray:
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (count, 8, 24), dtype=np.uint8)
    return np.stack([cv2.resize(c, (128, 32), interpolation=cv2.INTER_CUBIC) for c in coarse])[:, None]


@pytest.fixture(scope="module")
def int8() -> ModelProto:
    return to_int8(shipped("reader"), [{"crops": crops()}], GPU)


@pytest.mark.parametrize("name", ["detector", "reader"])
def test_the_network_is_half_and_what_decodes_is_not(name: str):
    model = to_half(shipped(name))
    types, constants = tensor_types(model), initializers(model.graph)
    assert problems(reader_for_gpu(model, Plane(640, 360, 640)) if name == "reader" else model) == []
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul") and node.input[1] in constants:
            assert constants[node.input[1]].data_type == TensorProto.FLOAT16
        if node.op_type in (*DELICATE, "Exp", "TopK", "Where", "Sigmoid"):
            assert types[node.output[0]] == TensorProto.FLOAT
    assert {port.type.tensor_type.elem_type for port in model.graph.output} == {TensorProto.FLOAT}
    assert model.ByteSize() < 0.6 * shipped(name).ByteSize()


def test_the_rehearsal_rounds_as_half_precision_does():
    values = np.random.default_rng(1).normal(0, 50, 10000).astype(np.float32)
    assert np.array_equal(as_half(values), values.astype(np.float16).astype(np.float32))
    half = to_half(shipped("reader"))
    kept = CoreSession(half).run({"crops": crops()})["logprobs"]
    rounded = CoreSession(rehearse(half)).run({"crops": crops()})["logprobs"]
    assert 0 < np.abs(np.exp(kept) - np.exp(rounded)).max() < 0.02  # ONNX Runtime alone would not have rounded


def test_half_stops_before_the_corners_are_decoded():
    model = named(shipped("detector"))
    halved = halved_nodes(model)
    assert {node.op_type for node in model.graph.node if node.name in halved} == {
        "Cast", "Mul", "Sub", "Conv", "Relu", "Add", "Resize"
    }  # fmt: skip


def test_int8_is_as_tensorrt_wants_it(int8: ModelProto):
    graph, constants = int8.graph, initializers(int8.graph)
    quantised = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    makers = {output: node.op_type for node in graph.node for output in node.output}
    assert problems(reader_for_gpu(int8, Plane(640, 360, 640))) == []
    assert len(quantised) > 20
    for node in quantised:
        zero = numpy_helper.to_array(constants[node.input[2]])
        scale = numpy_helper.to_array(constants[node.input[1]])
        assert zero.dtype == np.int8
        assert not zero.any()
        assert scale.shape == zero.shape
        assert (scale.ndim == 1) == (node.input[0] in constants)  # weights by channel, the rest whole
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    fed = [makers.get(node.input[0]) == "DequantizeLinear" for node in convolutions]
    assert fed == [False] + [True] * (len(convolutions) - 1)
    assert all(makers.get(node.input[2]) is None for node in convolutions)  # biases stay floats
    sums = [set(map(makers.get, node.input)) for node in graph.node if node.op_type == "Add"]
    assert sum("DequantizeLinear" in kinds for kinds in sums) >= 4  # residuals share the bytes


def test_int8_of_the_cpu_is_not_for_tensorrt_and_small():
    model = to_int8(shipped("reader"), [{"crops": crops()}], CPU)
    assert any("signed bytes" in problem for problem in problems(model))
    assert model.ByteSize() < 0.5 * shipped("reader").ByteSize()
    small = slim(model)
    assert small.ByteSize() < 0.9 * model.ByteSize()
    kept = initializers(load_full(small.SerializeToString()).graph)
    for name, tensor in initializers(model.graph).items():
        assert np.array_equal(numpy_helper.to_array(kept[name]), numpy_helper.to_array(tensor)), "what was judged ships"


def test_a_zero_point_is_named(int8: ModelProto):
    broken = ModelProto()
    broken.CopyFrom(int8)
    node = next(node for node in broken.graph.node if node.op_type == "QuantizeLinear")
    node.input[2] = "off"
    broken.graph.initializer.append(numpy_helper.from_array(np.int8(3), "off"))
    assert [f"{node.name}: its zero point is not 0"] == problems(broken)


def loss(right: int) -> Loss:
    return Loss(200, right, 150, 190, 190, 0.0, 1, 0, 0.0, 0.0)


def test_the_gate_knows_its_limits():
    assert verdict("fp16", loss(150)) == verdict("int8", loss(148)) == verdict("int8", loss(160)) == ""
    assert verdict("fp16", loss(149)) == (
        "fp16 loses 0.50 points of whole-plate accuracy on dev (150 to 149 of 200), the limit is 0.1"
    )
    assert "1.50 points" in verdict("int8", loss(147))


def test_int8_that_stays_bad_is_refused_with_its_figures(capsys: pytest.CaptureFixture[str]):
    core = Variant(load_package(MODELS / "plate-reader.onnx"), "gpu", "int8", shipped("reader"))
    losses = iter([loss(140), loss(147), loss(149), loss(130)])

    third = least_cautious(core, GPU, [{"crops": crops(1)}], lambda model: next(losses))
    refused = least_cautious(core, GPU, [{"crops": crops(1)}], lambda model: loss(140))

    assert (third.refused, third.loss) == ("", loss(149))
    assert "(150 to 140 of 200), the limit is 1.0" in refused.refused
    assert capsys.readouterr().err.count("loses 5.00 points") == 1 + 4


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of the documentation's rendered scene, moved about; its texts are what the shipped pair reads."""
    folder = tmp_path_factory.mktemp("street")
    find, read = finder(shipped("detector"), PAD), plate_reader(shipped("reader"))
    source = load_luma(ROOT / "docs" / "scene.jpg")
    for name, shift in (("dashcam", 0), ("openimages", 16)):
        (folder / name).mkdir()
        luma = np.roll(source, shift, axis=1)
        plates = find(luma)
        labels = [
            {"box": [*d.quad.min(0).tolist(), *d.quad.max(0).tolist()], "text": r.plate, "legibility": "ok"}
            for d, r in zip(plates, read(luma, plates), strict=True) if r.plate
        ]  # fmt: skip
        assert labels
        lines = []
        for split in ("dev", "train"):
            cv2.imwrite(str(folder / name / f"{split}.png"), luma)
            lines.append(json.dumps({"image": f"{split}.png", "split": split, "complete": True, "plates": labels}))
        (folder / name / "labels.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_the_gate_lets_half_pass_and_stops_ruined_weights(street: Path):
    judge = Judge(street, shipped("detector"), shipped("reader"), partial(finder, pad=PAD), damaged=12)
    assert verdict("fp16", judge.reader(rehearse(to_half(shipped("reader"))))) == ""
    ruined = judge.reader(coarsened(shipped("reader"), bits=2))
    assert ruined.points_lost > 1
    assert "int8 loses" in verdict("int8", ruined)
    same = judge.detector(shipped("detector"))
    assert (same.points_lost, same.differ, same.moved_px_mean) == (0, 0, 0)
    blurred = judge.detector(coarsened(shipped("detector"), bits=6))
    assert blurred.moved_px_mean > 0.1


def test_a_written_variant_is_a_package(tmp_path: Path):
    package = load_package(MODELS / "plate-reader.onnx")
    plane, model = Plane(640, 360, 768), shipped("reader")
    variant = Variant(package, "gpu", "fp32", model)
    write(variant, reader_for_gpu(model, plane), plane, tmp_path / file_name(variant, plane))
    written = load_package(tmp_path / "plate-reader-gpu-640x360p768-fp32.onnx")
    assert file_name(variant, plane) == written.path.name
    assert written.card.input.shape == (1, 1, 360, 768)
    assert written.card.output.names == ("best", "classes", "sharpness")
    assert package.card.sha256 in str(written.card.data["made_from"])
