"""Two model pairs on the same plates, with one network exchanged at a time for those that changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_alpr.app import Models
from edge_alpr.assess.measure import Task
from edge_alpr.camera.pictures import load_luma
from edge_alpr.errors import DatasetError
from edge_alpr.evaluate import Comparison, Crossed, Outcome, compare, pairs
from edge_alpr.evaluate.compare import Pair
from edge_alpr.geometry import as_quad
from edge_alpr.types import Detection


@dataclass(frozen=True, slots=True)
class Side:
    """What one pair of models made of the plates; `models` is None where they are not at hand (an earlier report).

    A reader goes with the formats that its configuration asks for.
    """

    outcomes: tuple[Outcome, ...]
    models: Models | None

    def reads_as(self, other: Side) -> bool:
        """Whether both have one reader; False where that is not known."""
        mine, its = self.models, other.models
        if mine is None or its is None:
            return False
        return mine.identities["reader"] == its.identities["reader"] and mine.formats == its.formats


def compare_with(other: Side, this: Side, task: Task) -> Comparison:
    """Compare two sides. Plates that changed are read once more, each reader at the place the other detector found.

    Raises `DatasetError` where they have no plate in common.
    """
    both = pairs(other.outcomes, this.outcomes)
    if not both:
        raise DatasetError("the two runs have no plate in common; compare runs over the same data set and split")
    paths = {image.name: image.path for image in task.images}
    changed = [pair for pair in both if pair.changed and pair.this.found and pair.other.found]
    return compare(other.outcomes, this.outcomes, {pair.key: _cross(pair, other, this, paths) for pair in changed})


def _cross(pair: Pair, other: Side, this: Side, paths: dict[str, Path]) -> Crossed:
    """Exchange one network at a time; where both sides have the same one, that is known without reading."""
    if pair.other.quad and pair.other.quad == pair.this.quad:
        return Crossed(this_reader=pair.this.read, other_reader=pair.other.read)
    if this.reads_as(other):
        return Crossed(this_reader=pair.other.read, other_reader=pair.this.read)
    return Crossed(
        this_reader=_read_again(this.models, pair.other, paths),
        other_reader=_read_again(other.models, pair.this, paths),
    )


def _read_again(models: Models | None, outcome: Outcome, paths: dict[str, Path]) -> str | None:
    """What a reader makes of the place that was found; None where either is not known."""
    if models is None or not outcome.quad:
        return None
    luma = load_luma(paths[outcome.image])
    crop = models.cut(luma, Detection(as_quad(outcome.quad), outcome.dscore))
    return models.formats.withheld(models.read([crop])[0]).plate
