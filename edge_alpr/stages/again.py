"""A second reading of plates that were read unsurely: cut a little wider, and a little narrower.

For pictures by themselves. The surest of three reads is too sure of itself to be evidence among others: in a track it
told wrong texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from edge_alpr.config import StillsConfig
from edge_alpr.types import Crop, Detection, Floats, Luma, Read

Plate: TypeAlias = tuple[Luma, Detection]
"""A picture of a plate with its surroundings, (H, W) uint8, and where in it the plate lies."""

CUTS = np.array([[1.05, 1.1], [0.96, 0.93]], np.float32)
"""Width and height of the other cuts, as shares of the first one's: corners are mostly off by so much."""

OUTWARDS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
"""From the middle to the corners of a quad, along its width and its height."""


class ReadAgain:
    """Reads a plate again where its first read is unsure; of the reads of one plate the surest counts."""

    def __init__(
        self, read: Callable[[Sequence[Crop]], list[Read]], cut: Callable[[Luma, Detection], Crop], config: StillsConfig
    ) -> None:
        self._read = read
        self._cut = cut
        self._config = config

    def __call__(self, reads: Sequence[Read], plates: Sequence[Plate]) -> list[Read]:
        """The reads, the unsure ones replaced by surer ones. Raises as the reader does."""
        config = self._config
        unsure = [i for i, read in enumerate(reads) if config.again_from <= read.score < config.again_below]
        if not unsure:
            return list(reads)
        cuts = [self._cut(luma, grown(plate, share)) for luma, plate in (plates[i] for i in unsure) for share in CUTS]
        found = self._read(cuts)
        surest = list(reads)
        for place, i in enumerate(unsure):
            others = found[place * len(CUTS) : (place + 1) * len(CUTS)]
            surest[i] = max(reads[i], *others, key=lambda read: read.score)
        return surest


def grown(plate: Detection, share: Floats) -> Detection:
    """The plate with its quad so many times as wide and as high, along its own sides."""
    top_left, top_right, bottom_right, bottom_left = plate.quad
    across, down = top_right + bottom_right - top_left - bottom_left, bottom_left + bottom_right - top_left - top_right
    moved = OUTWARDS * (share - 1) @ np.stack([across, down]) / 4
    return Detection(np.asarray(plate.quad + moved, np.float32), plate.score)
