"""Sessions on ONNX Runtime: the graph must be what the card says, and errors are ours."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers_infer import blob_finder, card, column_crop, column_reader, package
from onnx import TensorProto, helper

from edge_alpr.errors import ModelError
from edge_alpr.evidence import ALPHABET
from edge_alpr.infer import onnx
from edge_alpr.infer.card import Card, DetectorCard, InputCard, OutputCard
from edge_alpr.infer.contract import probe_feeds
from edge_alpr.infer.package import ModelPackage
from edge_alpr.infer.rungs import open_session

READER = card("reader")
DETECTOR = card("detector")


def refused(given: ModelPackage) -> str:
    with pytest.raises(ModelError) as caught:
        open_session(given, threads=1)
    message = str(caught.value)
    assert "\n" not in message
    assert "; " in message
    return message


def reader_card(**changes: object) -> Card:
    assert READER.reader
    return card("reader", reader=msgspec.structs.replace(READER.reader, **changes))


def test_a_session_runs_and_says_what_it_is(tmp_path: Path) -> None:
    given = package(tmp_path, column_reader(), READER)
    session = open_session(given, threads=1)
    assert session.identity == f"onnxruntime-cpu:{given.card.sha256[:12]}"
    crops = np.stack([column_crop("AB1"), column_crop("", "Z9")])[:, None]
    logprobs = session.run({"crops": crops})["logprobs"]
    assert logprobs.shape == (2, 64, 37)
    assert ALPHABET[logprobs[0, 1].argmax()] == "A"
    assert ALPHABET[logprobs[1, 33].argmax()] == "Z"


def test_outputs_belong_to_the_caller(tmp_path: Path) -> None:
    session = open_session(package(tmp_path, column_reader(), READER), threads=1)
    first = session.run({"crops": column_crop("A")[None, None]})["logprobs"]
    kept = first.copy()
    session.run({"crops": column_crop("B")[None, None]})
    assert np.array_equal(first, kept)


def test_a_session_serves_several_threads(tmp_path: Path) -> None:
    session = open_session(package(tmp_path, column_reader(), READER), threads=1)
    texts = [ALPHABET[i] * 3 for i in range(24)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda t: session.run({"crops": column_crop(t)[None, None]})["logprobs"], texts))
    assert [ALPHABET[lp[0, 1].argmax()] * 3 for lp in got] == texts


def test_threads_are_limited_and_do_not_spin() -> None:
    assert onnx._options(3).intra_op_num_threads == 3
    assert onnx._options(0).intra_op_num_threads == min(os.cpu_count() or 1, 4)
    assert onnx._options(0).get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input": InputCard(name="image", shape=(1, 1, 384, 640), dtype="uint8", layout="luma")}, "name"),
        ({"input": InputCard(name="luma", shape=(1, 1, 320, 640), dtype="uint8", layout="luma")}, "graph has"),
        ({"input": InputCard(name="luma", shape=(1, 3, 384, 640), dtype="uint8", layout="luma")}, "shape"),
        ({"input": InputCard(name="luma", shape=(1, 1, 0, 640), dtype="uint8", layout="luma")}, "stage feeds"),
        ({"output": OutputCard(names=("quads", "scores"))}, "[output] names"),
        ({"detector": DetectorCard(pad=114, top_k=32)}, "output scores"),
    ],
)
def test_a_detector_unlike_its_card_is_refused(tmp_path: Path, changes: dict, reason: str) -> None:
    assert reason in refused(package(tmp_path, blob_finder(), card("detector", **changes)))


def test_a_graph_with_another_input_is_refused(tmp_path: Path) -> None:
    assert "[input]" in refused(package(tmp_path, blob_finder(luma="picture"), DETECTOR))
    model = blob_finder()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    assert "float" in refused(package(tmp_path, model, DETECTOR))


def test_outputs_that_the_card_does_not_name_are_left_alone(tmp_path: Path) -> None:
    model = blob_finder()
    model.graph.output.append(helper.make_tensor_value_info("index", TensorProto.INT64, [1, 64]))
    given = package(tmp_path, model, DETECTOR)
    assert open_session(given, 1).run(probe_feeds(given.card)).keys() == {"scores", "quads"}


def test_an_output_that_is_not_there_is_refused(tmp_path: Path) -> None:
    given = package(tmp_path, column_reader(), card("reader", output=OutputCard(names=("logits",))))
    assert "[output] names" in refused(given)
    given = package(tmp_path, column_reader(), card("reader", output=OutputCard(names=("logprobs", "logprobs"))))
    assert "the stage wants one" in refused(given)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alphabet": ALPHABET + "-"}, "[reader] alphabet, blank and axes"),
        ({"axes": "TNC"}, "[reader] alphabet, blank and axes"),
        ({"output": "probabilities"}, "mend [reader] output"),
        ({"decode": "slots", "blank": None}, "[reader] alphabet"),
    ],
)
def test_a_reader_unlike_its_card_is_refused(tmp_path: Path, changes: dict, reason: str) -> None:
    assert reason in refused(package(tmp_path, column_reader(), reader_card(**changes)))


def test_a_free_dimension_of_the_graph_may_be_fixed_by_the_card(tmp_path: Path) -> None:
    fixed = InputCard(name="crops", shape=(4, 1, 32, 128), dtype="uint8", layout="luma")
    assert open_session(package(tmp_path, column_reader(), card("reader", input=fixed)), 1)


def test_a_reader_with_other_classes_than_its_alphabet_is_refused(tmp_path: Path) -> None:
    assert "output logprobs" in refused(package(tmp_path, column_reader(classes=38), READER))


def test_a_reader_with_a_frozen_batch_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "did not run" in refused(package(tmp_path, column_reader(batch=1), READER))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("model", [b"", b"not a graph at all", blob_finder().SerializeToString()[:600]])
def test_a_damaged_graph_is_one_clear_line(tmp_path: Path, model: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert "cannot be opened" in refused(package(tmp_path, model, DETECTOR))
    assert capfd.readouterr().err == ""


def test_a_wrong_feed_is_a_model_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    session = open_session(package(tmp_path, column_reader(), READER), threads=1)
    for feeds in (
        {},
        {"luma": np.zeros((1, 1, 32, 128), np.uint8)},
        {"crops": np.zeros((1, 1, 32, 120), np.uint8)},
        {"crops": np.zeros((1, 1, 32, 128), np.float32)},
    ):
        with pytest.raises(ModelError, match="did not run") as caught:
            session.run(feeds)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_an_unknown_rung_names_the_known_ones(tmp_path: Path) -> None:
    given = package(tmp_path, column_reader(), READER)
    with pytest.raises(ModelError, match="onnxruntime-cpu"):
        open_session(given, rung="abacus")
