"""Beside the drive: takes tracks as they end, keeps the hard ones where the owner allows it, and counts the weeks.

Nothing here raises into the drive: what fails is counted and logged once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from edge_alpr.config import Config
from edge_alpr.ops.background import Background
from edge_alpr.ops.hard import Ending
from edge_alpr.ops.keeper import Keeper
from edge_alpr.ops.watch import DriftWatch
from edge_alpr.pipeline import Told
from edge_alpr.types import Event, Sighting, State

_TRACKS = 256
"""Tracks whose last state is remembered."""


class Learning:
    """Hears of every frame's ended tracks and told events; cheap while nothing ends."""

    def __init__(self, config: Config, models: dict[str, str], live: bool) -> None:
        """`live`: the source is a camera. Recordings are not counted as a road: who replays one has driven once."""
        self._background = Background(lambda error: self.keeper.files.lose(repr(error)))
        self.keeper = Keeper(config, models, self._background)
        self._watch = DriftWatch(config, models, self._background) if live and config.learning.watch_drift else None
        self._states: OrderedDict[tuple[str, int], Event] = OrderedDict()

    def take(self, ended: Sequence[Sighting], news: Sequence[Told]) -> None:
        """One frame: the tracks that ended with it, and what was told (after it was told)."""
        try:
            self._take(ended, news)
        except Exception as error:  # learning goes on beside the drive: none of its faults may stop it
            self.keeper.files.lose(repr(error))

    def _take(self, ended: Sequence[Sighting], news: Sequence[Told]) -> None:
        for told in news:
            self._states[told.event.camera_id, told.event.track_id] = told.event
            self.keeper.hear(told)
        while len(self._states) > _TRACKS:
            self._states.popitem(last=False)
        for sighting in ended:
            event = self._states.pop((sighting.camera_id, sighting.track_id), None)
            ending = _ending(sighting, event.state if event else None)
            self.keeper.end(sighting, ending, event.uuid if event else "")
            if self._watch:
                self._watch.end(ending, sighting.epoch_end)

    def exchange(self, models: dict[str, str]) -> None:
        """Other networks read from now on."""
        self.keeper.exchange(models)
        if self._watch:
            self._watch.exchange(models)

    def close(self) -> None:
        """Write what is only counted yet, and wait for what is being written."""
        if self._watch:
            self._watch.save()
        self._background.close()


def _ending(sighting: Sighting, state: State | None) -> Ending:
    crop = sighting.best.crop
    seconds = (sighting.last_stamp_ns - sighting.first_stamp_ns) / 1e9
    return Ending(
        state=state,
        plate=sighting.read.plate,
        score=sighting.read.score,
        reads=sighting.reads,
        agreement=sighting.agreement,
        width_px=crop.width_px,
        seconds=seconds,
        clipped=crop.clipped,
    )
