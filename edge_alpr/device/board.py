"""What every board is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BoardReading:
    """One moment of a board; None where the board does not tell: nothing is estimated."""

    watts: float | None = None
    """Drawn by what `Board.rail` names."""
    celsius: float | None = None
    """Of the hottest zone."""
    power_mode: str | None = None


class Board(Protocol):
    """A board that can be read again and again."""

    @property
    def name(self) -> str:
        """Make and model, as far as the board tells."""

    @property
    def rail(self) -> str:
        """What the watts are of, in words; empty where there is no meter."""

    @property
    def throttles_c(self) -> float | None:
        """The heat at which its own software begins to slow it down; None where that is not told."""

    def read(self) -> BoardReading:
        """Read the sensors. Never raises: a sensor that cannot be read gives None."""
