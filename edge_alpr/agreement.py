"""How far two pairs of networks say the same of the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_alpr.evidence import canonical
from edge_alpr.geometry import box_iou, quad_box
from edge_alpr.types import Observation

SURE = 0.5
"""Texts are compared where one of the two is at least so sure."""
_SAME_PLACE = 0.5
_SHOWN = 8
"""Differing texts that are kept."""


@dataclass(slots=True)
class Agreement:
    """What two pairs of models made of the same pictures."""

    pictures: int = 0
    plates: tuple[int, int] = (0, 0)
    both: int = 0
    sure: int = 0
    same: int = 0
    differ: list[tuple[str, str]] = field(default_factory=list)

    def add(self, first: Sequence[Observation], second: Sequence[Observation]) -> None:
        """Count one picture."""
        pairs = matched(first, second)
        sure = [(a.read, b.read) for a, b in pairs if max(a.read.score, b.read.score) >= SURE]
        differ = [(a.plate, b.plate) for a, b in sure if canonical(a.plate) != canonical(b.plate)]
        self.pictures += 1
        self.plates = (self.plates[0] + len(first), self.plates[1] + len(second))
        self.both += len(pairs)
        self.sure += len(sure)
        self.same += len(sure) - len(differ)
        self.differ += differ[: _SHOWN - len(self.differ)]


def matched(
    first: Sequence[Observation], second: Sequence[Observation]
) -> list[tuple[Observation, Observation]]:
    """Plates that both found: each of `first` with the one of `second` that overlaps it most, each once."""
    left, pairs = list(second), []
    for one in first:
        box = quad_box(one.detection.quad)
        overlaps = [box_iou(box, quad_box(other.detection.quad)) for other in left]
        if overlaps and max(overlaps) >= _SAME_PLACE:
            pairs.append((one, left.pop(overlaps.index(max(overlaps)))))
    return pairs
