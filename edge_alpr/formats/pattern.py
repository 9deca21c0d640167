"""The language of the table: a pattern such as `<county> D{2,3} LLL` becomes shapes, the texts they hold countable.

`L` is a letter, `D` a digit, `A` either; `[AB5-9]` one of these; `<name>` an entry of a list; `{2}` or `{1,4}`
repeats what stands before it. Spaces are for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from math import prod

from edge_alpr.evidence import ALPHABET

DIGITS, LETTERS = ALPHABET[:10], ALPHABET[10:]
LONGEST = 10
"""No plate has more characters."""
_MOST = 2000
_TOKEN = re.compile(r"(?:([LDA])|\[([A-Z0-9-]+)\]|<(\w+)>)(?:\{(\d)(?:,(\d))?\})?")

Places = tuple[str, ...]
"""What may stand at each position: characters in the alphabet's order, each once."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Texts of one length; `share` of the plates of the pattern have it, all its texts being as likely."""

    places: Places
    share: float

    @property
    def texts(self) -> int:
        """How many texts fit."""
        return prod(len(place) for place in self.places)


def parse_pattern(pattern: str, letters: str, lists: Mapping[str, tuple[str, ...]]) -> tuple[Shape, ...]:
    """The shapes of a pattern; `L` stands for `letters`. Raises `ValueError` with what is wrong.

    Each way to repeat is as likely as the others; in the same way, so is each entry of a list.
    """
    ways: list[tuple[Places, float]] = [((), 1.0)]
    rest = pattern.replace(" ", "")
    while rest:
        token = _TOKEN.match(rest)
        if token is None:
            raise ValueError(f"'{pattern}': '{rest}' is none of L, D, A, [AB5-9], <list>, {{2}} or {{1,4}} after one")
        rest = rest[token.end() :]
        options = list(_repeated(token, pattern, letters, lists))
        ways = [(head + tail, share * part) for head, share in ways for tail, part in options]
        if len(ways) > _MOST:
            raise ValueError(f"'{pattern}': more than {_MOST} shapes; use fewer lists or repeats")
    if not all(1 <= len(places) <= LONGEST for places, _ in ways):
        raise ValueError(f"'{pattern}': a plate has 1 to {LONGEST} characters")
    return tuple(Shape(places, share) for places, share in ways)


def _repeated(
    token: re.Match[str], pattern: str, letters: str, lists: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[Places, float]]:
    kind, chosen, name, least, most = token.groups()
    if name is not None:
        if name not in lists:
            raise ValueError(f"'{pattern}': no list '{name}'; known here: {', '.join(lists) or 'none'}")
        if least is not None:
            raise ValueError(f"'{pattern}': a list is not repeated; write <{name}><{name}>")
        yield from bundled(lists[name])
        return
    place = {"L": letters, "D": DIGITS, "A": DIGITS + letters}[kind] if kind else spelled_out(chosen)
    low = int(least or 1)
    high = int(most or low)
    if low > high:
        raise ValueError(f"'{pattern}': {{{low},{high}}} counts down")
    for times in range(low, high + 1):
        yield (place,) * times, 1.0 / (high - low + 1)


def bundled(words: tuple[str, ...]) -> Iterator[tuple[Places, float]]:
    """A list of codes as few shapes: those that differ in the last character only are one."""
    for (head, _), group in groupby(sorted(words, key=lambda w: (w[:-1], len(w))), key=lambda w: (w[:-1], len(w))):
        last = spelled_out("".join(sorted({word[-1] for word in group})))
        yield (*head, last), len(last) / len(set(words))


def spelled_out(chosen: str) -> str:
    """`A-CX` is ABCX, in the alphabet's order. Raises `ValueError` for what is no letter, digit or range."""
    chars = re.sub(r"([A-Z0-9])-([A-Z0-9])", lambda ends: _range(*ends.groups()), chosen)
    if not chars or any(char not in ALPHABET for char in chars):
        raise ValueError(f"'{chosen}' is no choice of A-Z and 0-9")
    return "".join(sorted(set(chars), key=ALPHABET.index))


def _range(first: str, last: str) -> str:
    return ALPHABET[ALPHABET.index(first) : ALPHABET.index(last) + 1] or "?"
