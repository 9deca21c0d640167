"""Figures by name, and what they must keep: `p99=33ms,fps=30,rss=400MB`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_alpr.bench.meter import STAGES
from edge_alpr.bench.report import SHARES, Report
from edge_alpr.errors import ConfigError

Figures = Mapping[str, float | None]
_TIME = {"ms": 1.0, "us": 1e-3, "s": 1e3}
_SECONDS = {"s": 1.0, "ms": 1e-3}
_UNITS: Mapping[str, Mapping[str, float]] = {
    "fps": {"fps": 1.0},
    "dropped": {},
    "cpu": {"%": 1.0},
    "rss": {"MB": 1.0, "GB": 1e3, "MiB": 1.048576},
    "load": _SECONDS,
    "first_read": _SECONDS,
    "watts": {"W": 1.0, "mW": 1e-3},
    "celsius": {"C": 1.0, "°C": 1.0},
    "mj": {"mJ": 1.0, "J": 1e3},
    "found": {},
    "reads": {},
}
"""Figures that are no times of a stage: their units, the first one is that of the report."""
_AT_LEAST = frozenset({"fps", "found", "reads"})
_ITEM = re.compile(r"([a-z_.]+[0-9]*)\s*=\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%°]*)")


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound of one figure, in the unit of the report."""

    name: str
    value: float
    unit: str
    at_least: bool


def unit(name: str) -> str:
    """The unit in which the report states a figure; empty for a plain number."""
    return next(iter(_units(name)), "")


def figures(report: Report) -> Figures:
    """Every figure by name: those of a stage as `detect.p99`, those of the whole way also as plain `p99`."""
    found: dict[str, float | None] = {
        f"{name}.{share}": getattr(times, share) for name, times in report.stages.items() for share in SHARES
    }
    found |= {share: found.get(f"total.{share}") for share in SHARES}
    return found | {
        "fps": report.fps,
        "dropped": report.dropped,
        "cpu": report.cpu_percent,
        "rss": report.rss_mb,
        "load": report.load_s,
        "first_read": report.first_read_s,
        "watts": report.watts,
        "celsius": report.celsius,
        "mj": report.mj_per_frame,
        "found": report.found_per_frame,
        "reads": report.reads_per_frame,
    }


def parse_budget(text: str) -> list[Limit]:
    """Read a budget. Raises `ConfigError` naming the part that is wrong, and what could stand there."""
    return [_limit(part.strip()) for part in text.split(",")]


def missed(limits: Sequence[Limit], found: Figures) -> list[str]:
    """One line for each limit that was not kept; what is not available was not kept."""
    return [_said(limit, found.get(limit.name)) for limit in limits if not _kept(limit, found.get(limit.name))]


def _limit(part: str) -> Limit:
    item = _ITEM.fullmatch(part)
    if item is None:
        raise ConfigError(f"--budget: '{part}' is not NAME=NUMBER with a unit; e.g. p99=33ms,fps=30,rss=400MB")
    name, number, given = item[1], float(item[2]), item[3]
    units = _units(name)
    if given and given not in units:
        allowed = ", ".join(units) or "none"
        raise ConfigError(f"--budget: {name} is not measured in '{given}'; its units: {allowed}")
    return Limit(name, number * units.get(given, 1.0), unit(name), name in _AT_LEAST)


def _units(name: str) -> Mapping[str, float]:
    stage, _, share = name.rpartition(".")
    if share in SHARES and (stage in STAGES or not stage):
        return _TIME
    if name not in _UNITS:
        known = ", ".join([*SHARES, *_UNITS])
        raise ConfigError(f"--budget: '{name}' is not measured; known: {known}, and STAGE.p99 and so on of "
                          f"{', '.join(STAGES)}")  # fmt: skip
    return _UNITS[name]


def _kept(limit: Limit, value: float | None) -> bool:
    if value is None or math.isnan(value):
        return False
    return value >= limit.value if limit.at_least else value <= limit.value


def _said(limit: Limit, value: float | None) -> str:
    got = "not available" if value is None else f"{value:g}{limit.unit}"
    return f"{limit.name}: {got}, wanted {'at least' if limit.at_least else 'at most'} {limit.value:g}{limit.unit}"
