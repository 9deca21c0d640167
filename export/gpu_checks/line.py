"""What a check says: lines, each with its result and its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import msgspec

Result: TypeAlias = Literal["ok", "failed", "absent"]
"""`absent`: this machine lacks a part that the line needs; `why` names it."""
Figure: TypeAlias = int | float | str
Figures: TypeAlias = Mapping[str, Figure]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was checked."""

    check: str
    what: str
    result: Result
    figures: dict[str, Figure] = {}
    why: str = ""
    """Why it failed, or what is absent."""
    seconds: float = 0.0


class AbsentError(Exception):
    """A part of the machine that a line needs is not there."""


class WrongError(Exception):
    """What came out is not right. Its figures are told with it."""

    def __init__(self, why: str, figures: Figures) -> None:
        super().__init__(why)
        self.figures = dict(figures)


def attempt(check: str, what: str, work: Callable[[], Figures]) -> Line:
    """The line of one piece of work: whatever it raises is that line's, and the next piece goes on."""
    began = time.monotonic()
    result: Result = "ok"
    figures: Figures = {}
    why = ""
    try:
        figures = work()
    except AbsentError as absent:
        result, why = "absent", _one_line(absent)
    except WrongError as wrong:
        result, figures, why = "failed", wrong.figures, _one_line(wrong)
    except Exception as error:  # a check is there to find what nobody thought of
        result, why = "failed", f"{type(error).__name__}: {_one_line(error)}"
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    seconds = round(time.monotonic() - began, 2)
    return Line(check=check, what=what, result=result, figures=rounded, why=why, seconds=seconds)


def wrong_if(problems: Mapping[str, bool], figures: Figures) -> Figures:
    """The figures, where none of the problems is there. Raises `WrongError` naming those that are."""
    if found := [problem for problem, there in problems.items() if there]:
        raise WrongError("; ".join(found), figures)
    return figures


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
