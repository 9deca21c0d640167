"""Looking for the entries of a list in what was read before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_alpr.evidence import NONE
from edge_alpr.hotlist.match import Matcher
from edge_alpr.sinks.view import StoreView
from edge_alpr.types import Event, Match, Read

_PAGE = 256


def past_hits(view: StoreView, matcher: Matcher) -> Iterator[tuple[Event, Match]]:
    """The passages in the store that hit, newest first, each once. Only the candidates are left of a read.

    Raises `StoreError`.
    """
    before: int | None = None
    told: set[str] = set()
    while page := view.newest(_PAGE, before):
        before = page[-1].seq
        for event in page:
            if event.uuid in told:
                continue
            told.add(event.uuid)
            matches = () if event.state == "withdrawn" else matcher(as_read(event), event.epoch_end)
            if matches:
                yield event, matches[0]


def as_read(event: Event) -> Read:
    """What an event keeps of its read."""
    empty = np.zeros((0, NONE + 1), np.float32)
    return Read(event.plate, event.score, event.char_scores, event.candidates, empty)
