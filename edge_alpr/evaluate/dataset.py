"""Labelled pictures of any kind that is known: our own `labels.jsonl`, else Pascal VOC, YOLO or CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.errors import DatasetError
from edge_alpr.evaluate.labels import FILE, LabelledImage, encode_labels, load_labels
from edge_alpr.evaluate.table import read_csv
from edge_alpr.evaluate.voc import read_voc
from edge_alpr.evaluate.yolo import read_yolo


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of labels: the files it has in a folder, and what reads them."""

    name: str
    pattern: str
    read: Callable[[Path, Sequence[Path]], list[LabelledImage]]

    def files(self, folder: Path) -> list[Path]:
        """Its label files, in order."""
        return sorted({path for pattern in self.pattern.split() for path in folder.glob(pattern) if path.is_file()})


KINDS = (
    Kind("labels.jsonl", FILE, lambda folder, files: load_labels(files[0])),
    Kind("Pascal VOC", "*.xml annotations/**/*.xml Annotations/**/*.xml", read_voc),
    Kind("YOLO", "labels/**/*.txt", read_yolo),
    Kind("CSV", "*.csv", read_csv),
)
"""The first kind that has files in a folder is taken. The patterns are those of `Path.glob`."""


def load_dataset(folder: Path, split: str | None = None) -> list[LabelledImage]:
    """Read the labels of a folder; of one split, or all where `split` is None.

    Raises `DatasetError` for a set without pictures and for the first line that does not hold, naming it.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder; a data set is a folder with {FILE}")
    kind, files = _kind(folder)
    images = kind.read(folder, files)
    chosen = [image for image in images if split in (None, image.split)]
    if not chosen:
        splits = ", ".join(sorted({image.split or "(none)" for image in images})) or "no picture at all"
        raise DatasetError(f"{folder}: no picture of split '{split}'; its labels ({kind.name}) have: {splits}")
    return chosen


def kind_of(folder: Path) -> str:
    """What kind of labels a folder has. Raises `DatasetError` where it has none."""
    return _kind(folder)[0].name


def _kind(folder: Path) -> tuple[Kind, list[Path]]:
    for kind in KINDS:
        files = kind.files(folder)
        if files:
            return kind, files
    raise DatasetError(
        f"{folder}: no {FILE} there, nor Pascal VOC (annotations/*.xml), YOLO (labels/*.txt) or a CSV; "
        "a data set is a folder with one of them"
    )


def write_labels(images: Sequence[LabelledImage], file: Path) -> None:
    """Write the labels as `labels.jsonl`; pictures are named from the folder of `file`. Raises `DatasetError`."""
    try:
        file.write_bytes(encode_labels(images, file.parent))
    except OSError as error:
        raise DatasetError(f"{file}: cannot be written: {error.strerror or error}; name another file") from error
