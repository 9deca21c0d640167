"""Which hits of the hot lists were told of a track, and which are new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_alpr.ports import Hits
from edge_alpr.types import Match, Sighting

_LIKELY = 0.5


class _NoLists:
    version = 0

    def __call__(self, read: object, at_ms: int) -> tuple[Match, ...]:
        return ()


NO_HITS: Hits = _NoLists()
"""Without lists nothing hits."""


@dataclass(slots=True, eq=False)
class Look:
    """The last look at the lists for one track: taken anew only where its text, its score or the lists changed."""

    state: tuple[int, str, float] = (-1, "", 0.0)
    matches: tuple[Match, ...] = ()

    def at(self, sighting: Sighting, hits: Hits) -> tuple[Match, ...]:
        """The hits of a sighting."""
        state = (hits.version, sighting.read.plate, round(sighting.read.score, 2))
        if state != self.state:
            self.state, self.matches = state, hits(sighting.read, sighting.epoch_end)
        return self.matches


def fresh(matches: Iterable[Match], told: Iterable[Match]) -> bool:
    """Whether there is a hit that was not told, or told as unlikely and is likely now."""
    before = {(match.list, match.entry): match.score for match in told}
    scores = ((before.get((match.list, match.entry)), match.score) for match in matches)
    return any(old is None or old < _LIKELY <= new for old, new in scores)
