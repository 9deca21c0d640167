"""The real pictures, decoded once and kept in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.detector.corners import Find, corners

MAX_WIDTH = 1280
LOOSE = ("campus",)


@dataclass(frozen=True, eq=False)
class Label:
    """A real plate: `box` (4,) float32 in pixels; `doubtful` ones are neither right nor wrong.

    `quad` (4, 2) are the labelled corners, or where they were seen from near (see `corners`); None where not known.
    """

    box: NDArray[np.float32]
    text: str
    doubtful: bool
    legibility: str
    quad: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """`rgb` (H, W, 3) uint8. `sure`: all its plates are labelled; `stretched`: its aspect is lost."""

    name: str
    rgb: NDArray[np.uint8]
    labels: tuple[Label, ...]
    vehicles: NDArray[np.float32]
    sure: bool
    stretched: bool
    source: str
    loose: bool = False
    """Whether the boxes of its labels are larger than the plates."""


def _fit(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    scale = min(1.0, MAX_WIDTH / image.shape[1])
    if scale < 1.0:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(image[:, :, ::-1]), scale


def _labels(row: dict[str, Any], scale: float) -> tuple[Label, ...]:
    return tuple(
        Label(
            np.asarray(p["box"], np.float32) * scale - 0.5,
            p.get("text", ""),
            bool(p.get("ignore", False)),
            p["legibility"],
            (np.asarray(p["quad"], np.float32) + 0.5) * scale - 0.5 if "quad" in p else None,
        )
        for p in row["plates"]
    )


def load_set(data: Path, source: str, split: str) -> list[Picture]:
    """Pictures of a labelled set in one split: `source` is its folder in `data`."""
    pictures = []
    for line in (data / source / "labels.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["split"] != split:
            continue
        image = cv2.imread(str(data / source / row["image"]), cv2.IMREAD_COLOR)
        if image is None:
            raise FileNotFoundError(f"{source}/{row['image']} is listed but cannot be read")
        rgb, scale = _fit(np.asarray(image, np.uint8))
        vehicles = np.asarray(row.get("vehicles", []), np.float32).reshape(-1, 4) * scale
        stretched = bool(row.get("stretched", False))
        sure = bool(row["complete"])
        pictures.append(
            Picture(row["image"], rgb, _labels(row, scale), vehicles, sure, stretched, source, source in LOOSE)
        )
    return pictures


def with_corners(pictures: list[Picture], find: Find) -> list[Picture]:
    """The same pictures, with the corners of their plates where they can be told."""
    return [replace(picture, labels=tuple(_look_at(picture, find))) for picture in pictures]


def _look_at(picture: Picture, find: Find) -> Iterator[Label]:
    luma = np.asarray(cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    for label in picture.labels:
        known = label.doubtful or label.quad is not None
        yield label if known else replace(label, quad=corners(find, luma, label.box))


def _negative(name: str, image: NDArray[np.uint8]) -> Picture:
    return Picture(name, _fit(image)[0], (), np.zeros((0, 4), np.float32), True, False, "negatives")


def load_negatives(data: Path, clip_frames: int = 40) -> list[Picture]:
    """Road scenes without a readable plate: stills, and frames spread over the clips."""
    found = []
    for path in sorted((data / "road_negatives" / "images").glob("*.jpg")):
        found.append(_negative(path.name, np.asarray(cv2.imread(str(path)), np.uint8)))
    for path in sorted((data / "video").glob("*.mp4")):
        clip = cv2.VideoCapture(str(path))
        total = max(1, int(clip.get(cv2.CAP_PROP_FRAME_COUNT)))
        step = max(1, total // clip_frames)
        for index in range(total):
            if not clip.grab():
                break
            if index % step == 0:
                found.append(_negative(f"{path.stem}:{index}", np.asarray(clip.retrieve()[1], np.uint8)))
        clip.release()
    return found


def load_training(data: Path, find: Find | None = None, own: Sequence[Path] = ()) -> dict[str, list[Picture]]:
    """Everything that may be trained on, by source; `dev` is never among it. `find` tells the plates' corners.

    `own` are more folders with a `labels.jsonl`.
    """
    sets = {name: load_set(data, name, "train") for name in ("dashcam", "openimages", "campus")}
    sets |= {str(folder): load_set(folder.parent, folder.name, "train") for folder in own}
    if find:
        sets = {name: with_corners(pictures, find) for name, pictures in sets.items()}
    return {**sets, "negatives": load_negatives(data)}
