"""Plan files: only an untouched plan of exactly this device, proven, is used; each refusal says why and what to do."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="the graphs are made with onnx: pip install -e .[export]")

import msgspec
from helpers_engines import PASSED, identity, sidecar
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.errors import ModelError, PlanError
from edge_alpr.infer import atomic
from edge_alpr.infer.identity import differences
from edge_alpr.infer.plan import find_built, find_plan, forget_older, record_golden, sidecar_path, write_plan

DATA = bytes(range(256)) * 3


def written(folder: Path, data: bytes = DATA, **changes: Any) -> Path:
    return write_plan(folder, data, sidecar(identity(**changes))).path


def refusal(folder: Path, **changes: Any) -> str:
    with pytest.raises(PlanError) as raised:
        find_plan(folder, identity(**changes))
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith("edge-alpr build")
    return message


def test_a_proven_plan_is_found(tmp_path):
    path = written(tmp_path)
    plan = find_plan(tmp_path, identity())
    assert (plan.path, plan.data, plan.sidecar.golden) == (path, DATA, PASSED)
    assert path.name.startswith("plate-reader-gpu-640x360p768-fp16-sm87-trt10.3.0-")
    assert path.name.endswith(f"{identity().key[:16]}.plan")
    assert {p.name for p in tmp_path.iterdir()} == {path.name, path.with_suffix(".json").name}
    assert issubclass(PlanError, ModelError)


CHANGES = {
    "tensorrt": ("10.13.2", "built by TensorRT 10.3.0, this device has 10.13.2; rebuild it here: edge-alpr build"),
    "gpu": ("Thor", "built on a Orin (nvgpu), this device has a Thor"),
    "sm": ("11.0", "built for compute capability 8.7, this GPU has 11.0"),
    "l4t": ("39.2.0", "built under L4T 36.4.0, this device runs 39.2.0"),
    "cuda": ("13.2", "built with CUDA 12.6, this device has 13.2"),
    "driver": ("", "built with driver 540.4.0, this device has none"),
    "onnx": ("cd" * 32, "its ONNX file has sha256 abababababab…, the one here has cdcdcdcdcdcd…"),
    "precision": ("int8", "its precision is fp16, int8 is wanted"),
    "inputs": (("luma uint8 1x1x360x640",), "its inputs are luma uint8 1x1x360x768 + quads float32 Nx4x2, the frames"),
    "profiles": ((1, 8), "its profiles are 1 + 2 + 4 + 8, 1 + 8 are wanted"),
    "typing": ("flags", "its types come from strong, here they come from flags"),
    "optimization_level": (5, "built at optimization level 3, the recipe wants 5"),
    "workspace_mb": (64, "built with 512 MB of workspace, the recipe wants 64"),
    "dla_core": (0, "built for DLA core none, the recipe wants 0"),
    "dla_fallback": (False, "its fallback from the DLA is True, the recipe wants False"),
    "compatibility": ("ampere+", "its compatibility mode is none, ampere+ is wanted"),
    "plugins": (("ef" * 32,), "its plugins are none, here are efefef"),
}


def test_every_field_of_the_identity_counts():
    assert {*CHANGES, "model"} == set(identity().__struct_fields__)
    keys = {identity(**{name: value}).key for name, (value, _) in CHANGES.items()}
    assert len({*keys, identity().key, identity(model="other").key}) == len(CHANGES) + 2


@pytest.mark.parametrize("name", CHANGES)
def test_a_foreign_plan_is_refused_by_what_differs(name, tmp_path):
    value, said = CHANGES[name]
    path = written(tmp_path)
    assert f"{path}: {said}" in refusal(tmp_path, **{name: value})
    renamed = tmp_path / identity(**{name: value}).file_name  # as if it were the wanted one
    path.rename(renamed)
    sidecar_path(path).rename(sidecar_path(renamed))
    assert f"{renamed}: {said}" in refusal(tmp_path, **{name: value})


def test_the_most_telling_difference_of_the_nearest_plan_is_named(tmp_path):
    written(tmp_path, tensorrt="8.6.2", driver="1", cuda="11.4")
    near = written(tmp_path, driver="540.3.0")
    written(tmp_path, model="plate-detector-gpu-640x360p768-fp16")
    assert f"{near}: built with driver 540.3.0" in refusal(tmp_path)
    assert differences(identity(), identity(tensorrt="11.0", sm="9.0"))[0].startswith("built for compute")


def test_no_plan_at_all(tmp_path):
    assert "no plan of plate-reader-gpu-640x360p768-fp16" in refusal(tmp_path)
    assert "no plan of" in refusal(tmp_path / "nowhere")
    written(tmp_path, model="another")
    assert "no plan of" in refusal(tmp_path)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    """A folder for property tests."""
    folder = tmp_path_factory.mktemp("plans")
    text = sidecar_path(written(folder)).read_bytes()
    (folder / "good").write_bytes(text)
    return folder


def fresh(bench: Path) -> Path:
    """The plan, it and its sidecar as they were written."""
    path = bench / identity().file_name
    path.write_bytes(DATA)
    sidecar_path(path).write_bytes((bench / "good").read_bytes())
    return path


@given(cut=st.integers(0, len(DATA) - 1))
def test_a_plan_cut_anywhere_is_refused(bench, cut):
    fresh(bench).write_bytes(DATA[:cut])
    assert f"it has {cut} bytes, {len(DATA)} were built" in refusal(bench)


@given(place=st.integers(0, len(DATA) - 1), bits=st.integers(1, 255))
def test_a_plan_with_any_byte_changed_is_refused(bench, place, bits):
    data = bytearray(DATA)
    data[place] ^= bits
    fresh(bench).write_bytes(data)
    assert "it is not what was built" in refusal(bench)


@given(extra=st.binary(min_size=1, max_size=9))
def test_a_plan_with_something_behind_is_refused(bench, extra):
    fresh(bench).write_bytes(DATA + extra)
    assert "were built" in refusal(bench)


@given(st.data())
def test_a_sidecar_with_any_byte_changed_is_refused(bench, data):
    path = sidecar_path(fresh(bench))
    text = bytearray(path.read_bytes())
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(text)
    assert "sidecar" in refusal(bench)


@given(st.data())
def test_a_sidecar_cut_anywhere_is_refused(bench, data):
    path = sidecar_path(fresh(bench))
    text = path.read_bytes()
    path.write_bytes(text[: data.draw(st.integers(0, len(text) - 1))])
    assert "sidecar" in refusal(bench)


_NUMBERS = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.none() | _NUMBERS | st.text(max_size=8) | st.lists(st.integers(), max_size=2)


@given(st.data())
def test_a_sidecar_with_any_field_edited_is_refused(bench, data):
    path = sidecar_path(fresh(bench))
    document = json.loads(path.read_bytes())
    tables = [document, document["identity"], document["golden"]]
    table = data.draw(st.sampled_from(tables))
    name = data.draw(st.sampled_from(sorted(table)))
    value = data.draw(_VALUES | st.just("left out"))
    before = table[name]
    if value == "left out":
        del table[name]
    else:
        table[name] = value
    if value == before and type(value) is type(before):
        return
    path.write_bytes(msgspec.json.format(json.dumps(document).encode(), indent=2) + b"\n")
    assert "sidecar" in refusal(bench)


@given(text=st.binary(max_size=64) | st.sampled_from([b"[]", b"null", b"{}", b'{"identity": 3}', b"\xff", b"[" * 9999]))
def test_a_sidecar_of_garbage_is_refused(bench, text):
    sidecar_path(fresh(bench)).write_bytes(text)
    assert "the sidecar does not hold" in refusal(bench)


def test_a_lie_that_is_sealed_anew_is_refused_by_what_it_lies_about(tmp_path):
    path = written(tmp_path)
    lie = write_plan(tmp_path / "elsewhere", DATA + b"!", sidecar(identity()))
    sidecar_path(lie.path).replace(sidecar_path(path))
    assert f"it has {len(DATA)} bytes, {len(DATA) + 1} were built" in refusal(tmp_path)


def test_half_of_the_pair_is_refused(tmp_path):
    path = written(tmp_path)
    text = sidecar_path(path).read_bytes()
    sidecar_path(path).unlink()
    assert f"it has no sidecar {path.stem}.json" in refusal(tmp_path)
    sidecar_path(path).write_bytes(text)
    path.unlink()
    assert f"{path}: cannot be read: No such file" in refusal(tmp_path)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    path = written(tmp_path)
    path.unlink()
    path.mkdir()
    assert "cannot be read: Is a directory" in refusal(tmp_path)


def test_an_unproven_plan_is_not_used(tmp_path):
    plan = write_plan(tmp_path, DATA, sidecar(identity(), golden=None))
    assert "its golden check was not run" in refusal(tmp_path)
    assert find_built(tmp_path, identity()).data == DATA
    failed = msgspec.structs.replace(PASSED, problem="a plate of 90% is not seen")
    record_golden(plan, failed)
    assert "its golden check failed: a plate of 90% is not seen; rebuild it here" in refusal(tmp_path)
    record_golden(plan, PASSED)
    assert find_plan(tmp_path, identity()).sidecar.golden == PASSED


@pytest.mark.parametrize("step", range(8))
def test_whatever_step_the_power_goes_at_no_wrong_plan_is_used(step, tmp_path, monkeypatch):
    """Each fsync and rename in turn is the last that happens; then the old plan, the new one or none is used."""
    write_plan(tmp_path, DATA, sidecar(identity(), built="2026-01-01T00:00:00+00:00"))
    left = iter(range(step))

    def last(real):
        def call(*arguments):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return real(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", last(os.fsync))
    monkeypatch.setattr(Path, "replace", last(Path.replace))
    new = DATA[::-1]
    try:
        write_plan(tmp_path, new, sidecar(identity()))
    except KeyboardInterrupt:
        assert step < 6
    else:
        assert step >= 6
    monkeypatch.undo()
    try:
        found = find_plan(tmp_path, identity())
    except PlanError as error:
        assert "rebuild it here" in str(error)
    else:
        assert (found.data, found.sidecar.built[:4]) in ((DATA, "2026"), (new, "2026"))


def test_a_full_disk_is_told_and_leaves_the_old_plan(tmp_path, monkeypatch):
    written(tmp_path)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(PlanError, match="cannot be written: No space left on device; free some space"):
        write_plan(tmp_path, b"new", sidecar(identity()))
    with pytest.raises(PlanError, match="No space left"):
        record_golden(find_plan(tmp_path, identity()), PASSED)
    monkeypatch.undo()
    assert find_plan(tmp_path, identity()).data == DATA
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_plan_before_stays_and_older_ones_go(tmp_path):
    for year in (2023, 2024, 2025):
        write_plan(tmp_path, DATA, sidecar(identity(driver=str(year)), built=f"{year}-01-01T00:00:00+00:00"))
    other = written(tmp_path, model="plate-detector-gpu-640x360p768-fp16")
    now = written(tmp_path)
    gone = forget_older(tmp_path, identity())
    assert len(gone) == 2
    kept = {path.name for path in tmp_path.glob("*.plan")}
    assert kept == {other.name, now.name, identity(driver="2025").file_name}
    assert len(list(tmp_path.glob("*.json"))) == 3


def test_no_temporary_file_is_left_where_the_rename_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / identity().file_name).mkdir()
    with pytest.raises(PlanError, match="cannot be written"):
        written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [identity().file_name]
