"""Reading plates: crops in batches through the reader, CTC posteriors to slots, slots to a `Read`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_alpr.characters import CHANCES, OutputKind, folding
from edge_alpr.evidence import ALPHABET, NONE, Interpret, read_from_slots
from edge_alpr.feed import Feed, FeedBuffer
from edge_alpr.geometry import CROP_HEIGHT, CROP_WIDTH
from edge_alpr.ports import Session
from edge_alpr.types import Crop, Floats, Read

FAINT = 0.1
"""Least chance of a character between two read ones for a slot of its own, "none" being its best guess."""

ReaderAxes: TypeAlias = Literal["NTC", "TNC"]
Decoding: TypeAlias = Literal["ctc", "slots"]
_FEED = Feed("crops", (0, 1, CROP_HEIGHT, CROP_WIDTH))
_Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class ReaderSpec:
    """What the stage must know of a reader; the defaults are the shipped one's way."""

    feed: Feed = _FEED
    output: str = "logprobs"
    """Name of the output that is read."""
    kind: OutputKind = "logprobs"
    axes: ReaderAxes = "NTC"
    """Pictures, steps or slots, classes."""
    decode: Decoding = "ctc"
    alphabet: str = ALPHABET
    blank: int | None = NONE
    temperature: float = 1.0


SHIPPED = ReaderSpec()


class Reader:
    """Crops in, reads out, in the same order. It owns its input buffer, so a reader serves one thread."""

    def __init__(
        self,
        session: Session,
        spec: ReaderSpec = SHIPPED,
        max_batch: int = 8,
        interpret: Interpret = read_from_slots,
    ) -> None:
        self._session = session
        self._spec = spec
        self._interpret = interpret
        self._folding = folding(spec.alphabet, spec.blank)
        self._frozen = spec.feed.shape[0]
        self._most = self._frozen or max_batch
        self._buffer = FeedBuffer(spec.feed, self._most)

    def __call__(self, crops: Sequence[Crop]) -> list[Read]:
        """Read crops; no crops, no run. Raises `ModelError` when the network fails or answers nonsense."""
        reads: list[Read] = []
        for size in self._batches(len(crops)):
            batch = crops[len(reads) : len(reads) + size]
            for plane, crop in zip(self._buffer.planes, batch, strict=False):
                plane[:] = crop.image
            raw = self._session.run(self._buffer.feeds(size))[self._spec.output]
            reads += [self._interpret(slots) for slots in self._slots(raw, len(batch))]
        return reads

    def _batches(self, count: int) -> Iterable[int]:
        if self._frozen:
            return [self._frozen] * -(-count // self._frozen)
        return batch_sizes(count, self._most)

    def _slots(self, raw: Floats, count: int) -> Iterable[Floats]:
        chances = column_chances(raw, self._spec, self._folding)[:count]
        return chances if self._spec.decode == "slots" else map(ctc_slots, chances)


def column_chances(raw: Floats, spec: ReaderSpec, matrix: Floats | None) -> Floats:
    """What a reader answers to probabilities (N, T, A + 1) over our columns; `matrix` is its `folding`.

    Raises `ModelError` where the answer is not of the kind that `spec` says.
    """
    chances = CHANCES[spec.kind](raw if spec.axes == "NTC" else raw.swapaxes(0, 1), spec.temperature)
    return chances if matrix is None else chances @ matrix


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
