"""Model packages: what a card must say, and which pairs are refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from helpers_infer import blob_finder, card, column_reader, put
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_alpr.config import ModelsConfig
from edge_alpr.errors import ModelError
from edge_alpr.infer import package as packages
from edge_alpr.infer.card import DetectorCard, VariantCard, format_card, parse_card
from edge_alpr.infer.package import in_precision, list_packages, load_package, only, write_card
from edge_alpr.infer.processor import multiplies_bytes
from edge_alpr.infer.rungs import open_session
from edge_alpr.infer.sets import configured

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
VALUES = st.one_of(TEXT, st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.lists(TEXT, max_size=3))


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_package(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def edit(path: Path, old: str, new: str) -> None:
    text = path.with_suffix(".toml").read_text(encoding="utf-8")
    assert old in text
    path.with_suffix(".toml").write_text(text.replace(old, new, 1), encoding="utf-8")


@given(TEXT, st.dictionaries(TEXT, VALUES, max_size=4), st.dictionaries(TEXT, st.floats(0, 1e9), max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_card_survives_its_text(text: str, data: dict, figures: dict) -> None:
    given_card = card("reader", description=text, data=data, figures=figures)
    written = format_card(given_card)
    read = parse_card(written, "card")
    assert msgspec.to_builtins(read) == msgspec.to_builtins(given_card)
    assert format_card(read) == written


def test_a_package_is_read_with_its_card(tmp_path: Path) -> None:
    path = put(tmp_path, column_reader(), card("reader"))
    package = load_package(path)
    assert package.card.name == "tiny-reader"
    assert package.model == path.read_bytes()
    assert load_package(path.with_suffix(".toml")).card == package.card


def test_the_card_is_written_the_same_twice(tmp_path: Path) -> None:
    path = put(tmp_path, blob_finder(), card("detector"))
    first = path.with_suffix(".toml").read_bytes()
    write_card(path, load_package(path).card)
    assert path.with_suffix(".toml").read_bytes() == first


def test_another_hash_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, blob_finder(), card("detector"))
    model = bytearray(path.read_bytes())
    model[len(model) // 2] ^= 1
    path.write_bytes(bytes(model))
    assert "sha256" in refused(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "tiny', 'colour = "red"\nname = "tiny', "colour"),
        ("top_k = 64", 'top_k = 64\nsize = "large"', "size"),
        ('kind = "detector"', 'kind = "finder"', "kind"),
        ('kind = "detector"', 'kind = "reader"', "[reader] table"),
        ('dtype = "uint8"', 'dtype = "float64"', "input.dtype"),
        ('layout = "luma"', 'layout = "bgr"', "input.layout"),
        ('layout = "luma"', 'layout = "luma"\nscale = 1.0', "[input] scale is only for dtype 'float32'"),
        ('dtype = "uint8"', 'dtype = "float32"\nmean = [0.4, 0.4, 0.4]', "[input] mean has three values"),
        ('dtype = "uint8"', 'dtype = "float32"\nstd = 0', "[input] std"),
        ('dtype = "uint8"', 'dtype = "float32"\nmean = nan', "[input] scale and mean"),
        ('dtype = "uint8"', 'dtype = "uint8"\naxes = "HWC"', "input.axes"),
        ("pad = 114", 'pad = 114\ndecode = "yolov99"', "detector.decode"),
        ("pad = 114", "pad = 114\nplates = [1]", "[detector] plates names class 1"),
        ("pad = 114", "pad = 114\nplates = []", "detector.plates"),
        ("pad = 114", 'pad = 114\ntier = "medium"', "detector.tier"),
        ("pad = 114", 'pad = 114\nalign = "right"', "detector.align"),
        ("pad = 114", "pad = 300", "detector.pad"),
        ("pad = 114", 'pad = "grey"', "detector.pad"),
        ("seed = 0\n", "", "seed"),
        ("[figures]", "[figures", "TOML"),
        ('sha256 = "', 'sha256 = "x', "sha256"),
    ],
)
def test_a_card_that_does_not_hold_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = put(tmp_path, blob_finder(), card("detector"))
    edit(path, old, new)
    assert reason in refused(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("blank = 36\n", "", "[reader] blank is missing"),
        ("blank = 36", "blank = 37", "[reader] blank is 37"),
        ('alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"', 'alphabet = "京沪-"', "[reader] blank is 36"),
        ('alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"', f'alphabet = "{"京" * 36}"', "[reader] alphabet"),
        ("    0.06,", "    0.5,", "[reader] margin"),
        ("blank = 36", "blank = 36\ntemperature = 0", "reader.temperature"),
        ("blank = 36", "blank = 36\ntemperature = nan", "reader.temperature"),
        ("blank = 36", 'blank = 36\noutput = "scores"', "reader.output"),
        ("blank = 36", 'blank = 36\naxes = "NCT"', "reader.axes"),
        ("blank = 36", 'blank = 36\ndecode = "beam"', "reader.decode"),
        ("blank = 36", 'blank = 36\nlight = "dim"', "reader.light"),
    ],
)
def test_a_readers_card_that_does_not_hold_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = put(tmp_path, column_reader(), card("reader"))
    edit(path, old, new)
    assert reason in refused(path)


def test_a_card_of_ones_own_may_leave_out_how_it_was_trained(tmp_path: Path) -> None:
    path = put(tmp_path, column_reader(), card("reader", training=None, data={}, figures={}))
    assert "[training]" not in path.with_suffix(".toml").read_text(encoding="utf-8")
    assert load_package(path).card.training is None


def test_a_card_says_only_what_is_not_the_default(tmp_path: Path) -> None:
    text = put(tmp_path, column_reader(), card("reader")).with_suffix(".toml").read_text(encoding="utf-8")
    assert not {"temperature", "scale", "axes"} & {line.partition(" ")[0] for line in text.splitlines()}


def test_the_detector_is_chosen_by_its_tier(tmp_path: Path) -> None:
    put(tmp_path, blob_finder(), card("detector"), "one")
    put(tmp_path, column_reader(), card("reader"), "three")
    with pytest.raises(ModelError, match=r"one small detector is wanted there, found one\.onnx \(large\)"):
        only("detector", tmp_path, "small")
    put(tmp_path, blob_finder(), card("detector", detector=DetectorCard(pad=114, top_k=64, tier="small")), "two")
    assert only("detector", tmp_path, "large").name == "one.onnx"
    assert only("detector", tmp_path, "small").name == "two.onnx"
    assert only("reader", tmp_path, "small").name == "three.onnx"


def test_a_configured_package_must_be_of_its_kind(tmp_path: Path) -> None:
    path = put(tmp_path, column_reader(), card("reader"))
    assert configured(ModelsConfig(reader=str(path)), "reader").card.name == "tiny-reader"
    with pytest.raises(ModelError, match=r"\[models\] detector of the configuration names a reader"):
        configured(ModelsConfig(detector=str(path)), "detector")


def test_an_int8_variant_takes_its_packages_place_where_bytes_are_multiplied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_package(put(tmp_path, column_reader(), card("reader"), "base"))
    with pytest.raises(ModelError, match="no INT8 variant lies beside it"):
        in_precision(base, "int8")
    variant = put(tmp_path, column_reader(), card("reader", variant=VariantCard("int8", base.card.sha256)), "other")
    put(tmp_path, blob_finder(), card("detector", variant=VariantCard("int8", "0" * 64)), "stale")
    (tmp_path / "broken.onnx").write_bytes(b"no card beside it")

    assert in_precision(base, "int8").path == variant
    assert in_precision(base, "full") is base
    for able, wanted in ((True, variant), (False, base.path)):
        monkeypatch.setattr(packages, "multiplies_bytes", lambda able=able: able)
        assert in_precision(base, "auto").path == wanted
    (tmp_path / "broken.onnx").unlink()
    assert only("reader", tmp_path) == base.path
    variant.write_bytes(b"cut short")
    with pytest.raises(ModelError, match="its sha256 is"):
        in_precision(base, "int8")


@pytest.mark.parametrize(
    ("flags", "able"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        ("flags\t\t: fpu avx2 avx_vnni\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd asimddp\n", True),
        ("Features\t: fp asimd asimddp\nFeatures\t: fp asimd\n", False),
        ("", False),
    ],
)
def test_the_processor_says_whether_it_multiplies_bytes(tmp_path: Path, flags: str, able: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}")
    assert multiplies_bytes(tmp_path / "cpuinfo") is able
    assert not multiplies_bytes(tmp_path / "nowhere")


def test_a_model_without_card_or_card_without_model_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, blob_finder(), card("detector"))
    path.with_suffix(".toml").unlink()
    assert "tiny.toml" in refused(path)
    assert "no such model" in refused(tmp_path / "other.onnx")


def test_what_is_no_text_and_what_is_a_folder_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, blob_finder(), card("detector"))
    path.with_suffix(".toml").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refused(path)
    (tmp_path / "folder.onnx").mkdir()
    assert "cannot be read" in refused(tmp_path / "folder.onnx")


def test_a_listing_shows_broken_packages_too(tmp_path: Path) -> None:
    put(tmp_path, blob_finder(), card("detector"), "b")
    put(tmp_path, column_reader(), card("reader"), "a")
    (tmp_path / "b.onnx").write_bytes(b"other")
    first, second = list_packages(tmp_path)
    assert first.package is not None
    assert first.package.card.kind == "reader"
    assert second.package is None
    assert "sha256" in second.problem
    with pytest.raises(ModelError, match="no such folder"):
        list_packages(tmp_path / "nowhere")


def test_one_package_of_a_kind_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found none"):
        only("reader", tmp_path)
    put(tmp_path, column_reader(), card("reader"), "a")
    put(tmp_path, blob_finder(), card("detector"), "b")
    assert only("reader", tmp_path).name == "a.onnx"
    put(tmp_path, column_reader(), card("reader"), "c")
    with pytest.raises(ModelError, match=r"a\.onnx, c\.onnx"):
        only("reader", tmp_path)


@pytest.mark.parametrize("name", ["plate-detector", "plate-detector-small", "plate-reader"])
def test_the_shipped_int8_is_of_the_shipped_package(name: str) -> None:
    base = load_package(packages.shipped_folder() / f"{name}.onnx")
    variant = in_precision(base, "int8")
    assert variant.path.name == f"{name}-int8.onnx"
    assert variant.card.figures["dev_points_lost"] <= 1.0
    assert variant.card.reader == base.card.reader
    assert variant.card.detector == base.card.detector


@pytest.mark.parametrize("name", ["plate-detector", "plate-detector-small", "plate-detector-near", "plate-reader"])
def test_the_shipped_models_hold_what_their_cards_say(name: str) -> None:
    session = open_session(load_package(packages.shipped_folder() / f"{name}.onnx"), threads=1)
    assert session.identity.startswith("onnxruntime-cpu:")
    assert all(listed.problem == "" for listed in list_packages(packages.shipped_folder()))
