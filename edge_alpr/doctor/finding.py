"""What a probe says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_alpr.errors import EdgeAlprError

Status: TypeAlias = Literal["ok", "limited", "missing"]
"""`limited`: drives can be read, but not in every way. `missing`: they cannot, until it is mended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. `remedy` is a command or a step, empty where there is nothing to mend."""

    area: str
    status: Status
    what: str
    remedy: str = ""


def from_error(area: str, error: EdgeAlprError, status: Status = "missing") -> Finding:
    """Our errors say what is wrong and then, after a semicolon, what to do about it."""
    what, _, remedy = " ".join(str(error).split()).partition("; ")
    return Finding(area, status, what, remedy)
