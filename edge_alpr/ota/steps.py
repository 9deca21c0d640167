"""Which targets are taken, and why others are not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from edge_alpr.ota.lists import list_name
from edge_alpr.ota.manifest import is_version
from edge_alpr.ota.state import Pending, State, barred, begun, dropped, refused
from edge_alpr.ota.types import IMAGE, MODELS, Car, Target

EARLY = ("available", "downloaded", "writing")
"""Stages at which an update may still be given up for another one."""


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of a target. `refused`: why it is not taken; `waits`: what it waits for; neither: it is taken."""

    target: Target
    refused: str = ""
    waits: str = ""
    runs: bool = False
    """It is what runs already."""

    @property
    def taken(self) -> bool:
        """Whether it is to be downloaded and installed, or is so far."""
        return not (self.refused or self.waits or self.runs)


Plan = Sequence[Step]


def plan(state: State, targets: Sequence[Target], car: Car) -> list[Step]:
    """What becomes of what the servers want."""
    return [_step(state, target, car) for target in sorted(targets, key=lambda one: one.unit)]


def planned(state: State, steps: Plan, now_s: float) -> State:
    """What is to be had is begun; what is not wanted any more, and not far, is given up; refusals are remembered."""
    wanted = {step.target.unit: step for step in steps if step.taken}
    for unit, pending in state.pending.items():
        if pending.stage in ("available", "downloaded") and unit not in wanted:
            state = dropped(state, unit)
    for step in steps:
        pending_ = state.pending.get(step.target.unit)
        if step.refused and not barred(state, step.target):  # of that one it is told already what came of it
            state = refused(state, step.target, step.refused, now_s)
        elif step.taken and (pending_ is None or not _same(pending_, step.target)):
            state = begun(state, step.target, now_s)
    return state


def _step(state: State, target: Target, car: Car) -> Step:
    running, pending = car.running.get(target.unit, ""), state.pending.get(target.unit)
    if why := _unfit(target, car):
        return Step(target, refused=why)
    if pending and _same(pending, target):
        return Step(target, waits="" if pending.stage in EARLY else "it is installed, and its verdict is still out")
    if pending and pending.stage not in EARLY:
        return Step(target, waits=f"{pending.target.version} is to be settled first")
    if running == target.version:
        return Step(target, runs=True)
    return Step(target, refused=_unwanted(state, target, running))


def _unwanted(state: State, target: Target, running: str) -> str:
    """Why it would be a step back; empty where it is none."""
    if why := barred(state, target):
        return f"it did not do here: {why}"
    if running and _is_older(target.version, running) and not target.back:
        return f"{target.version} is older than {running}, which runs; use `rollback` to go back"
    return ""


def _unfit(target: Target, car: Car) -> str:
    """Why it is not for this car at all; empty where it is."""
    if target.unit not in (IMAGE, MODELS) and not list_name(target.unit):
        return f"'{target.unit}' is no unit that this version knows"
    if target.boards and car.board not in target.boards:
        return f"it is for {', '.join(target.boards)}; this board is {car.board}"
    if not (_is_ordered(target.version) and is_version(target.version)):
        return f"'{target.version}' is no version such as 1.2.0"
    image = car.running.get(IMAGE, "")
    if target.needs and (not _is_ordered(target.needs) or not image or _is_older(image, target.needs)):
        return f"it needs image {target.needs}; {image or 'an unknown one'} runs"
    return ""


def _is_ordered(version: str) -> bool:
    try:
        Version(version)
    except InvalidVersion:
        return False
    return True


def _is_older(version: str, other: str) -> bool:
    """A version that is none is older than any."""
    if not _is_ordered(version) or not _is_ordered(other):
        return not _is_ordered(version)
    return Version(version) < Version(other)


def _same(pending: Pending, target: Target) -> bool:
    return (pending.target.version, pending.target.sha256) == (target.version, target.sha256)


