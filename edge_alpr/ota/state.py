"""What the agent must remember over a power cut, and how it changes. Pure; `ledger` keeps it on the disk.

What runs is never told from here: the boot loader knows the side, links know the versions of models and lists. The
state says what was being done, so that it is gone on with, and why something came back, so that it is told.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from edge_alpr.errors import UpdateError
from edge_alpr.ota.types import Target

FORMAT = 1
MOST_FAILED = 50
"""Versions that are remembered as failed; the oldest are forgotten."""
MOST_BOOTS = 3
"""Boots on trial without a verdict; then it goes back."""
MOST_TRIES = 5
"""Tries to install what the file itself is not to blame for; then it is given up."""
Stage: TypeAlias = Literal["available", "downloaded", "writing", "written", "trial", "switching", "returning"]
"""Of an image: it is being written, it is written and primary, it runs on trial. Of a model set: `trial` beside the
old one, `switching` to it, then `written` and watched. Of both: it is `returning` to what was before."""
Ending: TypeAlias = Literal["good", "back", "refused"]


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """An update that is under way."""

    target: Target
    stage: Stage = "available"
    since_s: float = 0.0
    """Wall clock at which the stage began."""
    boots: int = 0
    """Boots on trial so far, and the last boot that was counted, by its id."""
    boot: str = ""
    slices: int = 0
    """Of a model set in use: how often it was found at work; see `World.watch`."""
    tries: int = 0
    """How often installing it failed."""
    side: str = ""
    """Of an image: where it is written."""
    before: str = ""
    """Of models and lists: the version before it; empty: what ships with the image, or none."""
    why: str = ""
    """Why it is returning."""
    asked: bool = False
    """Somebody wants it back: that side is not bad."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A version that did not do. `barred`: it is not tried again."""

    unit: str
    version: str
    sha256: str
    why: str
    barred: bool = True


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the last update of a unit."""

    unit: str
    version: str
    result: Ending
    why: str = ""
    at_s: float = 0.0


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered. `previous`: versions to go back to; `proven`: by sides, the version proven there; `ran`:
    by sides, the version that ran there when the other was written, proven or not."""

    format: int = FORMAT
    pending: dict[str, Pending] = {}
    previous: dict[str, str] = {}
    proven: dict[str, str] = {}
    ran: dict[str, str] = {}
    failed: tuple[Failure, ...] = ()
    results: dict[str, Result] = {}


def encode(state: State) -> bytes:
    """As it lies on the disk."""
    return msgspec.json.format(msgspec.json.encode(state), indent=1)


def decode(data: bytes) -> State:
    """Raises `UpdateError` where it is none that this version knows."""
    try:
        state = msgspec.json.decode(data, type=State)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpdateError(f"the state of updates is damaged: {error}") from error
    if state.format != FORMAT:
        raise UpdateError(f"the state of updates has format {state.format}, known is {FORMAT}")
    return state


def lost_target(unit: str, version: str) -> Target:
    """Of a version that runs, and that nobody remembers the file of."""
    return Target(path="", unit=unit, version=version, length=0, sha256="")


def begun(state: State, target: Target, now_s: float) -> State:
    """An update is to be had; it takes the place of another one of its unit."""
    return _with(state, Pending(target=target, since_s=now_s))


def moved(state: State, unit: str, stage: Stage, now_s: float, before: str | None = None) -> State:
    """The update of a unit has come to a stage."""
    old = state.pending[unit]
    fresh = {"boots": 0, "boot": "", "slices": 0} if stage != old.stage else {}
    change = {"before": before} if before is not None else {}
    return _with(state, msgspec.structs.replace(old, stage=stage, since_s=now_s, **fresh, **change))


def booted(state: State, unit: str, boot: str) -> State:
    """Count a boot on trial, once."""
    old = state.pending[unit]
    if old.boot == boot:
        return state
    return _with(state, msgspec.structs.replace(old, boots=old.boots + 1, boot=boot))


def watched(state: State, unit: str) -> State:
    """It was found at work once more. Short drives add up, and are no crash loop."""
    old = state.pending[unit]
    return _with(state, msgspec.structs.replace(old, slices=old.slices + 1, boots=0))


