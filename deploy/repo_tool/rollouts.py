"""Roll-outs: which share of the fleet is to run which file. Pure; the director's metadata follows from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, structs
from tuf.api.metadata import TargetFile

from deploy.repo_tool.errors import RepoError
from edge_alpr.ota.types import share_of

BOARDS = ("orin-nano", "orin-nx", "agx-orin", "thor", "pc")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
Share = Annotated[float, Meta(ge=0, le=1)]
DIGITS = 6
"""Of a share after the point: one car in a million."""
RUNNING, PAUSED, WITHDRAWN = "running", "paused", "withdrawn"


class Change(Struct, frozen=True):
    """One line of a roll-out's history."""

    at: datetime
    what: str
    share: float
    boards: tuple[str, ...]
    why: str = ""


class Rollout(Struct, frozen=True, forbid_unknown_fields=True):
    """`share` of the cars on `boards` (empty: any) are to run the file `target`."""

    name: str
    target: str
    unit: str
    version: str
    share: Share
    boards: tuple[str, ...] = ()
    state: Literal["running", "paused", "withdrawn"] = "running"
    back: bool = False
    """Cars that run a newer version go back to this one."""
    history: tuple[Change, ...] = ()

    @property
    def share_told(self) -> float:
        """What the director says: while it is paused no car begins, and none goes back."""
        return self.share if self.state == RUNNING else 0.0

    def has(self, device_id: str) -> bool:
        """Whether a car stands within the share, paused or not."""
        return share_of(self.name, device_id) < self.share


Rollouts = Mapping[str, Rollout]


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    rollouts: tuple[Rollout, ...] = ()


def decode(data: bytes) -> dict[str, Rollout]:
    """Of `rollouts.json`. Raises `RepoError`."""
    try:
        return {one.name: one for one in msgspec.json.decode(data, type=_File).rollouts}
    except msgspec.MsgspecError as error:
        raise RepoError(f"rollouts.json: {error}") from error


def encode(rollouts: Rollouts) -> bytes:
    """For `rollouts.json`."""
    return msgspec.json.format(msgspec.json.encode(_File(tuple(rollouts.values()))), indent=2) + b"\n"


def check_boards(boards: Iterable[str]) -> tuple[str, ...]:
    """Raises `RepoError` for one that there is not."""
    chosen = tuple(dict.fromkeys(boards))
    for board in chosen:
        if board not in BOARDS:
            raise RepoError(f"no board is called '{board}'; there are {', '.join(BOARDS)}")
    return chosen


def begin(rollouts: Rollouts, wanted: Rollout, file: TargetFile | None, now: datetime) -> Rollout:
    """A new roll-out. `file` is its target in the image repository."""
    if not _NAME.fullmatch(wanted.name):
        raise RepoError(f"'{wanted.name}' is no name: small letters, digits, '.', '_', '-', at most 64")
    if wanted.name in rollouts:
        raise RepoError(f"there is a roll-out {wanted.name}; with another name other cars are the first ones")
    if file is None:
        raise RepoError(f"the image repository has no {wanted.target}; status lists what it has")
    for other in rollouts.values():
        if other.target == wanted.target and other.state != WITHDRAWN:
            raise RepoError(f"{other.name} rolls {other.target} out already; widen or withdraw that")
    custom = _custom(file)
    made_for = tuple(custom["boards"])
    boards = check_boards(wanted.boards) or made_for
    if made_for and not set(boards) <= set(made_for):
        raise RepoError(f"{wanted.target} is made for {', '.join(made_for)} only")
    what = {"unit": custom["unit"], "version": custom["version"], "boards": boards, "state": RUNNING}
    rollout = structs.replace(wanted, share=round(wanted.share, DIGITS), **what)
    return _changed(rollout, "start", now)


def widen(rollout: Rollout, share: float | None, boards: Iterable[str], now: datetime) -> Rollout:
    """More cars: a car that takes part goes on doing so."""
    if rollout.state != RUNNING:
        raise RepoError(f"{rollout.name} is {rollout.state}; only what runs can be widened")
    new_share = rollout.share if share is None else round(share, DIGITS)
    more = check_boards(boards)
    if new_share < rollout.share:
        raise RepoError(f"{rollout.name} has a share of {rollout.share:g} already; pause or withdraw it")
    if more and not rollout.boards:
        raise RepoError(f"{rollout.name} is for any board already")
    together = tuple(dict.fromkeys((*rollout.boards, *more)))
    return _changed(structs.replace(rollout, share=new_share, boards=together), "widen", now)


def pause(rollout: Rollout, why: str, now: datetime) -> Rollout:
    """No further car begins; those that run it go on running it."""
    if rollout.state != RUNNING:
        raise RepoError(f"{rollout.name} is {rollout.state} already")
    return _changed(structs.replace(rollout, state=PAUSED), "pause", now, why)


def resume(rollout: Rollout, now: datetime) -> Rollout:
    """At the share where it was paused."""
    if rollout.state != PAUSED:
        raise RepoError(f"{rollout.name} is {rollout.state}, not paused")
    return _changed(structs.replace(rollout, state=RUNNING), "resume", now)


def withdraw(rollout: Rollout, why: str, now: datetime) -> Rollout:
    """The director forgets it. For cars to go back, start one of the older file with `--back`."""
    if rollout.state == WITHDRAWN:
        raise RepoError(f"{rollout.name} is withdrawn already")
    return _changed(structs.replace(rollout, state=WITHDRAWN), "withdraw", now, why)


def director_files(rollouts: Rollouts, images: Mapping[str, TargetFile]) -> dict[str, TargetFile]:
    """What the director says: the image repository's files with their roll-out, and no others."""
    told = {}
    for rollout in rollouts.values():
        if rollout.state == WITHDRAWN:
            continue
        if rollout.target not in images:
            raise RepoError(f"{rollout.name}: the image repository has no {rollout.target} any more; withdraw it")
        file = images[rollout.target]
        custom = {**_custom(file), "boards": list(rollout.boards), "rollout": rollout.name}
        custom["share"] = f"{rollout.share_told:.{DIGITS}f}".rstrip("0").rstrip(".")  # canonical JSON has no fractions
        if rollout.back:
            custom["back"] = True
        told[file.path] = TargetFile(file.length, dict(file.hashes), file.path, {"custom": custom})
    return told


def _custom(file: TargetFile) -> dict[str, Any]:
    custom = file.custom
    if not isinstance(custom, dict):
        raise RepoError(f"{file.path}: the image repository does not say what it is")
    return dict(custom)


def _changed(rollout: Rollout, what: str, now: datetime, why: str = "") -> Rollout:
    change = Change(now, what, rollout.share, rollout.boards, why)
    return structs.replace(rollout, history=(*rollout.history, change))
