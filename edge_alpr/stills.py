"""Reading stills: one line per picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import UNSET, UnsetType
from rich.console import Console
from rich.progress import track

from edge_alpr.app import Models, open_models
from edge_alpr.camera.pictures import load_luma
from edge_alpr.config import Config
from edge_alpr.errors import ImageError
from edge_alpr.formats import Formats
from edge_alpr.geometry import pixel_box
from edge_alpr.pipeline import clean, cleaned
from edge_alpr.types import Box, Candidate, Observation, Point, RegionGuess

_WORTH_SAYING = 0.1


class Plate(msgspec.Struct, frozen=True):
    """A plate of a still, as the contract has it; pixels of the picture, scores 0 to 1."""

    plate: str
    score: float
    dscore: float
    box: Box
    coordinates: tuple[Point, ...]
    char_scores: tuple[float, ...]
    candidates: tuple[Candidate, ...]
    withheld: bool | UnsetType = UNSET
    """True where the text is left out because it fits no format that was asked for."""
    region: RegionGuess | UnsetType = UNSET
    """Only where `[formats] regions` is set and one of them is likely at all."""


class Still(msgspec.Struct, frozen=True):
    """A picture and its plates, best detection first; times in ms."""

    source: str
    width: int
    height: int
    plates: tuple[Plate, ...]
    processing_time_ms: dict[str, float]


class Failure(msgspec.Struct, frozen=True):
    """A picture that could not be read, and why."""

    source: str
    error: str


def read_still(path: Path, models: Models) -> Still:
    """Read one picture. Raises `ImageError`."""
    luma = load_luma(path)
    height, width = luma.shape
    observations, times = models.observe(luma)
    plates = tuple(_plate(seen, width, height, models.formats) for seen in observations)
    return Still(str(path), width, height, plates, times)


def _plate(seen: Observation, width: int, height: int, formats: Formats) -> Plate:
    quad, read = seen.detection.quad, formats.withheld(seen.read)
    return Plate(
        plate=read.plate,
        score=clean(read.score),
        dscore=clean(seen.detection.score),
        box=pixel_box(quad, width, height),
        coordinates=tuple(Point(round(float(x), 1), round(float(y), 1)) for x, y in quad),
        char_scores=tuple(clean(score) for score in read.char_scores),
        candidates=tuple(Candidate(c.plate, clean(c.score)) for c in read.candidates),
        withheld=UNSET if read is seen.read else True,
        region=cleaned(formats.guess(read)),
    )


def print_stills(images: Sequence[Path], config: Config, jsonl: bool) -> int:
    """Read all pictures and print a line for each; the number of those that could not be read."""
    models = open_models(config)
    console, errors = Console(highlight=False), Console(stderr=True, highlight=False)
    failed = 0
    for path in track(images, "reading", console=errors, transient=True, disable=len(images) < 2):
        try:
            result: Still | Failure = read_still(path, models)
        except ImageError as error:
            failed += 1
            result = Failure(str(path), " ".join(str(error).split()))
            errors.print(f"edge-alpr: {result.error}", soft_wrap=True, markup=False)
        if jsonl:
            print(msgspec.json.encode(result).decode(), flush=True)
        elif isinstance(result, Still):
            console.print(_line(result), soft_wrap=True, markup=False)
    return failed


def _line(still: Still) -> str:
    """One picture for people; texts that are most likely wrong are not spelled out."""
    return f"{still.source}: {', '.join(map(_words, still.plates)) or 'no plate'}"


def _words(plate: Plate) -> str:
    if plate.withheld is True:
        return "(fits no format)"
    return f"{plate.plate} {plate.score:.0%}" if plate.score >= _WORTH_SAYING else "(unread)"
