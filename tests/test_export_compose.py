"""The graphs for the GPU see what the CPU's way sees: any size and pitch, plates anywhere in the frame."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the export needs onnx: pip install -e .[export]")

from pathlib import Path

import cv2
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge_alpr.config import DetectConfig
from edge_alpr.geometry import box_quad, quad_size
from edge_alpr.stages.detect import Detector, letterbox
from edge_alpr.stages.near import window_on
from edge_alpr.stages.rectify import cut
from edge_alpr.types import Detection, Floats, Luma, Tensors
from export.alike import Alike, GpuPair, compare, frames_of
from export.compose import BATCHES, Plane, bytes_out, detector_for_gpu, near_for_gpu, reader_for_gpu
from export.nodes import load_full
from export.parser import problems
from export.product import CoreSession, finder, plate_reader
from export.resize import area_matrix, multiplications

MODELS = Path(__file__).resolve().parents[1] / "edge_alpr" / "models"
PLANES = [
    Plane(1280, 720, 1536),  # half: means over blocks
    Plane(1920, 1080, 2048),  # a third: halved, then interpolated
    Plane(2560, 1440, 2560),  # a quarter: halved twice
    Plane(1279, 717, 1280),  # odd: areas by matrices
    Plane(416, 416, 512),  # as high as wide, shrunk a little: interpolated
    Plane(201, 99, 201),  # enlarged, no padding columns
]


def eye(rows: int, columns: int) -> ModelProto:
    """A detector that tells the light it is shown as its scores, and fixed corners."""
    quads = np.array([[[[0, 0], [639, 0], [100.25, 50.5], [-3, 7]]]], np.float32)
    nodes = [
        helper.make_node("Cast", ["luma"], ["light"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["light"], ["scores"]),
        helper.make_node("Mul", ["corners", "one"], ["quads"]),
    ]
    return _core(nodes, {"corners": quads, "one": np.float32(1)}, ("luma", [1, 1, rows, columns]), {
        "scores": [1, rows * columns], "quads": [1, 1, 4, 2]
    })  # fmt: skip


def shown(found: Tensors) -> Floats:
    """The light that `crop_eye` was shown, (N, 32, 128), of a graph that keeps all classes."""
    light = np.zeros(found["best"].shape, np.float32)
    np.put_along_axis(light, found["classes"].astype(int), found["best"].astype(np.float32), axis=2)
    return light


def crop_eye() -> ModelProto:
    """A reader that tells the light of its crops as its log-probabilities."""
    nodes = [
        helper.make_node("Cast", ["crops"], ["light"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["light", "shape"], ["logprobs"]),
    ]
    return _core(nodes, {"shape": np.array([-1, 32, 128])}, ("crops", ["n", 1, 32, 128]), {"logprobs": ["n", 32, 128]})


def _core(nodes, constants, source, outputs) -> ModelProto:
    graph = helper.make_graph(
        nodes, "core",
        [helper.make_tensor_value_info(source[0], TensorProto.UINT8, source[1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def scene(width: int, height: int, seed: int = 0) -> Luma:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(2, height // 12), max(2, width // 12)), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def surface(luma: Luma, plane: Plane) -> NDArray[np.uint8]:
    """The plane as it lies in memory: what stands in the padding columns must not matter."""
    memory = np.full((1, 1, plane.height, plane.pitch), 255, np.uint8)
    memory[0, 0, :, : plane.width] = luma
    return memory


def shipped(name: str) -> ModelProto:
    return load_full((MODELS / f"plate-{name}.onnx").read_bytes())


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_the_network_is_shown_what_the_cpu_letterboxes(plane: Plane):
    luma, fed = scene(plane.width, plane.height), []

    class Network:
        identity = "eye"

        def run(self, feeds):
            fed.append(feeds["luma"].copy())
            return {"scores": np.zeros((1, 1), np.float32), "quads": np.zeros((1, 1, 4, 2), np.float32)}

    Detector(Network(), DetectConfig())(luma)
    found = CoreSession(detector_for_gpu(eye(384, 640), plane, 114)).run({"luma": surface(luma, plane)})

    gap = np.abs(found["scores"].reshape(384, 640) - fed[0][0, 0])
    assert gap.max() <= 1
    assert gap.mean() < 0.1
    fit = letterbox((plane.width, plane.height), (384, 640))
    constant = numpy_helper.to_array(eye(384, 640).graph.initializer[0])
    wanted = np.reshape(fit.to_frame(constant.reshape(-1, 2).tolist()), constant.shape)
    assert np.allclose(found["quads"], wanted, atol=1e-3)


@pytest.mark.parametrize("plane", PLANES[:3], ids=lambda plane: plane.name)
def test_a_half_network_is_shown_the_same(plane: Plane):
    half = eye(384, 640)
    half.graph.node[0].attribute[0].i = TensorProto.FLOAT16
    half.graph.node[1].output[0] = "half_scores"
    half.graph.node.append(helper.make_node("Cast", ["half_scores"], ["scores"], to=TensorProto.FLOAT))
    memory = surface(scene(plane.width, plane.height), plane)

    single, other = (
        CoreSession(detector_for_gpu(core, plane, 114)).run({"luma": memory}) for core in (eye(384, 640), half)
    )

    assert np.array_equal(single["scores"], other["scores"])
    assert problems(detector_for_gpu(half, plane, 114)) == []


def test_the_matrices_keep_the_light():
    for source, target in ((717, 359), (99, 198), (1, 2), (5, 5), (416, 384)):
        matrix = area_matrix(source, target)
        assert matrix.shape == (target, source)
        assert np.allclose(matrix.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(area_matrix(6, 3), np.kron(np.eye(3), [0.5, 0.5]))


def test_whole_factors_cost_a_multiplication_a_pixel():
    assert multiplications(letterbox((1280, 720), (384, 640))) == 1280 * 720
    assert multiplications(letterbox((1279, 717), (384, 640))) > 5e8


def quads_of(plane: Plane) -> list[NDArray[np.float32]]:
    """Upright, tilted, seen from the side, and over each border of the frame."""
    w, h = plane.width, plane.height
    tilted = np.array([[50, 40], [140, 55], [138, 80], [48, 62]], np.float32)
    sideways = np.array([[60, 30], [120, 45], [122, 60], [61, 70]], np.float32)
    return [
        box_quad(30, 30, 130, 55), tilted, sideways, box_quad(-8, -4, 70, 18), box_quad(w - 60, h - 12, w + 9, h + 3),
        box_quad(w - 50, 20, w + 20, 44), box_quad(10, h - 15, 100, h + 6), box_quad(40.3, 33.7, 75.1, 44.2),
    ]  # fmt: skip


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
@pytest.mark.parametrize("count", BATCHES)
def test_the_reader_is_shown_what_the_cpu_cuts(plane: Plane, count: int):
    luma, quads = scene(plane.width, plane.height, 3), quads_of(plane)[:count]
    session = CoreSession(reader_for_gpu(crop_eye(), plane, kept=128))

    found = session.run({"luma": surface(luma, plane), "quads": np.stack(quads)})

    crops = [cut(luma, Detection(quad, 1.0)) for quad in quads]
    assert found["best"].shape == (count, 32, 128)
    for light, sharpness, crop in zip(shown(found), found["sharpness"], crops, strict=True):
        assert np.abs(light - crop.image).mean() < 1.5
        assert np.corrcoef(light.ravel(), crop.image.ravel())[0, 1] > 0.999
        assert sharpness == pytest.approx(crop.sharpness, abs=0.03)


def window_eye() -> ModelProto:
    """A second look that tells the light of its window, row by row, as corners of four finds."""
    nodes = [
        helper.make_node("Cast", ["luma"], ["light"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["light", "flat"], ["quads"]),
        helper.make_node("Slice", ["quads", "first", "last", "axis"], ["corner"]),
        helper.make_node("Reshape", ["corner", "row"], ["scores"]),
    ]
    stored = {
        "flat": np.array([1, 4, 16 * 40 // 8, 2]), "first": np.array([0, 0]), "last": np.array([1, 1]),
        "axis": np.array([2, 3]), "row": np.array([1, 4]),
    }  # fmt: skip
    outputs = {"scores": [1, 4], "quads": [1, 4, 16 * 40 // 8, 2]}
    return _core(nodes, stored, ("luma", [1, 1, 16, 40]), outputs)


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_the_second_look_is_shown_what_the_cpu_cuts(plane: Plane):
    luma = scene(plane.width, plane.height, 4)
    session = CoreSession(near_for_gpu(window_eye(), plane))
    for quad in quads_of(plane):
        window = window_on(Detection(quad, 1.0), (plane.width, plane.height), (16, 40), seen=0.0)
        if window is None:
            continue
        cut_by_cpu = cv2.warpAffine(
            luma, window.matrix, (40, 16), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        where = np.array([[window.scale, *window.shift]], np.float32)
        found = session.run({"luma": surface(luma, plane), "window": where})["quads"].reshape(16, 40)
        assert np.abs(found - cut_by_cpu).mean() < 1.5
        assert np.corrcoef(found.ravel(), cut_by_cpu.ravel())[0, 1] > 0.995


@pytest.mark.parametrize("width", [280, 420, 640])
def test_a_large_plate_is_averaged_as_on_the_cpu(width: int):
    plane = Plane(1280, 720, 1280)
    grain = np.random.default_rng(5).normal(0, 60, (plane.height, plane.width))  # sampled plainly, it would stay
    luma = np.clip(scene(plane.width, plane.height) + grain, 0, 255).astype(np.uint8)
    quad = box_quad(300, 200, 300 + width, 200 + width / 4)
    crop = cut(luma, Detection(quad, 1.0))

    session = CoreSession(reader_for_gpu(crop_eye(), plane, kept=128))
    found = session.run({"luma": surface(luma, plane), "quads": quad[None]})

    assert quad_size(quad)[0] >= 2 * 128
    assert np.corrcoef(shown(found).ravel(), crop.image.ravel())[0, 1] > 0.98
    assert found["sharpness"][0] == pytest.approx(crop.sharpness, rel=0.5)


def test_quads_that_are_no_plates_harm_nobody():
    plane = Plane(320, 200, 512)
    luma, good = scene(320, 200), box_quad(40, 40, 140, 66)
    turned_in = np.array([[50, 50], [60, 50], [52, 51], [50, 80]], np.float32)
    quads = np.stack([good, np.zeros((4, 2), np.float32), turned_in, np.full((4, 2), 1e7, np.float32)])
    session = CoreSession(reader_for_gpu(crop_eye(), plane, kept=128))

    found = session.run({"luma": surface(luma, plane), "quads": quads})["best"]

    assert np.isfinite(found).all()
    assert np.array_equal(found[:1], session.run({"luma": surface(luma, plane), "quads": quads[:1]})["best"])


def test_a_plane_is_at_least_as_long_as_it_is_wide():
    with pytest.raises(ValueError, match="pitch"):
        Plane(1280, 720, 1024)


def test_the_shipped_graphs_can_be_parsed_and_few_bytes_leave():
    plane = Plane(1280, 720, 1536)
    detector, reader = detector_for_gpu(shipped("detector"), plane, 114), reader_for_gpu(shipped("reader"), plane)
    assert problems(detector) == problems(reader) == []
    memory = surface(scene(1280, 720), plane)
    found = CoreSession(detector).run({"luma": memory})
    read = CoreSession(reader).run({"luma": memory, "quads": np.stack(quads_of(plane)[:2])})
    near = near_for_gpu(shipped("detector-near"), plane)
    assert problems(near) == []
    again = CoreSession(near).run({"luma": memory, "window": np.array([[1, 0, 0]], np.float32)})
    sent = sum(array.nbytes for part in (found, read, again, again) for array in part.values())
    assert sent == bytes_out(2) < bytes_out(12) < 16 * 1024


@pytest.mark.parametrize("plates", range(13))
def test_twelve_plates_stay_within_16_kib_as_the_profiles_round_them(plates: int):
    whole, rest = divmod(plates, BATCHES[-1])
    rows = whole * BATCHES[-1] + (min(size for size in BATCHES if size >= rest) if rest else 0)
    assert bytes_out(plates) + (rows - plates) * 964 <= 16_384


def test_what_the_parser_refuses_is_named():
    model = detector_for_gpu(eye(384, 640), Plane(640, 384, 640), 114)
    assert problems(model) == []
    model.graph.node.append(helper.make_node("NonMaxSuppression", ["luma"], ["x"], name="n"))
    model.opset_import[0].version = 21
    assert problems(model) == [
        "opset 21, at most 17 is parsed",
        "NonMaxSuppression is not in the list of what is parsed",
        "luma is bytes and feeds Cast, NonMaxSuppression: a Cast must come first",
    ]


def test_bytes_must_come_from_floats():
    model = reader_for_gpu(shipped("reader"), Plane(640, 384, 640))
    cast = next(node for node in model.graph.node if node.output[0] == "classes")
    cast.input[0] = "back/indices"
    assert problems(model) == ["classes is bytes: they must come from a Cast of a Cast to floats"]


def test_a_difference_fails_the_comparison():
    """The shipped pair on the frame of the documentation agrees; with a frame pushed two pixels aside it does not."""
    luma = cv2.imread(str(MODELS.parents[1] / "docs" / "scene.jpg"), cv2.IMREAD_GRAYSCALE)
    plane = Plane(luma.shape[1], luma.shape[0], luma.shape[1] + 64)
    detector, reader = shipped("detector"), shipped("reader")
    find, read = finder(detector, 114), plate_reader(reader)
    boxes = [np.concatenate([d.quad.min(0), d.quad.max(0)]) for d in find(luma)]
    gpu = GpuPair(detector, reader, plane, 114)

    alike = compare(find, read, gpu, [(luma, boxes)])
    assert alike.plates >= 1
    assert alike.problem() == ""

    see = gpu.find
    gpu.find = lambda luma: see(np.roll(luma, 2, axis=1))  # type: ignore[method-assign]
    assert "corners lie up to" in compare(find, read, gpu, [(luma, boxes)]).problem()
    assert "nothing was compared" in Alike().problem()


def test_real_frames_are_read_as_on_the_cpu(data: Path):
    plane = Plane(1280, 720, 1536)
    detector, reader = shipped("detector"), shipped("reader")
    gpu = GpuPair(detector, reader, plane, 114)

    alike = compare(finder(detector, 114), plate_reader(reader), gpu, frames_of(data, plane, every=40))

    assert alike.problem() == ""
    assert alike.plates >= 5
    assert alike.moved_most < 0.01  # half the size: the same means, rounded alike
