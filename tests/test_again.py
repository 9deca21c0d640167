"""The second reading: only of what is unsure, cut wider and narrower, the surest read counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_alpr.app import open_models
from edge_alpr.camera.pictures import load_luma
from edge_alpr.config import Config, StillsConfig
from edge_alpr.doctor.networks import GOLDEN_BOX, golden_frame
from edge_alpr.evaluate import load_dataset
from edge_alpr.evidence import canonical
from edge_alpr.geometry import box_quad
from edge_alpr.stages.again import CUTS, ReadAgain, grown
from edge_alpr.stages.keep import surroundings
from edge_alpr.stages.rectify import cut
from edge_alpr.types import Crop, Detection, Read

FRAME = golden_frame()
SLANTED = np.array([[10, 10], [110, 20], [110, 50], [10, 40]], np.float32)


def said(score: float) -> Read:
    return Read(f"T{score}", score, (), (), np.zeros((0, 37), np.float32))


class Teller:
    """Reads given scores and keeps what it was shown."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.shown: list[Crop] = []

    def __call__(self, crops: Sequence[Crop]) -> list[Read]:
        self.shown += crops
        return [said(self.scores.pop(0)) for _ in crops]


def again(teller: Teller, *scores: float, config: StillsConfig | None = None) -> list[float]:
    plates = [surroundings(FRAME, Detection(box_quad(*GOLDEN_BOX), 0.9))] * len(scores)
    reads = ReadAgain(teller, cut, config or StillsConfig())([said(score) for score in scores], plates)
    return [read.score for read in reads]


def test_the_surest_of_three_reads_counts() -> None:
    teller = Teller(0.3, 0.8, 0.1, 0.2)
    assert again(teller, 0.95, 0.5, 0.7) == [0.95, 0.8, 0.7]
    assert len(teller.shown) == 2 * len(CUTS)


def test_sure_reads_and_rubbish_are_not_read_again() -> None:
    teller = Teller()
    assert again(teller, 0.9, 1.0, 0.019, 0.0) == [0.9, 1.0, 0.019, 0.0]
    assert again(teller, 0.5, config=StillsConfig(again_below=0.0)) == [0.5]
    assert again(teller) == []
    assert not teller.shown


def test_a_quad_grows_along_its_own_sides_around_its_middle() -> None:
    wide = grown(Detection(SLANTED, 0.5), np.float32([1.2, 1.0])).quad
    assert np.allclose(wide, [[0, 9], [120, 21], [120, 51], [0, 39]], atol=1e-4)
    high = grown(Detection(SLANTED, 0.5), np.float32([1.0, 1.2])).quad
    assert np.allclose(high - SLANTED, [[0, -3], [0, -3], [0, 3], [0, 3]], atol=1e-4)
    assert np.allclose(wide.mean(axis=0), SLANTED.mean(axis=0))


def test_the_plate_lies_in_its_surroundings_where_it_lay_in_the_frame() -> None:
    plate = Detection(box_quad(*GOLDEN_BOX), 0.9)
    picture, there = surroundings(FRAME, plate)
    assert np.abs(cut(picture, there).image.astype(int) - cut(FRAME, plate).image).max() <= 1


def test_no_fewer_real_plates_are_read_right(data: Path) -> None:
    sets = {name: load_dataset(data / name, "dev") for name in ("dashcam", "openimages")}
    right, score = {}, {}
    for below in (0.0, 0.9):
        models = open_models(Config(stills=StillsConfig(again_below=below)))
        right[below], score[below] = 0, 0.0
        for image in (image for images in sets.values() for image in images):
            reads = [seen.read for seen in models.observe(load_luma(image.path))[0]]
            texts = {canonical(read.plate) for read in reads}
            right[below] += sum(canonical(plate.text) in texts for plate in image.plates if plate.known)
            score[below] += sum(read.score for read in reads)
    assert right[0.9] >= right[0.0] > 0
    assert score[0.9] > score[0.0] + 1, "unsure plates were read again"