def writing(state: State, side: str, running: tuple[str, str], now_s: float) -> State:
    """An image is going to be written to a side: it is proven no more. `running`: the other one, and its version."""
    proven = {name: version for name, version in state.proven.items() if name != side}
    pending = msgspec.structs.replace(state.pending["image"], side=side)
    state = msgspec.structs.replace(_with(state, pending), proven=proven, ran=dict([running]))
    return moved(state, "image", "writing", now_s)


def image_is_late(state: State) -> bool:
    """Whether an image is being written, waits for its boot, is on trial or goes back."""
    pending = state.pending.get("image")
    return pending is not None and pending.stage not in ("available", "downloaded")


def on_trial(state: State, target: Target, side: str, now_s: float) -> State:
    """The side that runs is on trial; also where nobody remembers that it was written."""
    old = state.pending.get(target.unit)
    kept = old if old and old.side == side else Pending(target=target)
    state = _with(state, msgspec.structs.replace(kept, side=side))
    return state if kept.stage == "trial" else moved(state, target.unit, "trial", now_s)


def proven(state: State, side: str, version: str) -> State:
    """That version is proven on that side."""
    return msgspec.structs.replace(state, proven={**state.proven, side: version})


def stumbled(state: State, unit: str) -> State:
    """Installing it failed once more."""
    old = state.pending[unit]
    return _with(state, msgspec.structs.replace(old, tries=old.tries + 1))


def returning(state: State, unit: str, why: str, asked: bool = False) -> State:
    """It is going back, for that reason."""
    old = state.pending[unit]
    return _with(state, msgspec.structs.replace(old, stage="returning", why=why, asked=asked))


def ended(state: State, unit: str, ending: Ending, why: str, now_s: float) -> State:
    """An update is over. One that did not do is not tried again; one without a verdict is, once."""
    pending = {name: one for name, one in state.pending.items() if name != unit}
    target = state.pending[unit].target
    result = Result(unit=unit, version=target.version, result=ending, why=why, at_s=now_s)
    state = msgspec.structs.replace(state, pending=pending, results={**state.results, unit: result})
    return state if ending == "good" else _failed(state, target, why)


def switched(state: State, unit: str, before: str) -> State:
    """The version before this one is what to go back to."""
    return msgspec.structs.replace(state, previous={**state.previous, unit: before})


def refused(state: State, target: Target, why: str, now_s: float) -> State:
    """It is not even begun. That is no failure: what stands against it may change."""
    result = Result(unit=target.unit, version=target.version, result="refused", why=why, at_s=now_s)
    old = state.results.get(target.unit)
    if old and msgspec.structs.replace(old, at_s=now_s) == result:
        return state
    return msgspec.structs.replace(state, results={**state.results, target.unit: result})


def dropped(state: State, unit: str) -> State:
    """It is not wanted any more."""
    pending = {name: one for name, one in state.pending.items() if name != unit}
    return msgspec.structs.replace(state, pending=pending)


def barred(state: State, target: Target) -> str:
    """Why a target is not tried again; empty where it may be."""
    found = [one.why for one in state.failed if one.barred and _same(one, target)]
    return found[-1] if found else ""


NO_VERDICT = f"{MOST_BOOTS} boots without a verdict"
DAMAGED, GIVEN_UP = "damaged on the disk: ", "the boot loader gave it up"
UNSURE = "not told for sure: "
SECOND_CHANCE = (NO_VERDICT, DAMAGED, GIVEN_UP, UNSURE)
"""Beginnings of reasons that may be another's fault, as where the ignition was cut again and again."""


def _failed(state: State, target: Target, why: str) -> State:
    again = any(_same(one, target) for one in state.failed)
    one = Failure(unit=target.unit, version=target.version, sha256=target.sha256, why=why,
                  barred=again or not why.startswith(SECOND_CHANCE))  # fmt: skip
    others = tuple(other for other in state.failed if not _same(other, target))
    return msgspec.structs.replace(state, failed=(*others, one)[-MOST_FAILED:])


def _same(failure: Failure, target: Target) -> bool:
    """Of a version that nobody remembers the file of, the version tells."""
    hashes = {failure.sha256, target.sha256}
    return (failure.unit, failure.version) == (target.unit, target.version) and (len(hashes) == 1 or "" in hashes)


def _with(state: State, pending: Pending) -> State:
    return msgspec.structs.replace(state, pending={**state.pending, pending.target.unit: pending})
