"""Type faces as glyph masks: every face is cut once into upper-case letters and digits of one height."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.formats import ALPHABET

CAP_HEIGHT = 72
"""Height of a capital in the masks, in pixels; a quarter more is left below for tails."""
MASK_HEIGHT = 90

# Weight of a face in the draw, by the start of its file name: plate-like faces first.
WEIGHTS = {
    "GL-Nummernschild": 6.0, "OSP-DIN": 3.0, "Barlow": 2.0, "overpass": 2.0, "saira": 2.0, "oswald": 1.0,
    "rubik": 0.6, "share-tech-mono": 0.8, "routed-gothic": 0.7, "BebasNeue": 1.0, "NimbusSans": 1.2,
    "Roboto-Medium": 0.8, "Roboto-Bold": 0.8, "RobotoCondensed": 1.0, "LiberationSans": 0.8,
    "LiberationMono-Bold": 0.5, "DejaVuSans-Bold": 0.5, "DejaVuSansCondensed": 0.5,
}
SKIP = ("BebasNeue-Book", "Italic", "italic", "Oblique", "Thin", "thin", "Light", "light")


@dataclass(frozen=True, eq=False)
class Face:
    name: str
    glyphs: dict[str, NDArray[np.uint8]]
    """(MASK_HEIGHT, w) masks, ink from the left to the right edge, capitals fill rows 0..CAP_HEIGHT."""


def find_faces(folders: tuple[Path, ...]) -> list[Path]:
    """Font files of all folders that WEIGHTS knows, sorted by name so that a seed means the same everywhere."""
    files = {
        path.name: path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".ttf", ".otf", ".woff2"} and not any(word in path.name for word in SKIP) and _weight(path)
    }
    return [files[name] for name in sorted(files)]


def _weight(path: Path) -> float:
    return next((w for start, w in WEIGHTS.items() if path.name.startswith(start)), 0.0)


@lru_cache(maxsize=8)
def load_faces(folders: tuple[Path, ...]) -> tuple[tuple[Face, ...], NDArray[np.float64]]:
    """All faces and their probabilities."""
    paths = find_faces(folders)
    if not paths:
        raise FileNotFoundError(f"no fonts in {', '.join(map(str, folders))}; run scripts/training-fonts")
    families: dict[str, int] = {}
    for path in paths:
        family = next(start for start in WEIGHTS if path.name.startswith(start))
        families[family] = families.get(family, 0) + 1
    weights = [
        _weight(path) / families[next(start for start in WEIGHTS if path.name.startswith(start))] for path in paths
    ]
    return tuple(_cut(path) for path in paths), np.array(weights) / sum(weights)


def _cut(path: Path) -> Face:
    font = ImageFont.truetype(str(path), 96)
    left, top, right, bottom = font.getbbox("H", anchor="ls")
    font = ImageFont.truetype(str(path), round(96 * CAP_HEIGHT / (bottom - top)))
    glyphs = {}
    for char in ALPHABET:
        left, _, right, _ = font.getbbox(char, anchor="ls")
        image = Image.new("L", (max(4, int(right - left) + 4), MASK_HEIGHT))
        ImageDraw.Draw(image).text((2 - left, CAP_HEIGHT), char, fill=255, font=font, anchor="ls")
        mask = np.asarray(image)
        inked = np.flatnonzero(mask.max(axis=0) > 40)
        glyphs[char] = np.ascontiguousarray(mask[:, inked[0] : inked[-1] + 1])
    return Face(path.stem, glyphs)
