"""The command line as a user meets it: real processes, their output and their exit codes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge_alpr as edge_alpr_package

VERBS = (
    "run", "read", "eval", "bench", "build", "config", "doctor", "label", "models", "formats", "hotlist", "events",
    "uplink", "display", "update",
)  # fmt: skip


def edge_alpr(*args: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "edge_alpr.cli", *map(str, args)]
    environment = {**os.environ, "COLUMNS": "100", **env}
    return subprocess.run(
        command, check=False, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = [line for line in done.stderr.splitlines() if line.startswith("edge-alpr: ")]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    done = edge_alpr(verb, "--help")
    assert done.returncode == 0
    assert any(line.strip().startswith(f"edge-alpr {verb}") for line in done.stdout.splitlines())


def test_version_and_wrong_usage() -> None:
    assert edge_alpr("--version").stdout.startswith("edge-alpr 0.")
    assert edge_alpr("drive").returncode == 2
    assert edge_alpr("run", "--limit", "soon").returncode == 2


@pytest.mark.parametrize(
    ("words", "at", "offered"),
    [
        ("edge-alpr do", 1, {"doctor"}),
        ("edge-alpr models ver", 2, {"verify"}),
        ("edge-alpr models ", 2, {"compare", "list", "use", "verify"}),
    ],
)
def test_the_shell_can_complete_verbs(words: str, at: int, offered: set[str]) -> None:
    as_installed = "import sys; sys.argv = ['edge-alpr']; from edge_alpr.cli import main; main()"
    asked = {"_EDGE_ALPR_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    done = subprocess.run(
        [sys.executable, "-c", as_installed],
        check=False, env={**os.environ, **asked}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert set(done.stdout.split()) == offered


def _garbage(folder: Path) -> tuple[str, ...]:
    (folder / "drive.mp4").write_bytes(bytes(range(256)) * 64)
    return "run", "--source", str(folder / "drive.mp4")


def _missing(folder: Path) -> tuple[str, ...]:
    return "run", "--source", str(folder / "none.mp4")


def _empty_folder(folder: Path) -> tuple[str, ...]:
    (folder / "frames").mkdir()
    return "run", "--source", f"dir://{folder / 'frames'}"


def _unknown_scheme(folder: Path) -> tuple[str, ...]:
    return "run", "--source", "gopher://camera"


def _five_cameras(folder: Path) -> tuple[str, ...]:
    return "run", *(part for i in range(5) for part in ("--source", f"{i}.mp4"))


def _mixed_cameras(folder: Path) -> tuple[str, ...]:
    return "run", "--source", "sample://drive", "--source", "rtsp://127.0.0.1:9/front"


def _cameras_without_plates(folder: Path) -> tuple[str, ...]:
    return "bench", "--cameras", "2"


def _unknown_key(folder: Path) -> tuple[str, ...]:
    (folder / "car.toml").write_text("[detect]\nthreshhold = 0.5\n")
    return "run", "--config", str(folder / "car.toml")


def _wrong_type(folder: Path) -> tuple[str, ...]:
    (folder / "car.toml").write_text('[track]\nmax_gap_s = "long"\n')
    return "config", "--config", str(folder / "car.toml")


def _store_is_a_file(folder: Path) -> tuple[str, ...]:
    (folder / "store").write_text("mine")
    return "run", "--store", str(folder / "store")


def _tampered_model(folder: Path) -> tuple[str, ...]:
    (folder / "d.onnx").write_bytes(b"not a network")
    (folder / "d.toml").write_text('name = "d"\n')
    (folder / "car.toml").write_text(f'[models]\ndetector = "{folder / "d.onnx"}"\n')
    return "run", "--config", str(folder / "car.toml")


def _no_labels(folder: Path) -> tuple[str, ...]:
    return "eval", str(folder)


def _no_pictures(folder: Path) -> tuple[str, ...]:
    shipped = str(Path(edge_alpr_package.__file__).parent / "models" / "plate-reader.onnx")
    return "models", "compare", shipped, shipped, "--images", str(folder / "none")


def _no_models(folder: Path) -> tuple[str, ...]:
    return "models", str(folder / "none")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (_garbage, ("drive.mp4",)),
        (_missing, ("none.mp4",)),
        (_empty_folder, ("frames", "no pictures")),
        (_unknown_scheme, ("gopher", "rtsp://")),
        (_five_cameras, ("5 cameras", "at most 4")),
        (_mixed_cameras, ("live", "recorded", "two drives")),
        (_cameras_without_plates, ("--plates",)),
        (_unknown_key, ("threshhold", "known here: threshold")),
        (_wrong_type, ("track.max_gap_s", "expected float")),
        (_store_is_a_file, ("store",)),
        (_tampered_model, ("d.toml",)),
        (_no_labels, ("labels.jsonl",)),
        (_no_models, ("no such folder",)),
        (_no_pictures, ("none",)),
    ],
)
def test_bad_input_gives_one_clear_line_and_exit_2(
    case: Callable[[Path], tuple[str, ...]], words: tuple[str, ...], tmp_path: Path
) -> None:
    args = case(tmp_path)
    store = () if "--store" in args or args[0] != "run" else ("--store", str(tmp_path / "events"))
    assert_one_clear_line(edge_alpr(*args, *store), *words)


def test_two_recordings_are_read_in_one_drive(tmp_path: Path) -> None:
    for name in ("front", "rear"):
        (tmp_path / name).mkdir()
        for second in range(2 if name == "front" else 3):
            cv2.imwrite(str(tmp_path / name / f"ride_{second:05}.png"), np.full((120, 160), 90, np.uint8))
    done = edge_alpr("run", "--source", tmp_path / "front", "--source", tmp_path / "rear", "--store", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    for row in (["frames", "5,"], ["camera0", "2,"], ["camera1", "3,"]):
        assert [*row, "none", "dropped"] in rows


def test_a_store_held_by_another_process_is_said(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    edge_alpr("run", "--store", tmp_path / "events", "--limit", "0", "--no-display")
    holder = sqlite3.connect(tmp_path / "events" / "events.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        done = edge_alpr("run", "--store", tmp_path / "events", "--no-display")
        assert_one_clear_line(done, "events")
    finally:
        holder.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures that a camera or a person may hand over."""
    grey = np.full((120, 160), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "one.png"), grey[:1, :1])
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 256)
    cv2.imwrite(str(tmp_path / "large.jpg"), np.full((4000, 5000), 70, np.uint8))
    whole = cv2.imencode(".jpg", np.random.default_rng(1).integers(0, 255, (200, 300), np.uint8))[1].tobytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    return tmp_path


