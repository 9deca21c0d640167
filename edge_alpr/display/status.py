"""How the drive is, in the words of the screen. Pure: facts in, what to show out."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from edge_alpr.config import GovernorConfig
from edge_alpr.ops.heartbeat import Heartbeat

ENOUGH_FPS = GovernorConfig().enough_fps
"""What a faster camera drops beyond so many frames a second is no loss."""

Grade: TypeAlias = Literal["ok", "warn", "fail"]
HOT_C = 85.0
LOW_DISK_GB, NO_DISK_GB = 2.0, 0.1
SILENT_S = 5.0
"""A live picture that is older is none."""
_ORDER = {"fail": 0, "warn": 1, "ok": 2}


class ListFacts(msgspec.Struct, frozen=True):
    """A hot list; `trouble` is why its newest version is not in use, `refused` that none of it is."""

    name: str
    age_s: float
    stale: bool = False
    trouble: str = ""
    refused: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at a moment; None: not known."""

    driving: bool
    """Whether a process writes the store."""
    trouble: str = ""
    """Why the store cannot be read."""
    beat: Heartbeat | None = None
    beat_age_s: float = 0.0
    beat_every_s: float = 60.0
    looked: bool = False
    """Whether anybody looks, so that live pictures are to come."""
    live_age_s: float | None = None
    """Of the newest live picture; None: none is made, or not yet."""
    live_fps: float | None = None
    free_gb: float | None = None
    network: bool | None = None
    lists: tuple[ListFacts, ...] = ()


class Item(msgspec.Struct, frozen=True):
    """One thing of the status line: short, and in words."""

    grade: Grade
    name: str
    short: str
    long: str


class Status(msgspec.Struct, frozen=True):
    """The status line. `headline` is what a driver must know now, `advice` what to do about it."""

    grade: Grade
    headline: str
    advice: str
    items: tuple[Item, ...]
    blind: bool = False
    """No plate is read at all."""


def status(facts: Facts) -> Status:
    """What the status line says; the items in the order of their gravity."""
    failure = _failure(facts)
    beat = facts.beat if facts.driving and not _silent(facts) else None
    items = [*_cameras(beat, facts), *_pace(beat), *_heat(beat), *_disk(facts), *_network(facts), *_lists(facts)]
    items.sort(key=lambda item: _ORDER[item.grade])
    if failure:
        return Status("fail", *failure, tuple(items), blind=True)
    if facts.looked and beat is None and facts.live_age_s is None:
        items.insert(0, Item("warn", "camera", "waiting", "Waiting for the first picture"))
    worst: Grade = min((item.grade for item in items), key=_ORDER.__getitem__, default="ok")
    if worst == "ok":
        return Status("ok", "Reading", "", tuple(items))
    return Status(worst, items[0].long, "", tuple(items))


def _silent(facts: Facts) -> bool:
    return facts.beat is not None and facts.beat.running and facts.beat_age_s > 2 * facts.beat_every_s + SILENT_S


def _failure(facts: Facts) -> tuple[str, str] | None:
    """What keeps plates from being read, and what to do."""
    beat = facts.beat
    if facts.trouble:
        return "The events cannot be read", facts.trouble
    if not facts.driving:
        ended = beat.error if beat is not None and not beat.running else ""
        return "No drive is running", ended or "Plates are not being read. Start it: edge-alpr run"
    if _silent(facts) and (facts.live_age_s is None or facts.live_age_s > SILENT_S):
        return "The reader says nothing", f"No word of it for {_span(facts.beat_age_s)}. Start it again."
    if facts.live_age_s is not None and facts.live_age_s > SILENT_S:
        return "No picture from the camera", f"None for {_span(facts.live_age_s)}. Look at its cable."
    if facts.live_age_s is None and beat is not None and beat.running and not any(c.frames for c in beat.cameras):
        return "No picture from the camera", "The reader waits for it. Look at its cable."
    return None


