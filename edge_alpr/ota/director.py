"""Which of the targets that the director tells of are for this car. Pure: what it judges has been verified before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from packaging.version import InvalidVersion, Version

from edge_alpr.errors import UpdateRefusedError
from edge_alpr.ota.types import IMAGE, LIST, MODELS, Car, Target, share_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
"""One part of a path, a version, the name of a list: safe in a URL and as a file's name."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A target as one repository's verified metadata tell of it. `custom` is as it came."""

    path: str
    length: int
    sha256: str
    custom: object


@dataclass(frozen=True, slots=True)
class Choice:
    """What the car is to run, at most one target a unit; and a line for each that is not for it, or not now."""

    targets: tuple[Target, ...]
    passed_over: tuple[str, ...]


class _Known(msgspec.Struct, frozen=True):
    """The image repository's `custom`. Other keys are no error: a car meets directors that are years newer."""

    unit: str
    version: Annotated[str, msgspec.Meta(min_length=1)]
    boards: tuple[str, ...] = ()
    needs: str = ""


class _Wish(_Known, frozen=True, kw_only=True):
    """The director's `custom`. `share` is 0 to 1, as text: signed JSON has no fractions. `back`: an older one too."""

    rollout: str
    share: str | float
    back: bool = False


_Custom = TypeVar("_Custom", bound=_Known)


def choose(director: Sequence[Entry], image: Sequence[Entry], car: Car) -> Choice:
    """The newest version of each unit that both repositories have for this car; it may be the one that runs.

    Raises `UpdateRefusedError` where one that is for this car is told wrongly, or differently by the two.
    """
    known = {entry.path: entry for entry in image}
    best: dict[str, Target] = {}
    passed_over: list[str] = []
    for told in director:
        wish = _read(_Wish, told, "director")
        reason = _elsewhere(told, wish, car)
        if not reason:
            target = _agreed(told, wish, known)
            reason = _not_now(target, car)
        if reason:
            passed_over.append(f"{told.path} is passed over: {reason}")
        elif target.unit not in best or _rank(best[target.unit]) < _rank(target):
            best[target.unit] = target
    return Choice(tuple(best[unit] for unit in sorted(best)), tuple(passed_over))


def _read(kind: type[_Custom], entry: Entry, side: str) -> _Custom:
    """An entry's `custom`, all of it well-formed."""
    try:
        custom = msgspec.convert(entry.custom, kind)
        Version(custom.version)
        Version(custom.needs or "0")
        if isinstance(custom, _Wish) and not 0 <= float(custom.share) <= 1:
            raise ValueError(f"a share of {custom.share}")
    except (ValueError, TypeError, InvalidVersion) as error:  # msgspec's errors are ValueErrors
        raise _refused(side, entry, f"its custom is malformed: {error}") from error
    names = [*entry.path.split("/"), custom.version, *custom.unit.split("/")]
    wrong = [name for name in names if ".." in name or not _NAME.fullmatch(name)]
    if wrong or not _SHA256.fullmatch(entry.sha256) or entry.length < 1:
        raise _refused(side, entry, f"{wrong[0]!r} is no name" if wrong else "no sha256 or length is told of it")
    return custom


def _elsewhere(told: Entry, wish: _Wish, car: Car) -> str:
    """Why the director does not mean this car; empty where it does."""
    if wish.unit not in (IMAGE, MODELS) and not (wish.unit.startswith(LIST) and wish.unit.count("/") == 1):
        return f"this version knows no unit {wish.unit!r}"
    if wish.boards and car.board not in wish.boards:
        return f"it is for {', '.join(wish.boards)}, this is {car.board}"
    if share_of(wish.rollout, car.device_id) >= float(wish.share):
        return f"roll-out {wish.rollout} has not come to this car yet"
    return ""


def _agreed(told: Entry, wish: _Wish, known: Mapping[str, Entry]) -> Target:
    """The target, where the image repository says the same of it: the director's key alone must not relabel a file."""
    twin = known.get(told.path)
    if twin is None:
        raise _refused("director", told, "the image repository does not know it")
    if (twin.length, twin.sha256) != (told.length, told.sha256):
        raise _refused("director", told, "the image repository has another length or hash for it")
    fact = _read(_Known, twin, "image")
    if (fact.unit, fact.version) != (wish.unit, wish.version):
        raise _refused("director", told, f"the image repository knows it as {fact.unit} {fact.version}")
    boards = tuple(board for board in wish.boards or fact.boards if not fact.boards or board in fact.boards)
    if not boards and (wish.boards or fact.boards):
        raise _refused("director", told, f"the image repository has it for {', '.join(fact.boards)} only")
    needs = max(wish.needs, fact.needs, key=lambda version: Version(version or "0"))
    return Target(told.path, wish.unit, wish.version, told.length, told.sha256, boards, needs, wish.rollout, wish.back)


def _not_now(target: Target, car: Car) -> str:
    """Why a target does not fit what the car is and runs; empty where it does."""
    running = _version(car.running.get(target.unit, ""))
    image = _version(car.running.get(IMAGE, ""))
    if target.boards and car.board not in target.boards:
        return f"it is for {', '.join(target.boards)}, this is {car.board}"
    if target.needs and (image is None or image < Version(target.needs)):
        return f"it needs image {target.needs}, this car runs {car.running.get(IMAGE) or 'an unknown one'}"
    if running is not None and Version(target.version) < running and not target.back:
        return f"{target.version} is older than {running}, which runs"
    return ""


def _version(text: str) -> Version | None:
    """What a car says that it runs may be no version, as in a developer's build."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _rank(target: Target) -> tuple[Version, str]:
    return Version(target.version), target.path


def _refused(side: str, entry: Entry, why: str) -> UpdateRefusedError:
    return UpdateRefusedError(f"{side} repository, target {entry.path[:200]!r}: {why}; nothing is taken")
