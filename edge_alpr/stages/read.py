"""Reading plates: crops in batches through the reader, CTC posteriors to slots, slots to a `Read`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from edge_alpr.characters import CHANCES, OutputKind, folding, from_best
from edge_alpr.evidence import ALPHABET, NONE, Interpret, read_from_slots
from edge_alpr.feed import Feed, FeedBuffer
from edge_alpr.geometry import CROP_HEIGHT, CROP_WIDTH
from edge_alpr.ports import Session
from edge_alpr.types import Crop, Floats, Read, Tensors

FAINT = 0.1
"""Least chance of a character between two read ones for a slot of its own, "none" being its best guess."""

ReaderAxes: TypeAlias = Literal["NTC", "TNC"]
Decoding: TypeAlias = Literal["ctc", "slots"]
_FEED = Feed("crops", (0, 1, CROP_HEIGHT, CROP_WIDTH))


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


BEST, CLASSES, SHARPNESS = "best", "classes", "sharpness"
"""Outputs of a reader for planes: the likeliest few classes of each step, their log-probabilities, and the crops'."""


def plane_chances(outputs: Tensors, spec: ReaderSpec, matrix: Floats | None) -> Floats:
    """What a reader for planes answers to probabilities, as `column_chances`. Raises `ModelError`."""
    count = len(spec.alphabet) + (spec.blank is not None)
    chances = from_best(outputs[BEST], outputs[CLASSES], count, spec.temperature)
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


class _Run(NamedTuple):
    """A stretch of steps with the same best character: from `first` to before `last`, best at `peak`."""

    char: int
    first: int
    last: int
    peak: int


def ctc_slots(chances: Floats) -> Floats:
    """Turn the CTC posteriors of one crop, (T, A + 1) with the blank last, into slots (L, A + 1).

    Every run of steps with the same best character is a slot; taking the best of each slot gives the greedy
    CTC text. Where blanks prevail but a character shows faintly, there is a slot whose best is "none".
    """
    runs = _runs(chances)
    peaks, rows = _faint_slots(chances, runs)
    slots = _run_slots(chances, runs)
    if not peaks:
        return slots
    order = np.argsort([run.peak for run in runs] + peaks, kind="stable")
    return np.concatenate([slots, rows])[order]


def _runs(chances: Floats) -> list[_Run]:
    top = chances.max(axis=1).tolist()
    runs, end = [], 0
    for char, steps in groupby(chances.argmax(axis=1).tolist()):
        begin, end = end, end + sum(1 for _ in steps)
        if char != NONE:
            runs.append(_Run(char, begin, end, max(range(begin, end), key=top.__getitem__)))
    return runs


def _run_slots(chances: Floats, runs: Sequence[_Run]) -> Floats:
    """The distribution at the peak of each run, less what CTC would make one character; (L, A + 1)."""
    rows = chances[[run.peak for run in runs]]
    for i, (left, right) in enumerate(pairwise(runs)):
        if right.peak - left.peak == 1:
            _hand_over(rows[i], right.char)
            _hand_over(rows[i + 1], left.char)
    for i, (left, right) in enumerate(pairwise(runs)):
        if left.char == right.char:  # the same character twice is once if the steps between say so too
            merged = chances[left.last : right.first, right.char].prod()
            rows[i + 1] *= 1 - merged
            rows[i + 1, NONE] += merged
    top = rows[np.arange(len(runs)), [run.char for run in runs]]
    rows[:, NONE] = np.minimum(rows[:, NONE], 0.999 * top)
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), np.float32)


def _hand_over(row: Floats, char: int) -> None:
    """Two characters at steps next to each other may be one the network wavers on.

    If the one slot emits what the other shows, CTC makes one character of both: that chance is "none" here.
    """
    row[NONE] += row[char]
    row[char] = 0


def _faint_slots(chances: Floats, runs: Sequence[_Run]) -> tuple[list[int], Floats]:
    """Steps (M,) between the runs where a character shows though blanks prevail, and slots (M, A + 1)."""
    peaks: list[int] = []
    rows: list[Floats] = []
    over = [none < 1 - FAINT for none in chances[:, NONE].tolist()]
    ends = [_Run(NONE, 0, 0, 0), *runs, _Run(NONE, len(over), 0, 0)]
    for left, right in pairwise(ends):
        a, b = left.last, right.first
        if not any(over[a:b]):
            continue
        extra = _without_flanks(chances[a:b], left.char, right.char)
        for peak in _humps(extra.sum(axis=1)):
            peaks.append(a + peak)
            rows.append(np.append(extra[peak], 1 - extra[peak].sum()).astype(np.float32))
    return peaks, np.array(rows, np.float32).reshape(len(rows), NONE + 1)


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
