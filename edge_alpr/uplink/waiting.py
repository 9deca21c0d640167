"""The events of one target that are on their way: noted by the watcher, taken and settled by the target's thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping

from edge_alpr.sinks.outbox import Change, Outcome, Saved, Settled

MOST = 100_000
"""So many wait here at most (4 MB); further ones wait in the store, where nobody notices if they are deleted."""


class Waiting:
    """Numbers (`seq`) of events, in order. What is in memory leads; the file follows by `change`.

    An event is settled in memory first: a crash before the file follows tells it a second time, never not at all.
    """

    def __init__(self, saved: Saved) -> None:
        self._lock = threading.Condition()
        self._ready = deque(saved.waiting)
        self._taken: set[int] = set()
        self._seen = saved.seen
        self._outcomes: dict[Outcome, int] = dict(saved.outcomes)
        self._added: set[int] = set()
        self._settled: dict[int, Settled] = {}
        self._saved_seen = saved.seen
        self.trouble = ""
        """Why the target takes nothing at the moment; empty where it does."""

    @property
    def seen(self) -> int:
        """Up to which `seq` the store was looked through."""
        return self._seen

    @property
    def room(self) -> int:
        """How many more may be noted."""
        return MOST - len(self)

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """So many ended how, since the file was made."""
        with self._lock:
            return dict(self._outcomes)

    def __len__(self) -> int:
        with self._lock:
            return len(self._ready) + len(self._taken)

    def note(self, seen: int, seqs: Iterable[int]) -> None:
        """The store was looked through up to `seen`, and of what was new these are to be told."""
        with self._lock:
            new = list(seqs)
            self._seen = seen
            self._ready.extend(new)
            self._added.update(new)
            self._lock.notify_all()

    def take(self, timeout_s: float) -> int | None:
        """The next one, to be settled or put back; None if there is none for so long."""
        with self._lock:
            if not self._ready:
                self._lock.wait(timeout_s)
            if not self._ready:
                return None
            seq = self._ready.popleft()
            self._taken.add(seq)
            return seq

    def put_back(self, seq: int) -> None:
        """It could not be told now: it comes next again."""
        with self._lock:
            self._taken.discard(seq)
            self._ready.appendleft(seq)

    def settle(self, seq: int, outcome: Outcome, reason: str = "") -> None:
        """Its way ended so."""
        with self._lock:
            self._taken.discard(seq)
            self._end(seq, Settled(outcome, reason))

    def begin_anew(self) -> None:
        """The store was made anew and counts from 1 again: what waited is gone."""
        with self._lock:
            for seq in self._ready:
                self._end(seq, Settled("gone"))
            self._ready.clear()
            self._seen = 0

    def change(self) -> Change | None:
        """What the file does not have yet; None where it has all. Save it, or `restore` it."""
        with self._lock:
            if not self._added and not self._settled and self._seen == self._saved_seen:
                return None
            change = Change(self._seen, frozenset(self._added), self._settled)
            self._added, self._settled, self._saved_seen = set(), {}, self._seen
            return change

    def restore(self, change: Change) -> None:
        """That could not be saved: it is part of the next change."""
        with self._lock:
            self._added |= change.added
            self._settled = {**change.settled, **self._settled}
            self._saved_seen = -1

    def _end(self, seq: int, settled: Settled) -> None:
        self._settled[seq] = settled
        self._outcomes[settled.outcome] = self._outcomes.get(settled.outcome, 0) + 1
