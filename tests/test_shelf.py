"""The verb `models`: list, verify, compare and swap packages, as a user meets them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_infer import blob_finder, card, column_reader, put
from helpers_own import finder_card, rectangle_finder
from rich.console import Console

from edge_alpr.app import open_models
from edge_alpr.config import Config, ModelsConfig, load_config
from edge_alpr.doctor.networks import GOLDEN_TEXT, golden_frame
from edge_alpr.errors import ConfigError, ModelError
from edge_alpr.infer.package import shipped
from edge_alpr.shelf.compare import agreement, compare, frames
from edge_alpr.shelf.swap import chosen, swapped, use
from edge_alpr.shelf.trial import packages_of, show_trials, try_package

CAR = """# my car
[source]
uri = "sample://drive"  # the sample

[models]  # nets
threads = 1
detector = "old.onnx"  # from the summer

[detect]
threshold = 0.4
"""


def edge_alpr(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "edge_alpr.cli", "models", *map(str, args)]
    return subprocess.run(
        command, check=False, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def both_shipped() -> tuple[Path, Path]:
    return shipped("detector"), shipped("reader")


def boxes(folder: Path, name: str = "boxes", **changes: object) -> Path:
    return put(folder, rectangle_finder("yolov8"), finder_card("yolov8", **changes), name)


def printed(trials: list) -> tuple[bool, str]:
    console = Console(file=StringIO(), width=160)
    good = show_trials(trials, console)
    return good, console.file.getvalue()


# --- verify


def test_a_package_is_tried_as_far_as_it_gets(tmp_path: Path) -> None:
    boxes(tmp_path, "a-good")
    spoiled = boxes(tmp_path, "b-hash")
    spoiled.write_bytes(spoiled.read_bytes() + b"\0")
    put(tmp_path, rectangle_finder("yolov8"), finder_card("yolov8", classes=3), "c-graph")
    trials = [try_package(path) for path in packages_of([tmp_path])]
    assert [trial.failed for trial in trials] == ["", "hash and card", "graph"]
    assert trials[0].said == "found"
    assert trials[0].ms > 0
    good, text = printed(trials)
    assert not good
    assert "refused" in text
    assert "b-hash.onnx: its sha256 is" in text
    assert "c-graph.onnx: output output0: [detector] decode" in text
    assert printed(trials[:1])[0]


def test_what_a_network_misses_is_told_and_not_refused(tmp_path: Path) -> None:
    (trial,) = [try_package(put(tmp_path, blob_finder(), card("detector")))]
    assert not trial.failed
    assert trial.said.startswith("not found")
    read = try_package(put(tmp_path, column_reader(), card("reader"), "reader"))
    assert not read.failed
    assert read.said.endswith(f"it says {GOLDEN_TEXT}")


def test_nothing_to_verify_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no \.onnx file"):
        packages_of([tmp_path])
    assert try_package(tmp_path / "none.onnx").failed


def test_the_verb_lists_and_verifies(tmp_path: Path) -> None:
    detector, reader = both_shipped()
    done = edge_alpr("verify", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert GOLDEN_TEXT in done.stdout
    boxes(tmp_path)
    assert "tiny-detector" in edge_alpr(tmp_path, cwd=tmp_path).stdout
    assert edge_alpr("list", tmp_path, cwd=tmp_path).returncode == 0
    (tmp_path / "boxes.toml").unlink()
    done = edge_alpr("verify", detector, tmp_path, reader, cwd=tmp_path)
    assert done.returncode == 2
    assert "put boxes.toml beside it" in done.stdout
    for verb in ("list", "verify", "compare", "use"):
        assert f"edge-alpr models {verb}" in edge_alpr(verb, "--help", cwd=tmp_path).stdout


# --- compare


def test_two_detectors_side_by_side(tmp_path: Path) -> None:
    detector, _ = both_shipped()
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "car.png"), golden_frame())
    cv2.imwrite(str(tmp_path / "photos" / "street.png"), np.full((360, 640), 90, np.uint8))
    done = edge_alpr("compare", detector, boxes(tmp_path), "--images", tmp_path / "photos", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "plate-detector 3" in done.stdout
    assert "float32 1x3x384x640 rgb" in done.stdout
    assert "2 pictures: 2 and 1 plates, 1 of them in the same place" in done.stdout
    assert "1, the same 1 (100.0%)" in done.stdout


def test_readers_that_differ_are_told(tmp_path: Path) -> None:
    both_shipped()
    other = put(tmp_path, column_reader(), card("reader"))
    first = open_models(Config())
    second = open_models(Config(models=ModelsConfig(reader=str(other))))
    tally = agreement(first, second, [golden_frame()])
    assert tally.plates[0] == tally.plates[1] == tally.both
    assert (tally.sure, tally.same) == (1, 0)
    assert tally.differ[0][0] == GOLDEN_TEXT
    same = agreement(first, first, [golden_frame()] * 3)
    assert (same.pictures, same.sure, same.same, same.differ) == (3, 3, 3, [])


def test_a_detector_and_a_reader_are_not_compared(tmp_path: Path) -> None:
    paths = boxes(tmp_path), put(tmp_path, column_reader(), card("reader"), "reader")
    with pytest.raises(ModelError, match="not of a kind"):
        compare(paths, None, Config(), Console(file=StringIO()))
    with pytest.raises(ModelError, match="no such model"):
        compare((paths[0], tmp_path / "none.onnx"), None, Config(), Console(file=StringIO()))


def test_the_sample_drive_is_what_is_compared_on() -> None:
    pytest.importorskip("gi")
    shown = list(frames(None))
    assert 10 < len(shown) <= 60


# --- use


def test_other_models_are_written_and_all_else_stays() -> None:
    text = swapped(CAR, {"detector": "/m/new.onnx", "reader": "/m/r.onnx"}, "car.toml")
    assert 'detector = "/m/new.onnx"  # from the summer\n' in text
    rest = [line for line in text.splitlines() if not line.startswith(("detector", "reader"))]
    assert rest == [line for line in CAR.splitlines() if not line.startswith("detector")]
    back = swapped(text, {"detector": "", "reader": ""}, "car.toml")
    assert "onnx" not in back
    assert "# my car" in back


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment",
        '[source]\nuri = "a"',
        "models.threads = 1\n",
        'models = { reader = "x.onnx" }  # short\n',
        "[models]\r\nthreads = 1 # one\r\n",
        '[models]\ndetector = ""\n[detect]\n',
    ],
)
def test_any_valid_file_can_be_edited(text: str) -> None:
    result = swapped(text, {"detector": "/m/d.onnx"}, "car.toml")
    assert '"/m/d.onnx"' in result
    assert text.partition("#")[2].strip() in result
    assert swapped(result, {"detector": "/m/d.onnx"}, "car.toml") == result


def test_a_broken_configuration_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "car.toml"
    path.write_text("[modells]\n")
    with pytest.raises(ConfigError, match="modells"):
        use({"reader": "/m/r.onnx"}, path)
    assert path.read_text() == "[modells]\n"
    with pytest.raises(ConfigError, match="cannot be"):
        use({"reader": "/m/r.onnx"}, tmp_path / "none" / "car.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        use({"reader": "/m/r.onnx"}, tmp_path)


def test_the_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path, link = tmp_path / "car.toml", tmp_path / "link.toml"
    path.write_text(CAR)
    path.chmod(0o640)
    link.symlink_to(path)
    before = path.stat().st_ino
    assert use({"detector": "/m/d.onnx"}, link) == ["detector: old.onnx -> /m/d.onnx"]
    assert link.is_symlink()
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["car.toml", "link.toml"]
    assert use({"detector": "/m/d.onnx"}, link) == []


def test_one_of_each_kind_can_be_chosen(tmp_path: Path) -> None:
    first, second = (try_package(boxes(tmp_path, name)) for name in "ab")
    assert chosen([first]) == {"detector": str(tmp_path / "a.onnx")}
    with pytest.raises(ModelError, match="a second detector"):
        chosen([first, second])


def test_the_verb_swaps_and_goes_back(tmp_path: Path) -> None:
    both_shipped()
    config = tmp_path / "car.toml"
    config.write_text(CAR.replace("old.onnx", str(tmp_path / "old.onnx")))
    boxes(tmp_path)
    done = edge_alpr("use", "boxes.onnx", "--config", "car.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"old.onnx -> {tmp_path}/boxes.onnx" in done.stdout
    assert load_config(config).models.detector == str(tmp_path / "boxes.onnx")
    assert open_models(load_config(config)).detect(golden_frame())
    done = edge_alpr("use", "--shipped", "--config", "car.toml", cwd=tmp_path)
    assert "-> shipped" in done.stdout
    assert load_config(config).models == ModelsConfig(threads=1)


def test_the_verb_writes_nothing_where_a_package_does_not_hold(tmp_path: Path) -> None:
    put(tmp_path, rectangle_finder("yolov8"), finder_card("yolov8", classes=3), "bad")
    done = edge_alpr("use", boxes(tmp_path), "bad.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "[detector] decode" in done.stdout
    assert not (tmp_path / "edge-alpr.toml").exists()
    for wrong in ((), ("boxes.onnx", "--shipped")):
        done = edge_alpr("use", *wrong, cwd=tmp_path)
        assert done.returncode == 2
        assert "--shipped" in done.stderr
