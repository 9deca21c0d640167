"""What became of each marked plate, and the figures over groups of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from rapidfuzz.distance import Levenshtein

from edge_alpr.evaluate.labels import BoxPx, Legibility
from edge_alpr.evidence import canonical

TOP = 10
SHARP = 0.3
"""A crop of at least this sharpness (see `Crop`) is sharp, below it soft."""
DARK, BRIGHT = 80.0, 140.0
"""Mean brightness (0 to 255) around a plate below which it is dark there, and from which it is bright."""
FLAT = 25.0
"""Standard deviation of the brightness within a plate below which its contrast is flat."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a marked plate lies in its picture, whatever any model makes of it.

    `sharpness` is that of the upright crop of the marked box (see `Crop`), `light` the mean brightness of the ring
    around the box, one height wide, `contrast` the standard deviation of the brightness within the box.
    """

    sharpness: float
    light: float
    contrast: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one marked plate. `found` false: `iou` to `char_scores` and `quad` are empty or 0.

    `truth` is empty where the plate is to be found only. `width_px` is that of the marked `box`; `quad` are the
    corners found. Texts are compared with O=0 and I=1 unless `strict` is in the name. `conditions` is None where
    the picture was not looked at.
    """

    image: str
    truth: str
    legibility: Legibility
    width_px: float
    lines: int
    found: bool
    iou: float = 0.0
    dscore: float = 0.0
    read: str = ""
    score: float = 0.0
    candidates: tuple[str, ...] = ()
    char_scores: tuple[float, ...] = ()
    box: BoxPx = (0.0, 0.0, 0.0, 0.0)
    quad: tuple[tuple[float, float], ...] = ()
    conditions: Conditions | None = None

    @property
    def right_strict(self) -> bool:
        """Read whole, O and I told from 0 and 1."""
        return bool(self.truth) and self.read == self.truth

    @property
    def right(self) -> bool:
        """Read whole."""
        return bool(self.truth) and canonical(self.read) == canonical(self.truth)

    @property
    def failed(self) -> bool:
        """A legible plate not read whole, or one to be found only that was missed."""
        return (self.legibility == "ok" and not self.right) or (self.legibility == "textless" and not self.found)

    @property
    def in_top(self) -> bool:
        """The truth is among the first ten candidates."""
        return bool(self.truth) and canonical(self.truth) in {canonical(text) for text in self.candidates[:TOP]}

    @property
    def errors(self) -> int:
        """Characters to change, add or take away; all of them where the plate was not found."""
        return int(Levenshtein.distance(canonical(self.read), canonical(self.truth))) if self.truth else 0


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts over a group of plates, and the shares that follow; a share of nothing is None.

    `texts` counts the plates whose text is known; shares of what was read are of those.
    """

    plates: int
    found: int
    right_strict: int
    right: int
    in_top: int
    chars: int
    errors: int
    found_chars: int
    found_errors: int
    texts: int
    found_texts: int

    @property
    def recall(self) -> float | None:
        """Found among all."""
        return share(self.found, self.plates)

    @property
    def accuracy_strict(self) -> float | None:
        """Read whole among all."""
        return share(self.right_strict, self.texts)

    @property
    def accuracy(self) -> float | None:
        """Read whole among all, O=0 and I=1; a plate not found counts as not read."""
        return share(self.right, self.texts)

    @property
    def accuracy_found_strict(self) -> float | None:
        """Read whole among those found."""
        return share(self.right_strict, self.found_texts)

    @property
    def accuracy_found(self) -> float | None:
        """Read whole among those found, O=0 and I=1."""
        return share(self.right, self.found_texts)

    @property
    def top(self) -> float | None:
        """Truth among the candidates, of all plates, O=0 and I=1."""
        return share(self.in_top, self.texts)

    @property
    def cer(self) -> float | None:
        """Wrong characters for each true one (O=0, I=1; may pass 1); those of plates not found are all wrong."""
        return share(self.errors, self.chars)

    @property
    def cer_found(self) -> float | None:
        """The same among plates found."""
        return share(self.found_errors, self.found_chars)


@dataclass(frozen=True, slots=True)
class Group:
    """A named selection of plates."""

    key: str
    title: str
    holds: Callable[[Outcome], bool]


Measure: TypeAlias = Callable[[Outcome], float]


def _width(outcome: Outcome) -> float:
    return outcome.width_px


def _lines(outcome: Outcome) -> float:
    return outcome.lines


def _condition(name: str) -> Measure:
    return lambda outcome: float(getattr(outcome.conditions, name)) if outcome.conditions else math.nan


def _legible(measure: Measure = _width, low: float = 0.0, high: float = math.inf) -> Callable[[Outcome], bool]:
    """Legible plates whose measure is from `low` to below `high`; one not measured is in no group."""
    return lambda outcome: outcome.legibility == "ok" and low <= measure(outcome) < high


_sharpness, _light, _contrast = _condition("sharpness"), _condition("light"), _condition("contrast")


GROUPS: tuple[Group, ...] = (
    Group("ok", "legible", _legible()),
    Group("text", "all with text", lambda outcome: bool(outcome.truth)),
    Group("textless", "found only", lambda outcome: outcome.legibility == "textless"),
    Group("ok_40px_up", "40 px up", _legible(_width, 40)),
    Group("ok_0_40px", "under 40 px", _legible(_width, 0, 40)),
    Group("ok_40_60px", "40-60 px", _legible(_width, 40, 60)),
    Group("ok_60_100px", "60-100 px", _legible(_width, 60, 100)),
    Group("ok_100_160px", "100-160 px", _legible(_width, 100, 160)),
    Group("ok_160px_up", "160 px up", _legible(_width, 160)),
    Group("ok_sharp", "sharp", _legible(_sharpness, SHARP)),
    Group("ok_soft", "soft", _legible(_sharpness, 0, SHARP)),
    Group("ok_dark", "dark", _legible(_light, 0, DARK)),
    Group("ok_normal_light", "normal light", _legible(_light, DARK, BRIGHT)),
    Group("ok_bright", "bright", _legible(_light, BRIGHT)),
    Group("ok_flat", "flat contrast", _legible(_contrast, 0, FLAT)),
    Group("ok_one_line", "one line", _legible(_lines, 1, 2)),
    Group("ok_two_lines", "two lines up", _legible(_lines, 2)),
)
"""What is stated apart; the cuts by width, sharpness, light and lines hold legible plates."""


def figures(outcomes: Iterable[Outcome]) -> Figures:
    """Count over some plates."""
    plates = list(outcomes)
    found = [plate for plate in plates if plate.found]
    return Figures(
        plates=len(plates),
        found=len(found),
        right_strict=sum(plate.right_strict for plate in plates),
        right=sum(plate.right for plate in plates),
        in_top=sum(plate.in_top for plate in plates),
        chars=sum(len(plate.truth) for plate in plates),
        errors=sum(plate.errors for plate in plates),
        found_chars=sum(len(plate.truth) for plate in found),
        found_errors=sum(plate.errors for plate in found),
        texts=sum(bool(plate.truth) for plate in plates),
        found_texts=sum(bool(plate.truth) for plate in found),
    )


def share(part: int, whole: int) -> float | None:
    """A share, None of nothing."""
    return part / whole if whole else None
