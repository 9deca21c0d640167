"""The detector's recipe: scenes, targets and the exported graph."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is missing: pip install -e '.[train]' to test the recipes")
pytest.importorskip("onnxslim", reason="onnxslim is missing: pip install -e '.[train]' to test the export")

from edge_alpr.geometry import box_iou, quad_box  # noqa: E402
from training.average import between  # noqa: E402
from training.detector import targets  # noqa: E402
from training.detector.corners import corners  # noqa: E402
from training.detector.model import HEIGHT, STRIDE, TIERS, TOP_K, WIDTH, Detector, PlateNet, cell_centres, refine  # noqa: E402
from training.detector.paste import Patch, PlateBank, fit_box, put, random_pose  # noqa: E402
from training.detector.pictures import Label, Picture  # noqa: E402
from training.detector.scenes import Composer, Draft, turn  # noqa: E402

torch.set_num_threads(1)


def _striped_plate(rng: np.random.Generator) -> np.ndarray:
    plate = np.full((64, int(rng.integers(80, 300))), 240, np.uint8)
    plate[12:52, 8:-8:6] = 10
    return plate


def _composer() -> Composer:
    rng = np.random.default_rng(5)
    rgb = rng.integers(40, 90, (416, 416, 3), dtype=np.uint8)
    label = Label(np.array([150, 200, 260, 230], np.float32), "AB12", False, "ok")
    picture = Picture("street", rgb, (label,), np.zeros((0, 4), np.float32), True, True, "openimages")
    return Composer({"openimages": [picture]}, PlateBank(rng, _striped_plate, 8))


def test_scene_quads_lie_in_the_picture_clockwise_and_on_something():
    composer, rng, seen = _composer(), np.random.default_rng(0), 0
    for _ in range(40):
        scene = composer.scene(rng, (320, 192), (0.6, 1.6))
        assert scene.luma.shape == (192, 320) and scene.luma.dtype == np.uint8
        for quad, kind in zip(scene.quads, scene.kinds, strict=True):
            if kind == targets.IGNORE:
                continue
            centre = quad.mean(axis=0)
            assert 0 <= centre[0] < 320 and 0 <= centre[1] < 192
            across, down = quad[1] - quad[0], quad[3] - quad[0]
            assert across[0] * down[1] - across[1] * down[0] > 0
            seen += 1
    assert seen > 20


def test_a_turned_scene_takes_its_plates_along():
    quad = np.array([[120, 80], [180, 80], [180, 100], [120, 100]], np.float32)
    draft = Draft(np.zeros((192, 320), np.uint8))
    draft.luma[80:100, 120:180] = 255
    draft.add(quad, targets.BOX_ONLY)
    draft.add(quad, targets.CORNERS)
    turn(draft, 12.0)
    assert draft.kinds == [targets.SCORE_ONLY, targets.CORNERS]
    inside = np.zeros_like(draft.luma)
    cv2.fillConvexPoly(inside, np.int32(np.round(draft.quads[1])), 255)
    assert np.mean((inside > 0) == (draft.luma > 127)) > 0.99


def _bright_quads(luma: np.ndarray) -> list[np.ndarray]:
    """A detector that sees one bright thing, its box."""
    ys, xs = np.nonzero(luma > 200)
    if not len(xs):
        return []
    return [np.array([[xs.min(), ys.min()], [xs.max(), ys.min()], [xs.max(), ys.max()], [xs.min(), ys.max()]], float)]


def test_corners_seen_from_near_lie_on_the_plate():
    luma = np.full((400, 700), 60, np.uint8)
    luma[200:215, 300:361] = 250
    found = corners(_bright_quads, luma, np.array([296, 198, 365, 218], np.float32))
    assert found is not None
    assert np.abs(found - [[300, 200], [360, 200], [360, 214], [300, 214]]).max() < 1.0
    assert corners(lambda _: [], luma, np.array([296, 198, 365, 218], np.float32)) is None
    assert corners(_bright_quads, luma, np.array([20, 20, 30, 24], np.float32)) is None


def test_the_small_tier_costs_less_and_answers_alike():
    large, small = (Detector(PlateNet(TIERS[tier])).eval() for tier in ("large", "small"))
    count = [sum(p.numel() for p in net.parameters()) for net in (small, large)]
    assert count[0] < 0.5 * count[1]
    with torch.no_grad():
        luma = torch.zeros((1, 1, HEIGHT, WIDTH), dtype=torch.uint8)
        assert [part.shape for part in small(luma)] == [part.shape for part in large(luma)]


def test_scene_is_the_same_for_the_same_seed():
    first, second = (_composer().scene(np.random.default_rng(9), (320, 192), (0.6, 1.6)) for _ in range(2))
    assert np.array_equal(first.luma, second.luma) and np.array_equal(first.quads, second.quads)


def test_pasted_patch_fills_its_quad_and_nothing_else():
    canvas = np.zeros((100, 200), np.uint8)
    box = np.array([40.0, 30.0, 140.0, 70.0], np.float32)
    quad = fit_box(random_pose(np.random.default_rng(2), 4.0), box)
    put(canvas, Patch(np.full((40, 160), 200, np.float32), np.ones((40, 160), np.float32)), quad)
    rows, columns = np.nonzero(canvas > 100)
    found = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float32)
    assert np.abs(found - box).max() <= 1.6
    assert np.abs(quad_box(quad) - box).max() < 1e-3


@pytest.mark.parametrize("width", [16, 60, 300])
def test_targets_decode_to_the_quad_they_came_from(width: int):
    pose = random_pose(np.random.default_rng(width), 4.2)
    quad = np.asarray(pose * width + (160, 96), np.float32)
    maps = targets.encode(quad[None], np.array([targets.CORNERS]), (192, 320), True)
    assert maps.score.max() == 1.0
    row, column = np.unravel_index(maps.score.argmax(), maps.score.shape)
    centre = quad.mean(axis=0)
    assert np.hypot(column * STRIDE + 3.5 - centre[0], row * STRIDE + 3.5 - centre[1]) < 6.5
    assert np.allclose(maps.quad[row, column].reshape(4, 2), quad)
    raw = _raw_for(maps)
    loss = targets.detector_loss(raw, _parts(maps))
    assert float(loss.corners) < 1e-3 and float(loss.box) < 0.02
    shifted = raw.clone()
    shifted[:, 3:11] += 0.3
    worse = targets.detector_loss(shifted, _parts(maps))
    assert float(worse.corners) > 0.05 and float(worse.box) > 0.1


def _parts(maps: targets.Maps) -> list[torch.Tensor]:
    return [torch.from_numpy(getattr(maps, field.name))[None] for field in fields(maps)]


def _raw_for(maps: targets.Maps) -> torch.Tensor:
    """The raw output that decodes to the wanted quads, inverted by hand."""
    quads = torch.from_numpy(maps.quad).view(-1, 4, 2)
    centres = cell_centres(*maps.score.shape)
    size = (quads.amax(1) - quads.amin(1)).clamp_min(3.0)
    square = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    corners = (quads - centres[:, None]) / size[:, None] - square
    logs = (size / torch.tensor([48.0, 16.0])).log()
    fine = torch.from_numpy(maps.fine).view(-1, 8)
    raw = torch.cat([torch.zeros(len(quads), 1), logs, corners.flatten(1), fine], 1)
    return raw.T.reshape(1, 19, *maps.score.shape)


def test_corners_that_are_a_cell_off_are_moved_onto_the_quad():
    quad = np.array([[50, 40], [170, 52], [168, 90], [48, 78]], np.float32)
    maps = targets.encode(quad[None], np.array([targets.CORNERS]), (192, 320), True)
    rough = torch.from_numpy(quad + np.array([[9, -8], [-10, 3], [4, 11], [-9, -9]], np.float32))
    moved = refine(rough, torch.from_numpy(maps.fine).permute(2, 0, 1), cell_centres(24, 40))
    assert np.allclose(moved.numpy(), quad, atol=1e-3)
    outside = torch.tensor([[[-30.0, 5.0], [330.0, 5.0], [330.0, 30.0], [-30.0, 30.0]]])
    assert torch.equal(refine(outside, torch.ones(8, 24, 40), cell_centres(24, 40)), outside)


def test_unlabelled_pictures_are_punished_less_for_what_looks_like_a_plate():
    none = np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), (192, 320)
    raw = torch.zeros(1, 19, 24, 40)
    sure, unsure = (targets.detector_loss(raw, _parts(targets.encode(*none, sure))) for sure in (True, False))
    assert float(unsure.score) == pytest.approx(targets.DOUBT_WEIGHT * float(sure.score))


def test_exported_graph_agrees_with_torch_and_has_the_interface(tmp_path: Path):
    export = pytest.importorskip("export.detector")
    as_shipped = pytest.importorskip("export.graph").as_shipped
    torch.manual_seed(1)
    net = PlateNet()
    torch.nn.init.normal_(net.head.weight, std=0.2)
    torch.nn.init.normal_(net.head.weight[:1], std=8.0)
    torch.nn.init.constant_(net.head.bias[:1], 0.0)
    detector = as_shipped(Detector(net))
    path = tmp_path / "detector.onnx"
    export.build_graph(detector, path)
    exported = export.OnnxDetector(path)
    assert export.compare(detector, exported, export.trial_pictures(tmp_path, HEIGHT, WIDTH)) == 4
    inputs, outputs = exported.session.get_inputs(), exported.session.get_outputs()
    assert [(i.name, i.type, i.shape) for i in inputs] == [("luma", "tensor(uint8)", [1, 1, HEIGHT, WIDTH])]
    assert [(o.name, o.shape) for o in outputs] == [("scores", [1, TOP_K]), ("quads", [1, TOP_K, 4, 2])]
    scores, quads = exported(next(export.trial_pictures(tmp_path, HEIGHT, WIDTH)))
    assert (np.diff(scores) <= 0).all() and scores[0] > 0.1
    assert box_iou(quad_box(quads[0]), quad_box(quads[0])) == pytest.approx(1.0)
    assert path.stat().st_size < 3_000_000
    with torch.no_grad():
        detector.net.head.bias[0] += 0.5
    with pytest.raises(SystemExit, match="differs"):
        export.compare(detector, exported, export.trial_pictures(tmp_path, HEIGHT, WIDTH))


def test_weights_between_two_checkpoints():
    first, second = (PlateNet(TIERS["small"]).state_dict() for _ in range(2))
    mixed = between({"mean": first}, {"mean": second, "step": 7}, 0.25)
    assert mixed["step"] == 7
    for name, value in mixed["mean"].items():
        wanted = 0.75 * first[name] + 0.25 * second[name] if value.dtype.is_floating_point else second[name]
        assert torch.allclose(value, wanted)
    with pytest.raises(KeyError):
        between({"average": first}, {"mean": second}, 0.5)
