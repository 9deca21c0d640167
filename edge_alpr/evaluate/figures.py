"""What became of each marked plate, and the figures over groups of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from edge_alpr.evaluate.labels import Legibility
from edge_alpr.evidence import canonical

TOP = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one marked plate whose text is known. `found` false: all after it are empty or 0.

    `width_px` is that of the marked box. Texts are compared with O=0 and I=1 unless `strict` is in the name.
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

    @property
    def right_strict(self) -> bool:
        """Read whole, O and I told from 0 and 1."""
        return self.read == self.truth

    @property
    def right(self) -> bool:
        """Read whole."""
        return canonical(self.read) == canonical(self.truth)

    @property
    def in_top(self) -> bool:
        """The truth is among the first ten candidates."""
        return canonical(self.truth) in {canonical(text) for text in self.candidates[:TOP]}

    @property
    def errors(self) -> int:
        """Characters to change, add or take away; all of them where the plate was not found."""
        return int(Levenshtein.distance(canonical(self.read), canonical(self.truth)))


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts over a group of plates, and the shares that follow; a share of nothing is None."""

    plates: int
    found: int
    right_strict: int
    right: int
    in_top: int
    chars: int
    errors: int
    found_chars: int
    found_errors: int

    @property
    def recall(self) -> float | None:
        """Found among all."""
        return share(self.found, self.plates)

    @property
    def accuracy_strict(self) -> float | None:
        """Read whole among all."""
        return share(self.right_strict, self.plates)

    @property
    def accuracy(self) -> float | None:
        """Read whole among all, O=0 and I=1; a plate not found counts as not read."""
        return share(self.right, self.plates)

    @property
    def accuracy_found_strict(self) -> float | None:
        """Read whole among those found."""
        return share(self.right_strict, self.found)

    @property
    def accuracy_found(self) -> float | None:
        """Read whole among those found, O=0 and I=1."""
        return share(self.right, self.found)

    @property
    def top(self) -> float | None:
        """Truth among the candidates, of all plates, O=0 and I=1."""
        return share(self.in_top, self.plates)

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


def _legible(low: float = 0.0, high: float = math.inf) -> Callable[[Outcome], bool]:
    return lambda outcome: outcome.legibility == "ok" and low <= outcome.width_px < high


GROUPS: tuple[Group, ...] = (
    Group("ok", "legible", _legible()),
    Group("text", "all with text", lambda outcome: True),
    Group("ok_40px_up", "40 px up", _legible(40)),
    Group("ok_0_40px", "under 40 px", _legible(0, 40)),
    Group("ok_40_60px", "40-60 px", _legible(40, 60)),
    Group("ok_60_100px", "60-100 px", _legible(60, 100)),
    Group("ok_100_160px", "100-160 px", _legible(100, 160)),
    Group("ok_160px_up", "160 px up", _legible(160)),
)
"""What is stated apart; those by width hold legible plates. A new cut (light, sharpness, lines) is a line here."""


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
    )


def share(part: int, whole: int) -> float | None:
    """A share, None of nothing."""
    return part / whole if whole else None
