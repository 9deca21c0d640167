"""The golden drive: it holds for the shipped networks, and for no pair that reads wrongly or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the sets are made with onnx: pip install -e .[export]")
from onnx import numpy_helper  # noqa: E402

from edge_alpr.config import Config, ModelsConfig  # noqa: E402
from edge_alpr.drive import Summary  # noqa: E402
from edge_alpr.infer.package import load_package, shipped_folder, write_card  # noqa: E402
from edge_alpr.update.golden import Limits, Seen, expected, golden, judge  # noqa: E402

CONFIG = Config(models=ModelsConfig(run_on="cpu", tier="small"))
NAMES = ("plate-detector-small", "plate-reader")


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    """A set with the small detector and the reader, in full precision."""
    folder = tmp_path / "2.0.0"
    folder.mkdir()
    for name in NAMES:
        for ending in ("onnx", "toml"):
            shutil.copy(shipped_folder() / f"{name}.{ending}", folder)
    return folder


def rewritten(folder: Path, name: str, change: Callable[[onnx.ModelProto], None]) -> None:
    """Another graph in the place of one, its card right."""
    path = folder / f"{name}.onnx"
    package = load_package(path)
    model = onnx.load_from_string(package.model)
    change(model)
    path.write_bytes(model.SerializeToString())
    write_card(path, package.card)


def shuffle(model: onnx.ModelProto) -> None:
    """The weights of each large tensor in another order."""
    random = np.random.default_rng(3)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.size > 1000:
            flat = values.ravel().copy()
            random.shuffle(flat)
            tensor.CopyFrom(numpy_helper.from_array(flat.reshape(values.shape), tensor.name))


def blind(model: onnx.ModelProto) -> None:
    """A detector whose scores are nought."""
    for node in model.graph.node:
        for i, name in enumerate(node.output):
            if name == "scores":
                node.output[i] = "seen"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "nought"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["seen", "nought"], ["scores"]))


def other_alphabet(folder: Path) -> None:
    """A card whose letters are one further than they are."""
    path = folder / "plate-reader.onnx"
    card = load_package(path).card
    assert card.reader
    letters = card.reader.alphabet
    reader = msgspec.structs.replace(card.reader, alphabet=letters[1:] + letters[:1])
    write_card(path, msgspec.structs.replace(card, reader=reader))


def test_the_command_says_that_the_installed_models_are_good(tmp_path: Path) -> None:
    config = tmp_path / "car.toml"
    formats = '[formats]\nregions = ["ro"]\nmode = "filter"\n'
    config.write_text(f'[models]\nrun_on = "cpu"\ntier = "small"\n{formats}', encoding="utf-8")
    command = [sys.executable, "-m", "edge_alpr.update.golden", "--json", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    said = json.loads(done.stdout)
    assert (done.returncode, said["good"], said["why"]) == (0, True, ""), done.stderr
    assert (said["facts"]["frames"], said["facts"]["vehicles"], said["facts"]["on_gpu"]) == (600, 10, 0)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "finds nothing": (lambda folder: rewritten(folder, "plate-detector-small", blind), "not told: "),
    "other alphabet": (other_alphabet, "not told: "),
    "torn": (lambda folder: (folder / "plate-reader.onnx").write_bytes(b"torn"), "its sha256 is"),
    "no detector": (lambda folder: (folder / "plate-detector-small.onnx").unlink(), "one small detector is wanted"),
    "nothing": (shutil.rmtree, "no such folder"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_pair_is_not_good_and_the_reason_is_said(case: str, candidate: Path) -> None:
    spoil, reason = BROKEN[case]
    spoil(candidate)
    verdict = golden(CONFIG, candidate)
    assert not verdict.good
    assert reason in verdict.why


@pytest.mark.slow
def test_a_reader_with_shuffled_weights_is_not_good(candidate: Path) -> None:
    rewritten(candidate, "plate-reader", shuffle)
    verdict = golden(CONFIG, candidate)
    assert not verdict.good and verdict.why.startswith("not told: ")


@pytest.mark.slow
def test_a_set_of_the_shipped_networks_is_good(candidate: Path) -> None:
    verdict = golden(CONFIG, candidate)
    assert verdict.good, verdict.why


def test_a_command_about_a_broken_pair_ends_with_1(candidate: Path) -> None:
    shutil.rmtree(candidate)
    command = [sys.executable, "-m", "edge_alpr.update.golden", "--json", "--models", str(candidate)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["good"] is False


RIGHT = Seen(Summary(stages={"total": (5.0, 20.0)}, models_version="2"), Counter(expected()), [4.0, 6.0])


@pytest.mark.parametrize(
    ("seen", "limits", "why"),
    [
        (RIGHT, Limits(p99_ms=21, watts=5.5), ""),
        (RIGHT, Limits(p99_ms=19), "a frame takes 20.0 ms (p99), more than 19"),
        (RIGHT, Limits(watts=4.5), "the board draws 5.0 W, more than 4.5"),
        (Seen(RIGHT.summary, Counter([*expected(), "EXTRA1"])), Limits(), "told and not there: EXTRA1"),
        (Seen(RIGHT.summary, Counter([*expected(), *expected()])), Limits(), "told more than once"),
        (Seen(RIGHT.summary, Counter(sorted(expected())[1:])), Limits(), f"not told: {min(expected())}"),
        (Seen(Summary(models_refused="no graph"), RIGHT.told), Limits(), "the shipped models read: no graph"),
        (Seen(Summary(models_version="2", gpu_lost="gone"), RIGHT.told), Limits(), "the GPU was given up: gone"),
    ],
)
def test_each_thing_that_may_be_wrong_is_said(seen: Seen, limits: Limits, why: str) -> None:
    said = judge(seen, expected(), "2", limits)
    assert (why in said) if why else not said
