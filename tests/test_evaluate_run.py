"""`edge-alpr eval` with real models on the rendered sample drive: every figure, file and picture it gives."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_alpr.assess import Request, assess
from edge_alpr.config import Config, DetectConfig, ModelsConfig, tomllib
from edge_alpr.errors import DatasetError, EdgeAlprError
from edge_alpr.evaluate import Outcome, Statement, calibrate, load_dataset, write_labels
from edge_alpr.evaluate.labels import FILE
from edge_alpr.evaluate.sample import write_sample
from edge_alpr.infer.package import shipped

MODELS = Path(shipped("detector")).parent


def run(request: Request, config: Config | None = None) -> str:
    """What `eval` prints."""
    console = Console(file=io.StringIO(), width=100, highlight=False)
    assess(request, config or Config(), console)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def drive(tmp_path_factory) -> Path:
    """A labelled folder of the sample drive, two frames a second."""
    folder = tmp_path_factory.mktemp("drive")
    write_sample("sample://drive", folder, every=15)
    return folder


@pytest.fixture(scope="module")
def short(drive: Path, tmp_path_factory) -> Path:
    """Six frames of it."""
    folder = tmp_path_factory.mktemp("short")
    write_labels(load_dataset(drive)[8:26:3], folder / FILE)
    return folder


@pytest.fixture(scope="module")
def measured(drive: Path, tmp_path_factory) -> tuple[str, dict, Path]:
    """The text, the JSON and the folder with the pictures of a run over it."""
    out = tmp_path_factory.mktemp("out")
    request = Request(
        str(drive), json_file=out / "x.json", sheet=out / "sheet.png", reliability=out / "reliability.png"
    )
    return run(request), json.loads((out / "x.json").read_text()), out


def test_the_sample_becomes_a_labelled_set(drive):
    images = load_dataset(drive)
    assert len(images) == 40
    assert [i.second for i in images[:3]] == pytest.approx([0, 0.5, 1.0], abs=0.05)
    plates = [p for i in images for p in i.plates]
    assert len({p.text for p in plates}) == 10
    assert {p.lines for p in plates if p.text == "XU7K294"} == {2}
    assert {p.legibility for p in plates} == {"ok", "hard"}


def test_single_pictures_of_the_sample(measured):
    _, document, _ = measured
    groups = document["stills"]["groups"]
    assert groups["ok"]["recall"] > 0.9
    assert groups["ok"]["accuracy"] > 0.8
    cuts = (("ok_sharp", "ok_soft"), ("ok_dark", "ok_normal_light", "ok_bright"), ("ok_one_line", "ok_two_lines"))
    for parts in cuts:
        assert sum(groups[part]["plates"] for part in parts) == groups["ok"]["plates"], parts
    assert groups["ok_two_lines"]["plates"] and groups["ok_soft"]["plates"]


def test_calibration_of_the_sample(measured):
    text, document, _ = measured
    for kind in ("plates", "characters"):
        calibration = document["stills"]["calibration"][kind]
        assert 0 <= calibration["ece"] < 0.15
        assert sum(one["count"] for one in calibration["bins"]) == calibration["count"] > 0
    legible = [p for p in document["stills"]["plates"] if p["legibility"] == "ok" and p["read"]]
    assert document["stills"]["calibration"]["plates"]["count"] == len(legible)
    assert document["stills"]["calibration"]["characters"]["count"] == sum(len(p["read"]) for p in legible)
    assert "calibration of whole plates" in text


def test_fused_texts_of_the_sample_beat_its_frames(measured):
    text, document, _ = measured
    sums = document["rides"]["over_time"]["totals"]
    assert sums["vehicles"] == 10
    assert sums["fused_right"] >= 8
    assert sums["right_frames"] < sums["fused_frames"] <= sums["frames"]
    for vehicle in document["rides"]["over_time"]["vehicles"]:
        assert vehicle["frames"] >= vehicle["found"] >= vehicle["right_frames"]
        if vehicle["fused_right"]:
            assert vehicle["first_right_s"] >= 0
        if vehicle["told_s"] is not None and vehicle["first_right_s"] is not None:
            assert vehicle["told_s"] >= vehicle["first_right_s"], "no event before its text"
    assert f"fused {sums['fused_right']} of 10" in text
    events = document["rides"]["calibration"]
    assert events["events"]["count"] >= events["sure_events"]["events"] >= events["sure_events"]["right"] > 0


def test_the_sheet_and_the_reliability_picture_are_drawn(measured):
    _, document, out = measured
    sheet, reliability = (cv2.imread(str(out / f"{name}.png")) for name in ("sheet", "reliability"))
    rows = -(-len(document["stills"]["failures"]) // 2)
    assert sheet.shape[0] == 64 + max(rows, 1) * 164
    assert reliability.shape[:2] == (760, 430 * 4 + 30)
    for picture in (sheet, reliability):
        assert picture.std() > 10, "something is on it"


@pytest.fixture(scope="module")
def other_models(tmp_path_factory) -> Path:
    """Both networks with some noise on their weights: they see and read a bit worse."""
    onnx = pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("models")
    for kind, amount in (("detector", 0.12), ("reader", 0.3)):
        model = onnx.load(str(MODELS / f"plate-{kind}.onnx"))
        rng = np.random.default_rng(1)
        for tensor in model.graph.initializer:
            weights = onnx.numpy_helper.to_array(tensor)
            if weights.dtype in (np.float16, np.float32) and weights.size > 1000:
                noise = amount * weights.astype(np.float32).std() * rng.standard_normal(weights.shape)
                tensor.CopyFrom(onnx.numpy_helper.from_array((weights + noise).astype(weights.dtype), tensor.name))
        data = model.SerializeToString()
        card = tomllib.loads((MODELS / f"plate-{kind}.toml").read_text())
        card["sha256"] = hashlib.sha256(data).hexdigest()
        (folder / f"{kind}.onnx").write_bytes(data)
        (folder / f"{kind}.toml").write_text(tomli_w.dumps(card))
    return folder


def other_toml(models: Path, folder: Path, *kinds: str) -> Path:
    file = folder / "other.toml"
    file.write_text(tomli_w.dumps({"models": {kind: str(models / f"{kind}.onnx") for kind in kinds}}))
    return file


@pytest.mark.parametrize(("kinds", "faults"), [(("reader",), {"reader"}), (("detector",), {"detector"})])
def test_the_network_that_was_exchanged_is_at_fault(drive, other_models, tmp_path, kinds, faults):
    file = other_toml(other_models, tmp_path, *kinds)
    text = run(Request(str(drive), compare=file, json_file=tmp_path / "x.json"))
    compared = json.loads((tmp_path / "x.json").read_text())["compare"]
    assert compared["changes"], "the noise must show"
    assert {change["fault"] for change in compared["changes"]} == faults
    recall = compared["groups"]["text"]["recall"]
    assert (recall["difference"] == 0) == (kinds == ("reader",))
    assert recall["difference"] == pytest.approx(recall["this"] - recall["other"])
    assert compared["headlines"]["rides.over_time.totals.fused_right"]["this"] >= 8
    assert "Plates that changed" in text


def test_an_earlier_report_is_compared_and_its_faults_found(drive, other_models, tmp_path, measured):
    out = measured[2]
    reader = Config(models=ModelsConfig(reader=str(other_models / "reader.onnx")))
    run(Request(str(drive), compare=out / "x.json", json_file=tmp_path / "y.json"), reader)
    compared = json.loads((tmp_path / "y.json").read_text())["compare"]
    assert {change["fault"] for change in compared["changes"]} == {"reader"}
    assert compared["headlines"]["rides.found"]["other"] == measured[1]["rides"]["found"]
    assert "No plate changed." in run(Request(str(drive), compare=out / "x.json"))


def test_with_both_exchanged_each_is_tried_alone(short, other_models, tmp_path):
    file = other_toml(other_models, tmp_path, "detector", "reader")
    run(Request(str(short), compare=file, json_file=tmp_path / "x.json"))
    changes = json.loads((tmp_path / "x.json").read_text())["compare"]["changes"]
    found_twice = [c["fault"] for c in changes if "missed" not in (c["before"], c["after"])]
    assert found_twice and set(found_twice) <= {"detector", "reader", "either", "both"}


def test_what_cannot_be_compared_is_said(short, tmp_path):
    (tmp_path / "x.json").write_text('{"models": {}, "stills": {"plates": []}}')
    with pytest.raises(DatasetError, match="no plate in common"):
        run(Request(str(short), compare=tmp_path / "x.json"))
    with pytest.raises(DatasetError, match=r"\.toml.*\.json"):
        run(Request(str(short), compare=tmp_path / "x.txt"))


def test_labels_of_another_kind_are_measured_and_written(drive, tmp_path):
    """The drive as CSV gives the same figures as the drive."""
    images = load_dataset(drive)[:8]
    lines = ["image,xmin,ymin,xmax,ymax,text,legibility,lines"]
    for image in images:
        lines += [f"{image.path},{','.join(map(str, p.box))},{p.text},{p.legibility},{p.lines}" for p in image.plates]
    (tmp_path / "drive.csv").write_text("\n".join(lines) + "\n")
    run(Request(str(tmp_path), json_file=tmp_path / "csv.json", labels_file=tmp_path / FILE))
    run(Request(str(tmp_path), json_file=tmp_path / "own.json"))
    csv, own = (json.loads((tmp_path / f"{name}.json").read_text())["stills"]["groups"] for name in ("csv", "own"))
    assert csv == own
    assert csv["ok"]["plates"] == sum(p.legibility == "ok" for i in images for p in i.plates)
    with pytest.raises(DatasetError, match="not kept"):
        run(Request("sample://drive", labels_file=tmp_path / "none.jsonl"))


def test_the_command_takes_a_sample_and_a_picture_that_is_missing(tmp_path):
    (tmp_path / "x.csv").write_text("image,xmin,ymin,xmax,ymax,text\nnone.png,1,2,30,12,AB12\n")
    command = [sys.executable, "-m", "edge_alpr.cli", "eval"]
    done = subprocess.run([*command, str(tmp_path)], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "none.png" in done.stdout
    done = subprocess.run([*command, "sample://none"], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "sample://drive" in done.stderr


def test_without_matplotlib_the_extra_is_named_before_any_work(drive, tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.argv = ['edge-alpr', 'eval', *sys.argv[1:]]\n"
        "from edge_alpr.cli import main; main()"
    )
    command = [sys.executable, "-c", code, str(drive)]
    done = subprocess.run(
        [*command, "--sheet", str(tmp_path / "x.png")], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "pip install 'edge-alpr[plots]'" in done.stderr
    assert not done.stdout


def documented() -> list[str]:
    """The paths that docs/evaluation.md tells of, and what it lists beside them."""
    text = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    table = text.partition("## The JSON")[2]
    return re.findall(r"^\| `([a-z_0-9.\[\]]+)` \|", table, re.MULTILINE)


def test_the_document_says_what_is_there(drive, measured, tmp_path):
    out = measured[2]
    short = Config(detect=DetectConfig(threshold=0.9))
    run(Request(str(drive), compare=out / "x.json", json_file=tmp_path / "x.json"), short)
    whole = json.loads((tmp_path / "x.json").read_text())
    assert len(documented()) > 20
    for path in documented():
        value = whole
        for name in path.split("."):
            value = value[name.removesuffix("[]")]
            value = value[0] if name.endswith("[]") else value


# --- pictures


def test_a_sheet_of_all_kinds_of_failures(tmp_path):
    from edge_alpr.evaluate.sheet import chosen, draw_sheet  # noqa: PLC0415

    luma = np.full((300, 500), 60, np.uint8)
    cv2.putText(luma, "AB 1234", (108, 112), cv2.FONT_HERSHEY_SIMPLEX, 1.1, 250, 3)
    cv2.imwrite(str(tmp_path / "a.png"), luma)
    (tmp_path / "b.png").write_text("no picture")
    box, quad = (100.0, 80.0, 260.0, 120.0), ((102.0, 82.0), (258.0, 80.0), (260.0, 118.0), (100.0, 121.0))
    failures = [
        Outcome("a.png", "AB1234", "ok", 160, 1, True, read="A81234Z", score=0.7, box=box, quad=quad),
        Outcome("a.png", "AB1234", "ok", 160, 1, True, read="", score=0.0, box=box, quad=quad),
        Outcome("a.png", "AB1234", "ok", 160, 2, False, box=(-20.0, -10.0, 520.0, 400.0)),
        Outcome("a.png", "", "textless", 160, 1, False, box=(498.0, 298.0, 500.0, 300.0)),
        Outcome("b.png", "AB1234", "ok", 160, 1, False, box=box),
    ]
    paths = {name: tmp_path / name for name in ("a.png", "b.png")}
    draw_sheet(failures, paths, tmp_path / "sheet.png")
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[0] == 64 + 3 * 164
    draw_sheet([], paths, tmp_path / "none.png")
    with pytest.raises(EdgeAlprError, match="cannot be written"):
        draw_sheet([], paths, tmp_path / "no" / "sheet.png")
    many = failures[:1] * 100 + failures[2:3] * 50
    assert [sum(o.found == hit for o in chosen(many)) for hit in (True, False)] == [40, 20]
    assert len(chosen(failures[:1] * 100)) == len(chosen(failures[2:3] * 100)) == 60
    assert chosen(failures) == failures


@given(st.text("AB01OI8", max_size=8), st.text("AB01OI8", max_size=8))
def test_truth_and_read_are_laid_one_below_the_other(truth, read):
    from edge_alpr.evaluate.sheet import aligned  # noqa: PLC0415

    above, below = aligned(truth, read)
    assert len(above) == len(below)
    assert "".join(cell.char for cell in above).replace("·", "") == truth
    assert "".join(cell.char for cell in below).replace("·", "") == read
    same = str.maketrans("OI", "01")
    for a, b in zip(above, below, strict=True):
        assert a.differs == b.differs == (a.char.translate(same) != b.char.translate(same))


def test_a_reliability_picture_of_nothing_and_of_one(tmp_path):
    from edge_alpr.evaluate.drawing import draw_reliability, wilson  # noqa: PLC0415

    draw_reliability({"plates": calibrate([])}, tmp_path / "none.png")
    draw_reliability({"plates": calibrate([Statement(1.0, True)]), "none": calibrate([])}, tmp_path / "one.png")
    assert cv2.imread(str(tmp_path / "one.png")).shape[:2] == (760, 460)
    low, high = wilson(0.5, 100)
    assert (low, high) == pytest.approx((0.404, 0.596), abs=1e-3)
