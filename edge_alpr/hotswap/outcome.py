"""What a set on trial made of the road so far: `trial.json` on the shelf, whole at any time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from edge_alpr.agreement import Agreement
from edge_alpr.infer.atomic import write_whole
from edge_alpr.ota.shadow import Outcome
from edge_alpr.types import Observation

FILE = "trial.json"
_MOST = 4096
"""Times that percentiles are of, the newest."""


class Tally:
    """Goes on from an outcome."""

    def __init__(self, before: Outcome) -> None:
        self._before = before
        self._agreement = Agreement()
        self._old_ms: deque[float] = deque(maxlen=_MOST)
        self._new_ms: deque[float] = deque(maxlen=_MOST)

    def add(
        self, old: Sequence[Observation], new: Sequence[Observation], old_ms: float, new_ms: float
    ) -> None:
        """Count one frame."""
        self._agreement.add(old, new)
        self._old_ms.append(old_ms)
        self._new_ms.append(new_ms)

    def outcome(self, seconds: float, error: str = "") -> Outcome:
        """All so far, `seconds` after the beginning of this tally."""
        before, more = self._before, self._agreement
        return Outcome(
            version=before.version,
            frames=before.frames + more.pictures,
            plates_both=before.plates_both + more.both,
            plates_old=before.plates_old + more.plates[0],
            plates_new=before.plates_new + more.plates[1],
            texts_same=before.texts_same + more.same,
            texts_differ=before.texts_differ + more.sure - more.same,
            p99_ms_old=_p99(self._old_ms, before.p99_ms_old),
            p99_ms_new=_p99(self._new_ms, before.p99_ms_new),
            seconds=round(before.seconds + seconds, 1),
            error=error,
        )


def _p99(times: Sequence[float], before: float) -> float:
    return round(float(np.percentile(times, 99)), 3) if times else before


def load(shelf: Path, version: str) -> Outcome:
    """What is known of a version that did not fail; nothing of another, or where the file is damaged."""
    try:
        known = msgspec.json.decode((shelf / FILE).read_bytes(), type=Outcome)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Outcome(version=version)
    return known if known.version == version and not known.error else Outcome(version=version)


def save(shelf: Path, outcome: Outcome) -> None:
    """Write it whole. Raises `OSError`."""
    write_whole(shelf / FILE, msgspec.json.encode(outcome) + b"\n")
