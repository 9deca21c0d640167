"""Labels of other makers: what is read of them, what is written back, and how a bad line is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.errors import DatasetError
from edge_alpr.evaluate import LabelledImage, LabelledPlate, kind_of, load_dataset, write_labels

WIDTH, HEIGHT = 320, 200


def put(folder: Path, name: str, text: str | bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)


def put_picture(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / name), np.full((HEIGHT, WIDTH), 90, np.uint8))


def voc(*objects: str, filename: str = "a.png", head: str = "") -> str:
    body = "\n".join(f"<object>{inner}</object>" for inner in objects)
    return f"{head}<annotation>\n<filename>{filename}</filename>\n{body}\n</annotation>\n"


def box_xml(*box: float) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    return "<bndbox>" + "".join(f"<{side}>{value}</{side}>" for side, value in sides) + "</bndbox>"


PLATE = f"<name>license_plate</name>{box_xml(10, 20, 110, 50)}"


def only_plate(image: LabelledImage) -> LabelledPlate:
    (one,) = image.plates
    return one


# --- Pascal VOC


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        (PLATE, ""),
        (PLATE + "<text>ab-12 cd</text>", "AB12CD"),
        (PLATE + "<attributes><attribute><name>plate</name><value>EF 34</value></attribute></attributes>", "EF34"),
        (f"<name>MH 12 DE 1433</name>{box_xml(10, 20, 110, 50)}", "MH12DE1433"),
    ],
)
def test_voc_texts(tmp_path, inner, text):
    put_picture(tmp_path, "images/a.png")
    put(tmp_path, "annotations/a.xml", voc(inner))
    (image,) = load_dataset(tmp_path)
    assert (image.path, image.name, image.complete) == (tmp_path / "images/a.png", "images/a.png", True)
    assert only_plate(image) == LabelledPlate((10, 20, 110, 50), text, "ok" if text else "textless")
    assert kind_of(tmp_path) == "Pascal VOC"


def test_voc_beside_the_pictures_with_other_classes_and_difficult_ones(tmp_path):
    put_picture(tmp_path, "a.jpg")
    car, hard = f"<name>car</name>{box_xml(0, 0, 300, 190)}", PLATE + "<difficult>1</difficult>"
    put(tmp_path, "a.xml", voc(PLATE, car, hard, filename="C:\\somewhere\\a.jpg"))
    put(tmp_path, "b.xml", voc(filename="b.jpg"))
    first, second = load_dataset(tmp_path)
    assert [p.wanted for p in first.plates] == [True, False], "the car is no plate, the difficult one is excused"
    assert (second.plates, second.path.exists()) == ((), False), "a missing picture is told when it is to be opened"


BAD_XML: dict[str, tuple[str, str, str]] = {
    "cut off": (voc(PLATE)[:60], "a.xml:", "no whole XML"),
    "no XML": ("AB12, 3 4 5 6\n", "a.xml:1", "no whole XML"),
    "another root": ("<svg/>", "a.xml:1", "<svg>"),
    "no box": (voc("<name>plate</name>"), "a.xml:3", "bndbox"),
    "a box of words": (voc(f"<name>plate</name>{box_xml(1, 2, 3, 4)}".replace(">3<", ">wide<")), "a.xml:3", "bndbox"),
    "a box without end": (voc(PLATE.replace(">110<", ">inf<")), "a.xml:3", "bndbox"),
    "an empty box": (voc(PLATE, PLATE.replace(">110<", ">10<")), "a.xml:4", "empty"),
    "a text of signs": (voc(PLATE + "<text>AB?1</text>"), "a.xml:3", "A-Z0-9"),
    "entities": (voc(PLATE, head='<!DOCTYPE a [<!ENTITY b "&c;&c;">]>\n'), "a.xml:1", "DTD"),
    "an outer entity": (voc(PLATE, head='<!DOCTYPE a SYSTEM "file:///etc/hosts">\n'), "a.xml:1", "DTD"),
    "no plates": (voc(*(f"<name>{n}</name>{box_xml(1, 2, 3, 4)}" for n in ("car", "dog"))), "", "car, dog"),
}


@pytest.mark.parametrize(("text", "where", "word"), BAD_XML.values(), ids=BAD_XML)
def test_a_bad_annotation_is_named(tmp_path, text, where, word):
    put(tmp_path, "annotations/a.xml", text)
    with pytest.raises(DatasetError) as error:
        load_dataset(tmp_path)
    assert where in str(error.value)
    assert word in str(error.value)


# --- YOLO


def yolo(folder: Path, *lines: str, names: str = "") -> Path:
    put_picture(folder, "images/val/a.1.png")
    put(folder, "labels/val/a.1.txt", "\n".join(lines) + "\n")
    if names:
        put(folder, names.partition("|")[0], names.partition("|")[2])
    return folder


def test_yolo_boxes_corners_texts_and_splits(tmp_path):
    lines = (
        "0 0.5 0.5 0.25 0.1",
        "0 0.25 0.25 0.25 0.1 ab 123",
        "0 0.25 0.25 0.25 0.1 0.93",
        "0 0.1 0.2 0.5 0.25 0.5 0.45 0.1 0.4 XY99",
        "",
    )
    (image,) = load_dataset(yolo(tmp_path, *lines), "val")
    assert [(p.text, p.legibility) for p in image.plates] == [
        ("", "textless"), ("AB123", "ok"), ("", "textless"), ("XY99", "ok"),
    ]  # fmt: skip
    assert image.plates[0].box == (120, 90, 200, 110)
    assert image.plates[3].box == (32, 40, 160, 90), "the box around the corners"
    assert image.complete and image.split == "val"


NAMES = [
    "classes.txt|car\nplate\n",
    "data.yaml|train: x\nnc: 2\nnames: ['car', \"plate\"]\n",
    "data.yaml|names:\n  - car\n  - plate\nnc: 2\n",
    "data.yaml|names:\n  0: car\n  1: 'number plate'\n",
    "data.yaml|names: {0: car, 1: plate}\n",
]


@pytest.mark.parametrize("names", NAMES)
def test_yolo_classes_are_told_apart_by_name(tmp_path, names):
    (image,) = load_dataset(yolo(tmp_path, "0 .5 .5 .9 .9", "1 .5 .5 .25 .1", names=names))
    assert [p.box for p in image.plates] == [(120, 90, 200, 110)]


BAD_YOLO: dict[str, tuple[tuple[str, ...], str, str]] = {
    "class past the names": (("1 .5 .5 .1 .1", "2 .5 .5 .1 .1"), NAMES[0], "a.1.txt:2: class '2'"),
    "class without names": (("0 .5 .5 .1 .1", "3 .5 .5 .1 .1"), "", "a.1.txt:2: class '3'"),
    "class of words": (("plate .5 .5 .1 .1",), "", "a.1.txt:1: class 'plate'"),
    "negative class": (("-1 .5 .5 .1 .1",), "", "a.1.txt:1: class '-1'"),
    "three numbers": (("0 .5 .5 .1",), "", "a.1.txt:1: wants"),
    "pixels": (("0 120 80 40 20",), "", "a.1.txt:1: wants"),
    "no number": (("0 .5 nan .1 .1",), "", "a.1.txt:1: wants"),
    "empty box": (("0 .5 .5 0 .1",), "", "a.1.txt:1: box"),
    "signs": (("0 .5 .5 .1 .1 AB?",), "", "A-Z0-9"),
    "no names in the yaml": (("0 .5 .5 .1 .1",), "data.yaml|nc: 1\n", "no 'names:'"),
}


@pytest.mark.parametrize(("lines", "names", "words"), BAD_YOLO.values(), ids=BAD_YOLO)
def test_a_bad_yolo_line_is_named(tmp_path, lines, names, words):
    with pytest.raises(DatasetError) as error:
        load_dataset(yolo(tmp_path, *lines, names=names))
    assert words in str(error.value)


def test_yolo_labels_without_their_picture_are_named(tmp_path):
    put(yolo(tmp_path, "0 .5 .5 .1 .1"), "labels/val/b.txt", "0 .5 .5 .1 .1\n")
    with pytest.raises(DatasetError, match=r"b\.txt: no picture"):
        load_dataset(tmp_path)
    put(tmp_path, "images/val/b.png", b"no picture")
    with pytest.raises(DatasetError, match=r"b\.txt: .*b\.png"):
        load_dataset(tmp_path)


# --- CSV


@pytest.mark.parametrize(
    "head",
    ["image,xmin,ymin,xmax,ymax,text", "\ufeffFileName,X1,Y1,X2,Y2,Plate", "path;left;top;right;bottom;number"],
)
def test_csv_with_columns_of_any_usual_name(tmp_path, head):
    sign = ";" if ";" in head else ","
    rows = (("a.png", 1, 2, 30, 12.5, "ab 12"), ("b.png", 1, 2, 3, 4, ""), ("a.png", 40, 2, 60, 9, '"EF-34"'))
    put(tmp_path, "plates.csv", "\n".join([head, *(sign.join(map(str, row)) for row in rows), ""]))
    first, second = load_dataset(tmp_path)
    assert first.plates == (LabelledPlate((1, 2, 30, 12.5), "AB12", "ok"), LabelledPlate((40, 2, 60, 9), "EF34", "ok"))
    assert only_plate(second).legibility == "textless"
    assert not first.complete


def test_csv_may_say_more(tmp_path):
    put(
        tmp_path, "x.csv",
        "image,xmin,ymin,xmax,ymax,text,lines,legibility,split,complete,ride,second\n"
        "a.png,1,2,30,12,AB12,2,hard,dev,yes,r1,7.5\n"
        "b.png,,,,,,,,dev,true,r1,8\n",
    )  # fmt: skip
    first, second = load_dataset(tmp_path, "dev")
    assert (first.ride, first.second, first.complete) == ("r1", 7.5, True)
    assert only_plate(first) == LabelledPlate((1, 2, 30, 12), "AB12", "hard", 2)
    assert second.plates == ()


def test_csv_of_crops(tmp_path):
    put_picture(tmp_path, "images/c.png")
    put(tmp_path, "x.csv", "image,text\nc.png,AB12\n")
    (image,) = load_dataset(tmp_path)
    assert image.crop and only_plate(image).box == (0, 0, WIDTH, HEIGHT)


BAD_CSV: dict[str, tuple[str, str]] = {
    "no header": ("a.png,1,2,30,12,AB12\n", "x.csv:1: names no column image"),
    "nothing": ("", "x.csv:1: names no column image"),
    "half a box": ("image,xmin,ymin,text\na.png,1,2,AB12\n", "x.csv:1: names no column xmax, ymax"),
    "a short row": ("image,xmin,ymin,xmax,ymax,text\na.png,1,2,30,12,AB12\na.png,1,2\n", "x.csv:3: has 3 cells"),
    "no number": ("image,xmin,ymin,xmax,ymax\na.png,1,two,30,12\n", "x.csv:2: ymin is 'two'"),
    "no end": ("image,xmin,ymin,xmax,ymax\na.png,1,2,inf,12\n", "x.csv:2: xmax is 'inf'"),
    "a side missing": ("image,xmin,ymin,xmax,ymax\na.png,1,2,,12\n", "x.csv:2: xmax is ''"),
    "an empty box": ("image,xmin,ymin,xmax,ymax\n\na.png,9,2,3,12\n", "x.csv:3: box"),
    "signs": ("image,xmin,ymin,xmax,ymax,text\na.png,1,2,30,12,AB?\n", "x.csv:2: text 'AB?'"),
    "no image": ("image,xmin,ymin,xmax,ymax,text\n,1,2,30,12,AB\n", "x.csv:2: names no image"),
    "no lines": ("image,xmin,ymin,xmax,ymax,text,lines\na.png,1,2,30,12,AB,0\n", "x.csv:2:"),
    "an open quote": ('image,xmin,ymin,xmax,ymax,text\na.png,1,2,30,12,"AB\n', "x.csv:2: not a row"),
    "a missing crop": ("image,text\nnone.png,AB12\n", "x.csv:2:"),
}


@pytest.mark.parametrize(("text", "words"), BAD_CSV.values(), ids=BAD_CSV)
def test_a_bad_row_is_named(tmp_path, text, words):
    put(tmp_path, "x.csv", text)
    with pytest.raises(DatasetError) as error:
        load_dataset(tmp_path)
    assert words in str(error.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    put(tmp_path, "x.csv", b"\xff\xfe\x00image")
    with pytest.raises(DatasetError, match=r"x\.csv: cannot be read as UTF-8"):
        load_dataset(tmp_path)


# --- all kinds


def _voc_set(folder: Path) -> None:
    put_picture(folder, "images/a.png")
    put(folder, "annotations/a.xml", voc(PLATE + "<text>AB12</text>", PLATE + "<difficult>1</difficult>"))


def _yolo_set(folder: Path) -> None:
    yolo(folder, "0 .5 .5 .25 .1 AB12", "0 .3 .3 .2 .2")


def _csv_set(folder: Path) -> None:
    put_picture(folder, "a.png")
    put(folder, "x.csv", "image,xmin,ymin,xmax,ymax,text,ride,second\na.png,1.5,2,30,12,AB12,r,0.2\n")


def _crops(folder: Path) -> None:
    put_picture(folder, "a.png")
    put(folder, "x.csv", "image,text\na.png,AB12\n")


@pytest.mark.parametrize("make", [_voc_set, _yolo_set, _csv_set, _crops])
def test_labels_written_and_read_back_are_the_same(tmp_path, make: Callable[[Path], None]):
    make(tmp_path)
    images = load_dataset(tmp_path)
    assert kind_of(tmp_path) != "labels.jsonl"
    write_labels(images, tmp_path / "labels.jsonl")
    assert kind_of(tmp_path) == "labels.jsonl", "our own come first"
    assert load_dataset(tmp_path) == images
    (tmp_path / "elsewhere").mkdir()
    write_labels(images, tmp_path / "elsewhere" / "labels.jsonl")
    moved = load_dataset(tmp_path / "elsewhere")
    assert [i.path.resolve() for i in moved] == [i.path.resolve() for i in images]
    assert [i.plates for i in moved] == [i.plates for i in images]
    with pytest.raises(DatasetError, match="cannot be written"):
        write_labels(images, tmp_path / "none" / "labels.jsonl")


TEXT = st.text("ABC019", min_size=1, max_size=8)
BOXES = st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(1, 300), st.integers(1, 300)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
KNOWN = st.builds(LabelledPlate, BOXES, TEXT, st.sampled_from(["ok", "hard"]), st.integers(1, 3), st.booleans())
UNKNOWN = st.builds(LabelledPlate, BOXES, st.just(""), st.sampled_from(["textless", "unreadable"]), st.integers(1, 3))
PLATES = st.lists(st.one_of(KNOWN, UNKNOWN), max_size=4)


@given(plates=PLATES, complete=st.booleans(), ride=st.sampled_from(["", "r1"]), second=st.floats(0, 1e5))
def test_any_labels_survive_being_written(tmp_path_factory, plates, complete, ride, second):
    folder = tmp_path_factory.mktemp("set")
    image = LabelledImage(
        folder / "x" / "a.png", "x/a.png", "dev", tuple(plates), complete, ride=ride, second=second if ride else 0.0
    )
    write_labels([image], folder / "labels.jsonl")
    assert load_dataset(folder) == [image]


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: put(folder, "readme.txt", "0 1 2 3 4")])
def test_a_folder_without_labels_says_what_it_looked_for(tmp_path, make):
    make(tmp_path)
    with pytest.raises(DatasetError, match=r"labels\.jsonl.*VOC.*YOLO.*CSV"):
        load_dataset(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        load_dataset(tmp_path / "none")
