"""A user's own pair, whole way: box detectors of the usual exports, readers with other alphabets and inputs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from helpers_infer import card, column_crop, column_reader, package, put
from helpers_own import Clothes, finder_card, put_dressed, rectangle_finder

from edge_alpr.app import Models, open_detector, open_models
from edge_alpr.boxes import FormatName
from edge_alpr.config import Config, DetectConfig, ModelsConfig
from edge_alpr.doctor.networks import GOLDEN_BOX, GOLDEN_TEXT, golden_frame
from edge_alpr.errors import ModelError
from edge_alpr.evidence import ALPHABET
from edge_alpr.geometry import CropShape, box_iou, box_quad, quad_box
from edge_alpr.infer import adapt
from edge_alpr.infer.card import InputCard, OutputCard, ReaderCard, parse_card
from edge_alpr.infer.package import shipped
from edge_alpr.infer.rungs import open_session
from edge_alpr.stages.read import Reader
from edge_alpr.stages.rectify import cut
from edge_alpr.types import Crop, Detection, Luma

MIXED = "京沪-zyxwvutsrqponmlkjihgfedcbaZ9876543210·"
"""Lower case backwards, a second Z, the digits backwards, and signs that are none of ours."""
PLATES = ((GOLDEN_TEXT, 0.97), ("KA01HH1234", 0.68), ("7XKM482", 0.97), ("X", 0.97), ("DU37 4KX", 0.82))


def drawn(text: str, size: float) -> Luma:
    """The golden frame with another text on its plate."""
    frame = np.array(golden_frame())
    x0, y0, x1, y1 = GOLDEN_BOX
    cv2.rectangle(frame, (x0, y0), (x1 - 1, y1 - 1), 225, -1)
    cv2.putText(frame, text, (x0 + 9, y1 - 8), cv2.FONT_HERSHEY_DUPLEX, size, 20, 2, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(frame, (3, 3), 0), np.uint8)


def opened(**models: Path) -> Models:
    names = {kind: str(path) for kind, path in models.items()}
    return open_models(Config(models=ModelsConfig(threads=1, precision="full", **names)))


def texts(models: Models) -> list[list[tuple[str, float]]]:
    """What is read in each of the drawn frames."""
    seen = [models.observe(drawn(*plate))[0] for plate in PLATES]
    return [[(o.read.plate, o.read.score) for o in observations] for observations in seen]


@lru_cache(maxsize=1)
def as_shipped() -> list[list[tuple[str, float]]]:
    return texts(opened())


# --- detectors


@pytest.mark.parametrize("name", ["yolov5", "yolov7-nms", "yolov8", "yolov10"])
def test_a_detector_of_boxes_finds_the_plate_and_the_shipped_reader_reads_it(tmp_path: Path, name: FormatName) -> None:
    shipped("reader")
    models = opened(detector=put(tmp_path, rectangle_finder(name), finder_card(name)))
    (seen,), _ = models.observe(golden_frame())
    assert box_iou(quad_box(seen.detection.quad), quad_box(box_quad(*GOLDEN_BOX))) > 0.85
    assert seen.detection.score == pytest.approx(0.9)
    assert seen.read.plate == GOLDEN_TEXT
    assert models.observe(np.full((300, 400), 96, np.uint8))[0] == []


@pytest.mark.parametrize("size", [(720, 1280), (1080, 1920), (1200, 800), (300, 500)])
def test_a_box_lies_where_the_bright_thing_is_in_any_frame(tmp_path: Path, size: tuple[int, int]) -> None:
    shipped("reader")
    models = opened(detector=put(tmp_path, rectangle_finder("yolov8"), finder_card("yolov8")))
    rows, columns = size
    frame = np.full(size, 90, np.uint8)
    x, y, width, height = columns // 3, rows // 2, columns // 4, rows // 12
    frame[y : y + height, x : x + width] = 240
    (found,) = models.detect(frame)
    step = max(columns / 640, rows / 384)
    expected = [x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5]
    np.testing.assert_allclose(quad_box(found.quad), expected, atol=1.2 * step)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"decode": "yolov5"}, "output output0: [detector] decode, top_k and classes"),
        ({"classes": 3}, "[detector] decode, top_k and classes"),
        ({"top_k": 8400}, "[detector] decode, top_k and classes"),
        ({"decode": "quads"}, "[output] names"),
    ],
)
def test_a_detector_of_boxes_unlike_its_card_is_refused(tmp_path: Path, changes: dict, reason: str) -> None:
    given = package(tmp_path, rectangle_finder("yolov8"), finder_card("yolov8", **changes))
    with pytest.raises(ModelError, match=re.escape(reason)) as caught:
        open_session(given, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layout": "luma"}, "[input] shape"),
        ({"axes": "NHWC"}, "[input] shape"),
        ({"dtype": "uint8"}, "[input] dtype"),
        ({"name": "image"}, "[input] name"),
        ({"shape": (1, 3, 384)}, "[input] shape"),
        ({"shape": (1, 3, 0, 640)}, "[input] shape"),
        ({"shape": (2, 3, 384, 640)}, "[input] shape"),
    ],
)
def test_an_input_unlike_its_card_is_refused(tmp_path: Path, changes: dict, reason: str) -> None:
    fields = {"name": "images", "shape": (1, 3, 384, 640), "dtype": "float32", "layout": "rgb"} | changes
    card_ = msgspec.structs.replace(finder_card("yolov8"), input=InputCard(**fields))
    given = package(tmp_path, rectangle_finder("yolov8"), card_)
    with pytest.raises(ModelError, match=re.escape(reason)):
        open_session(given, 1)


# --- readers

CLOTHES = {
    "another order, blank first, float32": Clothes(MIXED, 0, dtype="float32"),
    "logits, steps first": Clothes(MIXED, len(MIXED), kind="logits", axes="TNC"),
    "probabilities, blank in the middle": Clothes(ALPHABET[::-1] + "_", 7, kind="probabilities"),
    "three channels, last": Clothes(ALPHABET, 36, layout="rgb", nhwc=True, dtype="float32"),
    "one crop a run": Clothes(ALPHABET, 0, batch=1),
    "three crops a run": Clothes(MIXED, 0, batch=3),
}


@pytest.mark.parametrize("clothes", CLOTHES.values(), ids=CLOTHES.keys())
def test_the_shipped_reader_in_foreign_clothes_reads_the_same(tmp_path: Path, clothes: Clothes) -> None:
    shipped("reader")
    shipped("detector")
    found = texts(opened(reader=put_dressed(tmp_path, clothes)))
    assert [[text for text, _ in frame] for frame in found] == [[text for text, _ in frame] for frame in as_shipped()]
    for frame, expected in zip(found, as_shipped(), strict=True):
        assert [score for _, score in frame] == pytest.approx([score for _, score in expected], abs=2e-3)


def test_crops_may_be_of_another_size(tmp_path: Path) -> None:
    shipped("reader")
    shipped("detector")
    models = opened(reader=put_dressed(tmp_path, Clothes(MIXED, 0, twice=True)))
    seen = opened().observe(golden_frame())[0][0]
    large = models.observe(golden_frame())[0][0]
    assert large.crop.image.shape == (64, 256)
    assert large.read.plate == GOLDEN_TEXT
    assert large.crop.sharpness == pytest.approx(seen.crop.sharpness, rel=0.5), "it must mean the same for every reader"


def test_the_whole_way_by_the_command_line(tmp_path: Path) -> None:
    shipped("reader")
    detector = put(tmp_path, rectangle_finder("yolov8"), finder_card("yolov8"), "boxes")
    reader = put_dressed(tmp_path, Clothes(MIXED, 0, dtype="float32"))
    (tmp_path / "car.toml").write_text(f'[models]\ndetector = "{detector}"\nreader = "{reader}"\n')
    cv2.imwrite(str(tmp_path / "car.png"), golden_frame())
    command = [sys.executable, "-m", "edge_alpr.cli", "read", "--jsonl", "car.png", "--config", "car.toml"]
    done = subprocess.run(
        command, check=False, cwd=tmp_path, capture_output=True, text=True, env=_environment(), timeout=120
    )
    assert done.returncode == 0, done.stderr
    (plate,) = json.loads(done.stdout)["plates"]
    assert plate["plate"] == GOLDEN_TEXT
    assert abs(plate["box"]["xmin"] - GOLDEN_BOX[0]) <= 3


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def test_a_reader_of_slots_with_a_pad_character(tmp_path: Path) -> None:
    reader = ReaderCard(alphabet=ALPHABET + "_", margin=(0.0, 0.0), decode="slots")
    given = package(tmp_path, column_reader(), card("reader", reader=reader))
    read = Reader(open_session(given, 1), adapt.reader_spec(given.card))
    crops = [Crop(column_crop(t), Detection(box_quad(0, 0, 9, 3), 1.0), 9.0, 3.0, 1.0, False) for t in ("AA7", "")]
    found = read(crops)
    assert [r.plate for r in found] == ["AA7", ""], "the same character twice needs no blank between"
    assert found[0].slots.shape == (64, 37)


def test_a_temperature_makes_less_sure_and_reads_the_same(tmp_path: Path) -> None:
    shipped("reader")
    shipped("detector")
    same = Clothes(ALPHABET, 36)
    plain = opened(reader=put_dressed(tmp_path, same, temperature=1.0)).observe(golden_frame())[0][0]
    warm = opened(reader=put_dressed(tmp_path, same, temperature=2.0)).observe(golden_frame())[0][0]
    assert plain.read.plate == warm.read.plate == GOLDEN_TEXT
    assert warm.read.score < plain.read.score


def test_crops_are_cut_as_the_card_says() -> None:
    reader = ReaderCard(alphabet=ALPHABET, blank=36, margin=(0.0, 0.0), light="plain")
    source = InputCard(name="x", shape=(0, 48, 160, 1), dtype="uint8", layout="luma", axes="NHWC")
    own = card("reader", reader=reader, input=source, output=OutputCard(names=("y",)))
    plate = Detection(box_quad(*GOLDEN_BOX), 1.0)
    crop = adapt.cutter(own)(golden_frame(), plate)
    assert crop.image.shape == (48, 160)
    assert crop.image.max() > 220, "its light stays as it is"
    expected = cut(golden_frame(), plate, CropShape(160, 48, 0.0, 0.0), normalise=False)
    assert np.array_equal(crop.image, expected.image)
    assert adapt.cutter(card("reader")) is cut


# --- tiers


def test_the_detector_may_change_between_frames(tmp_path: Path) -> None:
    shipped("reader")
    shipped("detector")
    models = open_models(Config())
    config = Config(models=ModelsConfig(detector=str(put(tmp_path, rectangle_finder("yolov8"), finder_card("yolov8")))))
    other = models.using(open_detector(config))
    assert other.read is models.read
    assert other.identities["reader"] == models.identities["reader"]
    assert other.identities["detector"] != models.identities["detector"]
    assert [len(m.detect(np.full((90, 90), 250, np.uint8))) for m in (other, models)] == [1, 0]


def test_a_tier_that_is_not_shipped_names_what_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge_alpr.infer.sets.shipped_folder", lambda: tmp_path)
    put(tmp_path, rectangle_finder("yolov8"), finder_card("yolov8"), "only")
    once = Config(detect=DetectConfig(look_again=False))
    with pytest.raises(ModelError, match=r"one small detector is wanted there, found only\.onnx \(large\)"):
        open_detector(once, "small")
    with pytest.raises(ModelError, match="small detector"):
        open_detector(Config(models=ModelsConfig(tier="small")))
    put(tmp_path, rectangle_finder("yolov5"), finder_card("yolov5", tier="small"), "other")
    assert open_detector(once, "small").identity != open_detector(once, "large").identity


# --- the documentation


def test_the_example_cards_of_the_documentation_hold(repo: Path) -> None:
    text = (repo / "docs" / "models.md").read_text(encoding="utf-8")
    cards = [block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "sha256" in block]
    assert [parse_card(block, "docs/models.md").kind for block in cards] == ["detector", "reader", "reader"]
    for block in cards:
        card_ = parse_card(block, "docs/models.md")
        assert 0 not in adapt.feed(card_).size
