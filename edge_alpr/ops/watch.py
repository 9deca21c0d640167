"""Counting tracks into the weeks of the drift ledger as they end."""

from __future__ import annotations

import logging
import time

from edge_alpr.config import Config
from edge_alpr.ops import drift, ledger
from edge_alpr.ops.background import Background
from edge_alpr.ops.hard import MIN_READS, Ending

_EPOCH_SET_MS = 1_704_067_200_000
"""2024: a clock that shows less was never set."""
_SAVE_S = 60.0
_log = logging.getLogger(__name__)


class DriftWatch:
    """Counts tracks into weeks and writes the file once a minute at most."""

    def __init__(self, config: Config, models: dict[str, str], background: Background) -> None:
        self._background = background
        self._path = ledger.path_of(config)
        self._event = config.event
        key = ledger.models_key(models)
        try:
            known = ledger.load(self._path)
        except OSError as error:
            _log.warning("drift: %s cannot be read: %s", self._path, error.strerror)
            known = None
        self.ledger = known if known and known.models == key else drift.Ledger(models=key, weeks={})
        self._saved_s = time.monotonic()
        self._changed = self._failing = False

    def exchange(self, models: dict[str, str]) -> None:
        """Other networks read from now on: their weeks are counted anew."""
        key = ledger.models_key(models)
        if key != self.ledger.models:
            self.ledger = drift.Ledger(models=key, weeks={})

    def end(self, ending: Ending, epoch_ms: int) -> None:
        """Count one track."""
        self._changed = True
        if epoch_ms < _EPOCH_SET_MS:
            self.ledger.undated += 1
        else:
            week = self.ledger.weeks.setdefault(drift.week_of(epoch_ms), drift.Week(shapes={}))
            count(week, ending, self._event.confirm_score, self._event.min_length)
        if time.monotonic() - self._saved_s > _SAVE_S:
            self.save()

    def save(self) -> None:
        """Have the file written if there is news. The first failure of a row is logged; later news is tried again."""
        if not self._changed:
            return
        self._saved_s = time.monotonic()
        content = ledger.encode(self.ledger)
        self._changed = not self._background.do(lambda: self._write(content))

    def _write(self, content: bytes) -> None:
        try:
            ledger.save(self._path, content)
        except OSError as error:
            if not self._failing:
                _log.warning("drift: %s cannot be written: %s; the drive goes on", self._path, error.strerror)
            self._failing = True
        else:
            self._failing = False


def count(week: drift.Week, ending: Ending, confirm_score: float, min_length: int) -> None:
    """Add a track that ended to its week. One told under another track's event is read, too: its text is probable."""
    confirmed = ending.state == "confirmed"
    if confirmed or ending.should_be_read:
        week.tracks += 1
        week.unread += not (confirmed or (ending.score >= confirm_score and len(ending.plate) >= min_length))
        if ending.reads >= MIN_READS:
            week.agreeing += 1
            week.agreement += ending.agreement
            week.agreement2 += ending.agreement**2
    if ending.state is not None:
        week.heard += 1
        week.withdrawn += ending.state == "withdrawn"
    if confirmed:
        week.confirmed += 1
        week.score += ending.score
        week.score2 += ending.score**2
        drift.count_shape(week.shapes, drift.shape_of(ending.plate))
