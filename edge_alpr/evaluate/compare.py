"""Two model pairs on the same plates: which changed, and which of the two networks it was. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_alpr.evaluate.figures import GROUPS, Figures, Group, Outcome, figures
from edge_alpr.evidence import canonical

Fate: TypeAlias = Literal["missed", "wrong", "right"]
Fault: TypeAlias = Literal["detector", "reader", "either", "both", "unknown"]
"""What made the difference: `either` network alone makes it, `both` only together; `unknown` where it was not tried."""
Key: TypeAlias = tuple[str, str, int]
"""Picture, truth, and the how manieth plate of that text in the picture: what names a plate in every run."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One plate as the other pair of models left it, and as this one does."""

    key: Key
    other: Outcome
    this: Outcome

    @property
    def changed(self) -> bool:
        """Missed, wrong or right, but not the same both times; or read wrong in two ways."""
        differ = canonical(self.other.read) != canonical(self.this.read)
        return fate(self.other) != fate(self.this) or (fate(self.this) == "wrong" and differ)


@dataclass(frozen=True, slots=True)
class Crossed:
    """What is read of a plate when the networks are exchanged one by one; None where that was not tried.

    `this_reader`: this reader at the place the other detector found; `other_reader`: the other way round.
    """

    this_reader: str | None = None
    other_reader: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A plate that changed from the other pair to this one, e.g. `wrong` to `right`, and what made it."""

    image: str
    truth: str
    width_px: float
    before: Fate
    after: Fate
    read_before: str
    read_after: str
    fault: Fault

    @property
    def kind(self) -> str:
        """The change in words; a plate that was missed before is `found`, be it read right or wrong."""
        before = "missed" if self.before == "missed" else "found" if self.after == "missed" else self.before
        after = "missed" if self.after == "missed" else "found" if self.before == "missed" else self.after
        return f"{before} to {after}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both pairs side by side. `only_this` and `only_other` count plates that one of the runs did not have."""

    groups: tuple[tuple[Group, Figures, Figures], ...]
    """Group, figures of the other pair, figures of this one, over plates that both have."""
    changes: tuple[Change, ...]
    only_other: int
    only_this: int

    @property
    def counts(self) -> dict[str, int]:
        """How many plates changed in which way, by the network that made it: `wrong to right (reader)`."""
        return dict(Counter(f"{change.kind} ({change.fault})" for change in self.changes))


def fate(outcome: Outcome) -> Fate:
    """What became of a plate; one to be found only is right when it is found."""
    if not outcome.found:
        return "missed"
    return "right" if outcome.right or not outcome.truth else "wrong"


def pairs(other: Sequence[Outcome], this: Sequence[Outcome]) -> list[Pair]:
    """The plates that both runs have, in the order of this one."""
    before, after = keyed(other), keyed(this)
    return [Pair(key, before[key], outcome) for key, outcome in after.items() if key in before]


def keyed(outcomes: Sequence[Outcome]) -> dict[Key, Outcome]:
    """Every plate by its key."""
    numbers: Counter[tuple[str, str]] = Counter()
    found: dict[Key, Outcome] = {}
    for outcome in outcomes:
        name = (outcome.image, outcome.truth)
        found[(*name, numbers[name])] = outcome
        numbers[name] += 1
    return found


def compare(other: Sequence[Outcome], this: Sequence[Outcome], crossed: Mapping[Key, Crossed]) -> Comparison:
    """Compare two runs; `crossed` says of changed plates what exchanging one network makes of them.

    Groups hold what they hold in this run (a plate's light and sharpness are of the mark, not of the models).
    """
    both = pairs(other, this)
    grouped = [(group, [pair for pair in both if group.holds(pair.this)]) for group in GROUPS]
    return Comparison(
        groups=tuple((g, figures(p.other for p in own), figures(p.this for p in own)) for g, own in grouped),
        changes=tuple(_change(pair, crossed.get(pair.key, Crossed())) for pair in both if pair.changed),
        only_other=len(other) - len(both),
        only_this=len(this) - len(both),
    )


def _change(pair: Pair, crossed: Crossed) -> Change:
    this = pair.this
    return Change(
        image=this.image,
        truth=this.truth,
        width_px=this.width_px,
        before=fate(pair.other),
        after=fate(this),
        read_before=pair.other.read,
        read_after=this.read,
        fault=fault(pair, crossed),
    )


def fault(pair: Pair, crossed: Crossed) -> Fault:
    """Which network made the difference.

    Found or not is the detector's doing. Else it is the reader's if exchanging it alone gives what this pair gives,
    and the detector's (its corners) if exchanging that alone does. With one of the two tried, the rest is the other.
    """
    if pair.other.found != pair.this.found:
        return "detector"
    reader, detector = _turns(pair, crossed.this_reader), _turns(pair, crossed.other_reader)
    if detector is None:
        return "unknown" if reader is None else "reader" if reader else "detector"
    if reader is None:
        return "detector" if detector else "reader"
    return _FAULTS[reader, detector]


_FAULTS: dict[tuple[bool, bool], Fault] = {
    (True, True): "either",
    (True, False): "reader",
    (False, True): "detector",
    (False, False): "both",
}


def _turns(pair: Pair, text: str | None) -> bool | None:
    """Whether a text is as right as this pair's; where both pairs were wrong, whether it is this pair's."""
    if text is None:
        return None
    if pair.this.right == pair.other.right:
        return canonical(text) == canonical(pair.this.read)
    return (canonical(text) == canonical(pair.this.truth)) == pair.this.right
