"""Reading plates: crops in batches through the reader, CTC posteriors to slots, slots to a `Read`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_alpr.errors import ModelError
from edge_alpr.evidence import NONE, Interpret, read_from_slots
from edge_alpr.geometry import CROP_HEIGHT, CROP_WIDTH
from edge_alpr.ports import Session
from edge_alpr.types import Crop, Floats, Read

FAINT = 0.1
"""Least chance of a character between two read ones for a slot of its own, "none" being its best guess."""

_Ints = NDArray[np.intp]


class Reader:
    """Crops in, reads out, in the same order. It owns one input buffer, so a reader serves one thread."""

    def __init__(self, session: Session, max_batch: int = 8, interpret: Interpret = read_from_slots) -> None:
        self._session = session
        self._interpret = interpret
        self._buffer = np.zeros((max_batch, 1, CROP_HEIGHT, CROP_WIDTH), np.uint8)

    def __call__(self, crops: Sequence[Crop]) -> list[Read]:
        """Read crops; no crops, no run. Raises `ModelError` when the network fails or answers nonsense."""
        reads: list[Read] = []
        for size in batch_sizes(len(crops), len(self._buffer)):
            batch = crops[len(reads) : len(reads) + size]
            for row, crop in zip(self._buffer, batch, strict=False):
                row[0] = crop.image
            logprobs = self._session.run({"crops": self._buffer[:size]})["logprobs"]
            reads += [self._interpret(ctc_slots(p)) for p in posteriors(logprobs[: len(batch)])]
        return reads


def batch_sizes(count: int, most: int) -> Iterator[int]:
    """The batches for so many crops: powers of two up to `most`, so that the network sees few shapes.

    The last ones may be larger than what is left by at most a quarter (3 crops run as 4, 5 as 4 and 1).
    """
    most = 1 << (most.bit_length() - 1)
    while count > 0:
        size = min(most, 1 << (count - 1).bit_length())
        if size - count > size // 4:
            size //= 2
        yield size
        count -= size


def posteriors(logprobs: Floats) -> Floats:
    """Log-probabilities (N, T, A + 1) to probabilities whose rows sum to 1.

    Raises `ModelError` for anything else: that is a broken network, not a plate without characters.
    """
    with np.errstate(over="ignore"):
        chances = np.exp(logprobs)
    totals = chances.sum(axis=-1, keepdims=True)
    if not bool(np.all(np.abs(totals - 1) < 0.02)):
        raise ModelError("the reader gives no log-probabilities; use another package ([models] reader)")
    return np.asarray(chances / totals, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Stretches of steps with the same best character: from `first` to before `last`, best at `peak`."""

    char: _Ints
    first: _Ints
    last: _Ints
    peak: _Ints


def ctc_slots(chances: Floats) -> Floats:
    """Turn the CTC posteriors of one crop, (T, A + 1) with the blank last, into slots (L, A + 1).

    Every run of steps with the same best character is a slot; taking the best of each slot gives the greedy
    CTC text. Where blanks prevail but a character shows faintly, there is a slot whose best is "none".
    """
    best = chances.argmax(axis=1)
    runs = _runs(chances, best)
    faint, rows = _faint_slots(chances, runs)
    order = np.argsort(np.concatenate([runs.peak, faint]), kind="stable")
    return np.concatenate([_run_slots(chances, runs), rows])[order]


def _runs(chances: Floats, best: _Ints) -> _Runs:
    borders = np.flatnonzero(best[1:] != best[:-1]) + 1
    first, last = np.append(0, borders), np.append(borders, len(best))
    told = best[first] != NONE
    first, last = first[told], last[told]
    top = chances.max(axis=1)
    peak = [a + top[a:b].argmax() for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    return _Runs(best[first], first, last, np.array(peak, np.intp))


def _run_slots(chances: Floats, runs: _Runs) -> Floats:
    """The distribution at the peak of each run, less what CTC would make one character; (L, A + 1)."""
    rows = chances[runs.peak]
    _hand_over(rows, runs)
    _allow_one_for_two(rows, chances, runs)
    slot = np.arange(len(rows))
    top = rows[slot, runs.char]
    rows[slot, NONE] = np.minimum(rows[slot, NONE], 0.999 * top)
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), np.float32)


def _hand_over(rows: Floats, runs: _Runs) -> None:
    """Two characters at steps next to each other may be one the network wavers on.

    If the one slot emits what the other shows, CTC makes one character of both: that chance is "none" here.
    """
    near = np.flatnonzero(runs.peak[1:] - runs.peak[:-1] == 1)
    for slot, other in ((near, near + 1), (near + 1, near)):
        char = runs.char[other]
        rows[slot, NONE] += rows[slot, char]
        rows[slot, char] = 0


def _allow_one_for_two(rows: Floats, chances: Floats, runs: _Runs) -> None:
    """The same character twice is once if the steps between say so too."""
    for slot in np.flatnonzero(runs.char[1:] == runs.char[:-1]) + 1:
        between = chances[runs.last[slot - 1] : runs.first[slot], runs.char[slot]]
        merged = between.prod()
        rows[slot] *= 1 - merged
        rows[slot, NONE] += merged


def _faint_slots(chances: Floats, runs: _Runs) -> tuple[_Ints, Floats]:
    """Steps (M,) between the runs where a character shows though blanks prevail, and slots (M, A + 1)."""
    peaks: list[int] = []
    rows: list[Floats] = []
    shown = 1 - chances[:, NONE]
    gaps = zip([0, *runs.last.tolist()], [*runs.first.tolist(), len(chances)], strict=True)
    for i, (a, b) in enumerate(gaps):
        if a == b or shown[a:b].max() <= FAINT:
            continue
        left = int(runs.char[i - 1]) if i else NONE
        right = int(runs.char[i]) if i < len(runs.char) else NONE
        extra = _without_flanks(chances[a:b], left, right)
        for peak in _humps(extra.sum(axis=1)):
            peaks.append(a + peak)
            rows.append(np.append(extra[peak], 1 - extra[peak].sum()).astype(np.float32))
    return np.array(peaks, np.intp), np.array(rows, np.float32).reshape(len(rows), NONE + 1)


def _without_flanks(gap: Floats, left: int, right: int) -> Floats:
    """What the steps of a gap show besides the fading of the characters left and right of it; (T, A)."""
    flank = np.zeros_like(gap)
    flank[:, left] = np.minimum.accumulate(gap[:, left])
    flank[:, right] = np.maximum(flank[:, right], np.minimum.accumulate(gap[::-1, right])[::-1])
    return np.asarray((gap - flank)[:, :NONE])


def _humps(mass: Floats) -> list[int]:
    """The highest step of every stretch of steps over `FAINT`."""
    over = np.flatnonzero(mass > FAINT)
    if not over.size:
        return []
    stretches = np.split(over, np.flatnonzero(np.diff(over) > 1) + 1)
    return [int(steps[mass[steps].argmax()]) for steps in stretches]
