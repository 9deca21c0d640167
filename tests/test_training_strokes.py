"""Faces drawn from strokes: masks as Face promises, and letters that stay apart."""

from __future__ import annotations

import numpy as np
import pytest

from training.faces import CAP_HEIGHT, MASK_HEIGHT, Face
from training.formats import ALPHABET
from training.strokes import SKELETONS, stroke_face

SEEDS = range(60)


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    return [stroke_face(np.random.default_rng(seed)) for seed in SEEDS]


def _overlap(face: Face, first: str, second: str) -> float:
    """Shared ink over all ink of two glyphs brought to one width."""
    columns = np.linspace(0, 1, 48)
    a, b = (
        face.glyphs[char][:, np.rint(columns * (face.glyphs[char].shape[1] - 1)).astype(int)] / 255.0
        for char in (first, second)
    )
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())


def test_every_character_has_a_skeleton():
    assert set(SKELETONS) | {"9"} == set(ALPHABET)  # a 9 is a 6 turned round


def test_same_seed_same_masks_and_another_seed_others(faces: list[Face]):
    again = stroke_face(np.random.default_rng(3))
    assert all(np.array_equal(again.glyphs[char], faces[3].glyphs[char]) for char in ALPHABET)
    assert any(not np.array_equal(faces[4].glyphs[char], faces[3].glyphs[char]) for char in ALPHABET)


def test_masks_are_what_a_face_promises(faces: list[Face]):
    for face in faces:
        for char, mask in face.glyphs.items():
            assert mask.dtype == np.uint8 and mask.shape[0] == MASK_HEIGHT and mask.shape[1] >= 5, char
            assert mask[:, 0].max() > 40 and mask[:, -1].max() > 40, char


def test_capitals_fill_the_cap_height_and_only_tails_go_below(faces: list[Face]):
    for face in faces:
        for char, mask in face.glyphs.items():
            rows = np.flatnonzero(mask.max(axis=1) > 40)
            assert rows[0] <= 2, char
            assert rows[-1] >= CAP_HEIGHT - 3, char
            if char not in "QJ":
                assert rows[-1] <= CAP_HEIGHT, char


@pytest.mark.parametrize("pair", ["8B", "0D", "5S", "2Z", "UV", "OQ", "6G", "CG", "38", "68", "S8", "PR", "VY", "HN"])
def test_glyphs_that_look_alike_stay_apart(faces: list[Face], pair: str):
    overlaps = [_overlap(face, *pair) for face in faces]
    assert max(overlaps) < 0.965 and np.median(overlaps) < 0.93