def test_stills_give_a_line_each_and_the_unreadable_ones_their_reason(pictures: Path) -> None:
    names = ["one.png", "text.jpg", "deep.png", "cut.jpg", "large.jpg", "none.jpg"]
    done = edge_alpr("read", "--jsonl", *[pictures / name for name in names])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2
    assert [Path(line["source"]).name for line in lines] == names
    assert [name for name, line in zip(names, lines, strict=True) if "error" in line] == [
        "text.jpg", "cut.jpg", "none.jpg",
    ]  # fmt: skip
    assert lines[4]["width"], lines[4]["height"] == (5000, 4000)
    assert "Traceback" not in done.stderr


def test_models_and_doctor_are_green_here() -> None:
    models = edge_alpr("models")
    assert models.returncode == 0, models.stdout
    assert "plate-detector" in models.stdout
    assert "plate-reader" in models.stdout
    doctor = edge_alpr("doctor")
    assert doctor.returncode == 0, doctor.stdout


def test_eval_says_which_pictures_do_not_open_and_scores_the_others(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((90, 160), 60, np.uint8))
    (tmp_path / "broken.jpg").write_text("no picture")
    plate = {"box": [10, 10, 60, 25], "text": "AB12", "legibility": "ok", "lines": 1}
    lines = [
        {"image": name, "width": 160, "height": 90, "split": "dev", "complete": True, "plates": [plate]}
        for name in ("empty.png", "broken.jpg")
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = edge_alpr("eval", tmp_path, "--json", tmp_path / "figures.json")
    assert done.returncode == 2
    assert "broken.jpg" in done.stdout
    assert json.loads((tmp_path / "figures.json").read_text())["stills"]["images"] == 2
