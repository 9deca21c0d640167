"""The reader's recipe: plates that can be read, samples as the product cuts them, an export that agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training recipes need torch: scripts/test --with-training")
pytest.importorskip("onnxslim", reason="the export needs onnxslim: scripts/test --with-training")

import onnx
import torch

from edge_alpr.geometry import box_quad
from export.graph import as_shipped, to_onnx
from export.nodes import load_full
from export.reader import compare, load_reader
from training.faces import find_faces
from training.formats import ALPHABET, LAYOUTS, TWO_LINES, draw_text, plain
from training.plates import font_folders, render_plate
from training.reader.data import RealPlate, batch, jitter_quad, mounted, real_sample
from training.reader.model import Reader
from training.reader.train import Recipe, ctc, greedy, rate

SAMPLES = 60


@pytest.fixture
def fonts() -> None:
    if not find_faces(font_folders()):
        pytest.skip("no type faces here: scripts/training-fonts fetches them")


def test_texts_are_of_every_layout_and_can_be_labels() -> None:
    rng = np.random.default_rng(1)
    for layout in LAYOUTS:
        texts = [draw_text(layout, rng) for _ in range(200)]
        assert all(3 <= len(plain(text)) <= 11 for text in texts)
        assert all(("/" in text) == (layout is TWO_LINES) for text in texts)
        assert set("".join(map(plain, texts))) == set(ALPHABET)


@pytest.mark.usefixtures("fonts")
def test_a_plate_is_its_seed_and_shows_contrast() -> None:
    one, again = (render_plate(np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.luma, again.luma)
    assert one.text == again.text
    plates = [render_plate(np.random.default_rng(n)) for n in range(SAMPLES)]
    assert {plate.lines for plate in plates} == {1, 2}
    assert all(int(np.ptp(plate.luma)) > 40 for plate in plates)
    assert all(1.0 < plate.luma.shape[1] / plate.luma.shape[0] < 5.5 for plate in plates)


@pytest.mark.usefixtures("fonts")
def test_a_batch_is_its_seed_and_mixes_in_real_crops() -> None:
    real = {"dashcam": [RealPlate(np.full((60, 200), 77, np.uint8), (box_quad(50, 20, 150, 45),), "B1")]}
    crops, texts = batch(32, 0.5, real, np.random.default_rng(5))
    again, _ = batch(32, 0.5, real, np.random.default_rng(5))
    assert crops.shape == (32, 1, 32, 128)
    assert crops.dtype == np.uint8
    assert np.array_equal(crops, again)
    assert 4 < texts.count("B1") < 28


def test_a_real_crop_keeps_its_text_in_view() -> None:
    luma = np.zeros((100, 300), np.uint8)
    luma[40:60, 100:200] = 255  # the plate fills its box
    plate = RealPlate(luma, (box_quad(100, 40, 200, 60), box_quad(98, 39, 203, 61)), "AB12")
    for seed in range(SAMPLES):
        crop, text = real_sample(plate, np.random.default_rng(seed))
        assert text == "AB12"
        assert crop[12:20, 48:80].mean() > crop.mean()


@pytest.mark.usefixtures("fonts")
def test_a_mounted_plate_lies_where_it_is_said() -> None:
    plate = np.random.default_rng(0).integers(90, 200, (80, 380), dtype=np.uint8)
    for seed in range(SAMPLES):
        board, (x, y) = mounted(plate, np.random.default_rng(seed))
        middle = board[y + 10 : y + 70, x : x + 380]
        assert np.array_equal(middle, plate[10:70])


def test_a_deeper_reader_starts_as_the_one_it_came_from() -> None:
    torch.manual_seed(0)
    small, deep = Reader((8, 8, 8, 8), 1, ()).eval(), Reader((8, 8, 8, 8), 2, (4, 9)).eval()
    for norm in (module for module in small.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    deep.start_from(small.state_dict())
    crops = torch.randint(0, 256, (3, 1, 32, 128), dtype=torch.uint8)
    assert torch.allclose(small(crops), deep(crops), atol=1e-5)
    with pytest.raises(ValueError, match="not a smaller network"):
        Reader((8, 8, 8, 8), 1, ()).start_from(deep.state_dict())


def test_jitter_stays_near_the_plate() -> None:
    quad = np.array([[0, 0], [100, 0], [100, 25], [0, 25]], np.float32)
    moved = [jitter_quad(quad, np.random.default_rng(n), 0.03) for n in range(200)]
    far = np.abs(np.stack(moved) - quad).max(axis=(0, 1))
    assert far[0] < 30
    assert far[1] < 12


def test_ctc_reads_two_rows_one_after_the_other() -> None:
    logprobs = np.full((64, 37), -20.0, np.float32)
    logprobs[:, 36] = 0.0
    for step, char in ((3, "A"), (4, "A"), (9, "A"), (40, "7")):
        logprobs[step, 36], logprobs[step, ALPHABET.index(char)] = -20.0, 0.0
    assert greedy(logprobs) == "AA7"
    right, wrong = (float(ctc(torch.from_numpy(logprobs)[None], [text])) for text in ("AA7", "7AA"))
    assert right < 0.1 < wrong


def test_the_rate_warms_up_and_falls() -> None:
    recipe = Recipe()
    rates = [rate(step, recipe) for step in range(0, recipe.steps, 50)]
    assert max(rates) <= recipe.peak_rate
    assert rates[0] < 0.01 * recipe.peak_rate
    assert rates[-1] < 0.02 * recipe.peak_rate


def test_an_export_agrees_with_pytorch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = as_shipped(Reader((8, 8, 8, 8)))
    crops = torch.randint(0, 256, (9, 1, 32, 128), dtype=torch.uint8)
    path = tmp_path / "reader.onnx"
    to_onnx(model, crops[:2], path, ("crops", ["logprobs"]), True)
    compare(model, path, crops)
    torch.nn.init.normal_(model.head.weight, 0, 3.0)
    with pytest.raises(SystemExit, match="differs"):
        compare(model, path, crops)


def test_weights_are_shipped_in_16_bits_and_come_back_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = as_shipped(Reader((24, 32, 32, 32)))
    crops = torch.randint(0, 256, (2, 1, 32, 128), dtype=torch.uint8)
    small, full = tmp_path / "small.onnx", tmp_path / "full.onnx"
    to_onnx(model, crops, small, ("crops", ["logprobs"]), True)
    onnx.save(load_full(small.read_bytes()), str(full))
    assert small.stat().st_size < 0.7 * full.stat().st_size
    assert not any(node.op_type == "Cast" and "_half" in node.input[0] for node in onnx.load(str(full)).graph.node)
    compare(model, small, crops)
    compare(model, full, crops)


def test_a_kept_checkpoint_can_be_exported_and_gone_on_from(tmp_path: Path, repo: Path) -> None:
    first = Reader((8, 8, 8, 8))
    recipe = {"widths": [8, 8, 8, 8], "mixers": 2, "deeper": [4, 9]}
    torch.save({"recipe": recipe, "step": 3, "hours": 0.1, "average": first.state_dict()}, tmp_path / "last.pt")
    shown, kept = load_reader(tmp_path / "last.pt")
    torch.save(kept, tmp_path / "kept.pt")
    again, _ = load_reader(tmp_path / "kept.pt")
    crops = torch.randint(0, 256, (3, 1, 32, 128), dtype=torch.uint8)
    with torch.no_grad():
        assert (again(crops).exp() - shown(crops).exp()).abs().max() < 0.01
    Reader((8, 8, 8, 8)).start_from(kept["average"])
    for path in (repo / "training" / "checkpoints").glob("reader*.pt"):
        load_reader(path)