def _cameras(beat: Heartbeat | None, facts: Facts) -> list[Item]:
    if beat is None or not beat.running:
        fps = facts.live_fps
        return [Item("ok", "camera", f"{fps:.0f} fps", f"{fps:.1f} frames a second are read")] if fps else []
    items = []
    for camera in beat.cameras:
        name = camera.camera_id if len(beat.cameras) > 1 else "camera"
        if camera.lost:
            items.append(Item("fail", name, "lost", f"Camera {camera.camera_id} is lost: {camera.lost}"))
        elif not camera.frames and (facts.live_age_s is None or facts.live_age_s > SILENT_S):
            items.append(Item("fail", name, "no picture", f"Camera {camera.camera_id} gives no picture"))
        else:
            fps = facts.live_fps if facts.live_fps and len(beat.cameras) == 1 else camera.fps
            items.append(Item("ok", name, f"{fps:.0f} fps", f"Camera {camera.camera_id}: {fps:.1f} frames a second"))
    return items


def _pace(beat: Heartbeat | None) -> list[Item]:
    if beat is None or not beat.running:
        return []
    if beat.keeping_up:
        return [Item("ok", "pace", "keeping up", "Every frame is read in full")]
    if beat.level is not None and beat.level.place:
        why = f" ({beat.level.reason})" if beat.level.reason else ""
        return [Item("warn", "pace", "doing less", f"Not keeping up: does less for each frame{why}")]
    if all(camera.fps >= ENOUGH_FPS for camera in beat.cameras):
        return [Item("ok", "pace", "keeping up", "Some frames are passed over, enough are read")]
    return [Item("warn", "pace", "drops frames", "Not keeping up: frames are dropped")]


def _heat(beat: Heartbeat | None) -> list[Item]:
    if beat is None or beat.board.celsius is None:
        return []
    celsius = beat.board.celsius
    grade: Grade = "warn" if celsius >= HOT_C else "ok"
    words = f"The board is {'too hot' if grade == 'warn' else 'at'}{':' if grade == 'warn' else ''} {celsius:.0f} °C"
    watts = "" if beat.board.watts is None else f", {beat.board.watts:.1f} W"
    return [Item(grade, "heat", f"{celsius:.0f} °C", words + watts)]


def _disk(facts: Facts) -> list[Item]:
    if facts.free_gb is None:
        return []
    free = facts.free_gb
    grade: Grade = "fail" if free < NO_DISK_GB else "warn" if free < LOW_DISK_GB else "ok"
    size = f"{free:.0f} GB" if free >= 10 else f"{free:.1f} GB"
    word = {"fail": "The disk is full", "warn": "The disk is nearly full", "ok": "Disk"}[grade]
    return [Item(grade, "disk", f"{size} free", f"{word}: {size} free")]


def _network(facts: Facts) -> list[Item]:
    if facts.network is None:
        return []
    short, long = ("online", "There is a network") if facts.network else ("offline", "No network; nothing is lost")
    return [Item("ok", "link", short, long)]


def _lists(facts: Facts) -> list[Item]:
    """Each list that is not as it should be, and one word for the others."""
    items = [Item("warn", "list", f"{one.name} {_trouble(one)[0]}", f"List {one.name} is {_trouble(one)[1]}")
             for one in facts.lists if one.trouble or one.stale]  # fmt: skip
    good = [one for one in facts.lists if not (one.trouble or one.stale)]
    if good:
        ages = ", ".join(f"{one.name} {_span(one.age_s)} old" for one in good)
        oldest = _span(max(one.age_s for one in good))
        short = f"list {oldest} old" if len(good) == 1 else f"{len(good)} lists, {oldest} old"
        items.append(Item("ok", "list", short, f"{'List' if len(good) == 1 else 'Lists'}: {ages}"))
    return items


def _trouble(one: ListFacts) -> tuple[str, str]:
    """Short, and in words."""
    if one.trouble:
        word = "not in use" if one.refused else "not renewed"
        return word, f"{word}: {one.trouble}"
    return "out of date", f"{_span(one.age_s)} old: out of date"


def _span(seconds: float) -> str:
    """A time in one unit, as one says it."""
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{int(seconds)} s"
