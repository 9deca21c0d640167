"""Pascal VOC: one XML file a picture. A document type is refused, and entities with it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from edge_alpr.errors import DatasetError
from edge_alpr.evaluate.foreign import found_only, picture_beside, plain_text, plate_classes
from edge_alpr.evaluate.labels import BoxPx, LabelledImage, LabelledPlate, PlateLine

_LINE = " line"
"""Attribute that keeps the line of an element: no attribute of a file can have a space in its name."""
_TEXT_TAGS = ("text", "plate", "plate_text", "plate_number", "number", "license_plate", "ocr", "transcription")
_TEXT_AS_NAME = re.compile(r"(?=.*\d)(?=.*[A-Z])[A-Z0-9 -]{5,15}")
"""Sets of plates alone often have a plate's text where the class belongs."""


@dataclass(frozen=True, slots=True)
class _Object:
    name: str
    text: str
    box: BoxPx
    difficult: bool
    where: str


def read_voc(folder: Path, files: Sequence[Path]) -> list[LabelledImage]:
    """Read annotations. All plates of a picture count as marked; a `difficult` one counts neither way.

    A plate's text is an element of the object (`text`, `plate`, `number`…), an attribute of such a name, or, where it
    looks like one, the object's name. Raises `DatasetError`, naming file and line.
    """
    trees = [(path, parse(path)) for path in files]
    marked = {path: list(_objects(tree, path)) for path, tree in trees}
    names = {one.name for objects in marked.values() for one in objects if one.name}
    plates = plate_classes(names, str(folder)) if names else frozenset()
    return [
        _image(folder, path, tree, [o for o in marked[path] if not o.name or o.name in plates]) for path, tree in trees
    ]


def _image(folder: Path, path: Path, tree: Element, objects: Sequence[_Object]) -> LabelledImage:
    name = (tree.findtext("filename") or "").strip().replace("\\", "/").rpartition("/")[2] or path.stem + ".jpg"
    places = [path.parent, folder, *(folder / sub for sub in ("images", "JPEGImages"))]
    picture = picture_beside(places, name) or picture_beside(places, path.stem + ".jpg") or folder / name
    shown = picture.relative_to(folder).as_posix() if picture.is_relative_to(folder) else str(picture)
    return LabelledImage(picture, shown, "", tuple(_plate(one) for one in objects), complete=True)


def _plate(one: _Object) -> LabelledPlate:
    return found_only(PlateLine(text=plain_text(one.text), box=one.box, ignore=one.difficult), one.where)


def _objects(tree: Element, path: Path) -> Iterator[_Object]:
    if tree.tag != "annotation":
        raise DatasetError(f"{path}:{tree.get(_LINE)}: <{tree.tag}> is not a VOC <annotation>; move the file elsewhere")
    for node in tree.iter("object"):
        where = f"{path}:{node.get(_LINE)}"
        name, text = (node.findtext("name") or "").strip(), _text(node)
        if not text and _TEXT_AS_NAME.fullmatch(name):
            name, text = "", name
        difficult = (node.findtext("difficult") or "0").strip() == "1"
        yield _Object(name, text, _box(node, where), difficult, where)


def _text(node: Element) -> str:
    for tag in _TEXT_TAGS:
        found = (node.findtext(tag) or "").strip()
        if found:
            return found
    for attribute in node.iter("attribute"):
        if (attribute.findtext("name") or "").strip().lower() in _TEXT_TAGS:
            return (attribute.findtext("value") or "").strip()
    return ""


def _box(node: Element, where: str) -> BoxPx:
    try:
        x0, y0, x1, y1 = (float(node.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        x0, y0, x1, y1 = (math.nan,) * 4
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise DatasetError(f"{where}: an <object> without the four numbers of its <bndbox>; mend it")
    return x0, y0, x1, y1


def parse(path: Path) -> Element:
    """Parse a file into elements that know their line. Raises `DatasetError` for what is no XML, or unsafe."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, {**attributes, _LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> None:
        raise DatasetError(f"{path}:{parser.CurrentLineNumber}: has a document type (DTD); take that line out")

    parser.StartElementHandler, parser.EndElementHandler = start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise DatasetError(f"{path}:{error.lineno}: no whole XML: {reason}; mend or remove the file") from error
    return builder.close()
