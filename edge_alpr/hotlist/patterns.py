"""Wildcards and regular expressions, matched by RE2: the time of a match is bounded by the length of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_alpr.evidence import canonical
from edge_alpr.hotlist.entry import Entry, Fault
from edge_alpr.types import Candidate

_MEMORY = 8 << 20
"""Bytes that RE2 may use for one expression, or for a set of `_TOGETHER`."""
_TOGETHER = 256
_WILD = {"*": "[A-Z0-9]*", "?": "[A-Z0-9]", "0": "[0O]", "O": "[0O]", "1": "[1I]", "I": "[1I]"}
_HINT = "wildcards and expressions need google-re2: pip install 'edge-alpr[hotlists]'"


class Patterns:
    """The patterns of a list; those that cannot be used are `faults`. A whole text must match."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.faults: list[Fault] = []
        self.entries: list[Entry] = []
        self._sets: list[Any] = []
        if entries:
            self._build(entries)

    def _build(self, entries: Sequence[Entry]) -> None:
        try:
            import re2  # noqa: PLC0415 - only where there is a pattern
        except ImportError:
            self.faults.append(Fault(entries[0].line, _HINT))
            return
        options = re2.Options()
        options.max_mem, options.log_errors, options.never_capture = _MEMORY, False, True
        good = []
        for entry in entries:
            try:
                re2.compile(expression(entry), options)
            except (re2.error, UnicodeError) as error:
                self.faults.append(Fault(entry.line, f"not an expression that RE2 takes: {_said(error)}"))
            else:
                good.append(entry)
        for start in range(0, len(good), _TOGETHER):
            together = re2.Set.FullMatchSet(options)
            for entry in good[start : start + _TOGETHER]:
                together.Add(expression(entry))
            together.Compile()
            self._sets.append(together)
        self.entries = good

    def __len__(self) -> int:
        return len(self.entries)

    def chances(self, candidates: Sequence[Candidate]) -> dict[int, float]:
        """By the number of the pattern, the probability that the plate is one that it means."""
        chances: dict[int, float] = {}
        for candidate in candidates:
            for number in {*self._hit(candidate.plate), *self._hit(canonical(candidate.plate))}:
                chances[number] = min(1.0, chances.get(number, 0.0) + candidate.score)
        return chances

    def _hit(self, text: str) -> list[int]:
        found = enumerate(self._sets)
        return [place * _TOGETHER + number for place, together in found for number in together.Match(text) or ()]


def expression(entry: Entry) -> str:
    """The regular expression of an entry."""
    if entry.kind == "regex":
        return entry.text
    return "".join(_WILD.get(char, char) for char in entry.text)


def _said(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return (text.decode(errors="replace") if isinstance(text, bytes) else str(text))[:80]
