"""Attacks on the way from the servers to the car. Each is refused with its own reason, and leaves nothing behind.

`python tests/test_ota_attacks.py` tries all of them and tells how many there were, and how many were accepted.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from ota_server import (
    Fault,
    Fleet,
    Handler,
    Server,
    TufRepo,
    changed,
    copy_of,
    cut,
    drip,
    endless,
    in_days,
    instead,
    put_back,
    redirect,
    serve,
    silent,
    status,
)
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from edge_alpr.errors import UpdateError, UpdateRefusedError, UpdateSpaceError, UpdateUnreachableError
from edge_alpr.ota.fetch_pace import Link
from edge_alpr.ota.repository import TufRepositories
from edge_alpr.ota.types import Car

CAR = Car("car-1", "orin-nano", {"image": "1.0", "models": "1.0"})
OLD, NEW = b"the models of 1.0 " * 9999, b"the models of 2.0 " * 9999
OLD_PATH = "models/models-1.0.tar"
SIDES = ("director", "image")
IMPATIENT = {"silence_s": 0.4, "answer_s": 0.9, "window_s": 0.3, "slowest_bytes_s": 100_000}


@dataclass
class World:
    """A car that runs 1.0 and has seen the servers once; since then 2.0 was published."""

    fleet: Fleet
    server: Server
    folder: Path
    link: dict[str, Any] = field(default_factory=dict)
    now_s: Callable[[], float] = time.time
    heir: Fleet | None = None
    """Who goes on publishing, where the attack changed the keys as their owner may."""

    @property
    def prize(self) -> Path:
        return self.folder / "downloads" / "models.tar"

    def car(self) -> TufRepositories:
        link = Link(self.server.url, **{"tries": 1, "pause_s": 0.01, "reserve_bytes": 0, **self.link})
        return TufRepositories(link, self.folder / "roots", self.folder / "tuf", now_s=self.now_s)

    def update(self) -> tuple[str, ...]:
        """All that a car does for an update. Returns why targets were passed over."""
        car = self.car()
        for target in car.wanted(CAR):
            if target.version != CAR.running["models"]:
                car.download(target, self.prize, lambda *_: None)
        return car.passed_over

    def trusted(self) -> dict[str, int]:
        """The versions of what the car trusts, all of it signed by who may."""
        found = {}
        for side in SIDES:
            folder = self.folder / "tuf" / side
            roots = [Metadata.from_bytes(file.read_bytes()) for file in (folder / "root_history").iterdir()]
            for role in ("root", "timestamp", "snapshot", "targets"):
                one: Metadata[Any] = Metadata.from_bytes((folder / f"{role}.json").read_bytes())
                one_of = [root.signed.get_verification_result(role, one.signed_bytes, one.signatures) for root in roots]
                assert any(one_of)
                found[f"{side} {role}"] = one.signed.version
            assert not list(folder.glob("tmp*"))
        return found


@cache
def before_all() -> tuple[Fleet, tempfile.TemporaryDirectory[str]]:
    """A fleet with 1.0, and a car that has seen it: each attack begins with a copy."""
    folder = tempfile.TemporaryDirectory()
    fleet = Fleet(Path(folder.name) / "fleet")
    fleet.ship_roots(Path(folder.name) / "roots")
    fleet.release("1.0", OLD)
    with serve(fleet.folder) as server:
        World(fleet, server, Path(folder.name)).update()
    return fleet, folder


@contextmanager
def world(folder: Path) -> Iterator[World]:
    fleet, source = before_all()
    shutil.copytree(source.name, folder, symlinks=True, dirs_exist_ok=True)
    with serve(folder / "fleet") as server:
        yield World(fleet.twin(folder / "fleet"), server, folder)


Begin = Callable[[World, Fleet], None]


@dataclass(frozen=True)
class Attack:
    """`begin` is done by somebody with the keys that it needs. `error` None: passed over, as `text` tells."""

    error: type[UpdateError] | None
    text: str
    begin: Begin


Attacks = Mapping[str, Attack]


def repo_of(fleet: Fleet, side: str) -> TufRepo:
    return fleet.director if side == "director" else fleet.image


def strangers(count: int) -> list[CryptoSigner]:
    return [CryptoSigner.generate_ed25519() for _ in range(count)]


def served(side: str, name: str, fault: Fault) -> Begin:
    """A server that does this to a file of a repository."""

    def begin(world: World, _: Fleet) -> None:
        world.server.faults[f"{side}/{name}"] = fault

    return begin


def impatient(begin: Begin) -> Begin:
    """A car that waits for nothing long, so that the test does not."""

    def patience(world: World, evil: Fleet) -> None:
        world.link = IMPATIENT
        begin(world, evil)

    return patience


def slowly(side: str, role: str, fault: Fault) -> Begin:
    return impatient(served(side, f"metadata/{FILES[role]}", fault))


def signed_by_others(side: str, role: str) -> Begin:
    def begin(_: World, evil: Fleet) -> None:
        if role == "root":
            repo_of(evil, side).rotate("timestamp", strangers(3))
        repo_of(evil, side).publish(signers={role: strangers(2)})

    return begin


def expired(side: str, role: str) -> Begin:
    """What its owner signed is old by now."""

    def begin(world: World, evil: Fleet) -> None:
        if role == "root":
            repo_of(evil, side).rotate("snapshot", days=-1)
            world.heir = evil
        repo_of(evil, side).publish(days={role: -1})

    return begin


def tampered(data: bytes) -> bytes:
    """What was signed says something else now."""
    content = json.loads(data)
    content["signed"]["expires"] = in_days(3650).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(content).encode()


def signed_twice_by_one(data: bytes) -> bytes:
    """The threshold of two is to be met by the same signature twice."""
    content = json.loads(data)
    content["signatures"] = content["signatures"][:1] * 2
    return json.dumps(content).encode()


def signed_by_one(data: bytes) -> bytes:
    content = json.loads(data)
    content["signatures"] = content["signatures"][:1]
    return json.dumps(content).encode()


def frozen(world: World, evil: Fleet) -> None:
    """The server stays with what the car took long ago."""
    evil.director.publish(days={"timestamp": -1})
    for role in ("timestamp", "snapshot", "targets"):
        name = "timestamp.json" if role == "timestamp" else f"{evil.director.roles[role].signed.version}.{role}.json"
        taken = (evil.director.folder / "metadata" / name).read_bytes()
        (world.folder / "tuf" / "director" / f"{role}.json").write_bytes(taken)


def replayed(side: str, *roles: str) -> Begin:
    """Metadata of before 2.0 under the names that are asked for now."""

    def begin(_: World, evil: Fleet) -> None:
        repo = repo_of(evil, side)
        for role in roles:
            version = repo.roles[role].signed.version
            old = (repo.folder / "metadata" / f"{version - 1}.{role}.json").read_bytes()
            (repo.folder / "metadata" / f"{version}.{role}.json").write_bytes(old)

    return begin


def older_timestamp(side: str) -> Begin:
    def begin(world: World, evil: Fleet) -> None:
        repo = repo_of(evil, side)
        old = copy_of(repo)
        world.fleet.publish()
        world.car().wanted(CAR)
        put_back(repo, old)

    return begin


def rolled_back(side: str, role: str) -> Begin:
    """Who has the online keys signs a newer timestamp (and snapshot) for what is older."""

    def begin(world: World, evil: Fleet) -> None:
        world.car().wanted(CAR)
        repo = repo_of(evil, side)
        repo.roles[role].signed.version -= 1
        if role == "targets":
            repo.publish(["snapshot", "timestamp"])
        else:
            repo.publish(["timestamp"])

    return begin


def dropped_from_snapshot(world: World, evil: Fleet) -> None:
    world.car().wanted(CAR)
    evil.director.publish(["snapshot", "timestamp"])
    snapshot = evil.director.roles["snapshot"]
    snapshot.signed.meta = {"other.json": snapshot.signed.meta["targets.json"]}
    snapshot.signatures.clear()
    snapshot.sign(evil.director.keys["snapshot"][0])
    (evil.director.folder / "metadata" / f"{snapshot.signed.version}.snapshot.json").write_bytes(snapshot.to_bytes())


def swapped(world: World, _: Fleet) -> None:
    """The image repository is served as the director too."""
    put_back(world.fleet.director, copy_of(world.fleet.image))


def director_says(data: bytes = NEW, path: str = "models/models-2.0.tar", **custom: Any) -> Begin:
    """Who has the director's keys, and not the image repository's, says something of his own."""

    def begin(_: World, evil: Fleet) -> None:
        known = {"unit": "models", "version": "2.0", "boards": [], "needs": "", "rollout": "all", "share": "1"}
        evil.director.put(path, data, {**known, **custom}, files=False)
        evil.director.publish()

    return begin


def other_board(_: World, evil: Fleet) -> None:
    """The director sends what the image repository has for another board."""
    evil.release("3.0", NEW, boards=["thor"])
    director_says(path="models/models-3.0.tar", version="3.0", boards=["orin-nano"])(_, evil)


def released(version: str = "3.0", path: str = "", **custom: Any) -> Begin:
    """Both repositories say so."""

    def begin(_: World, evil: Fleet) -> None:
        for repo in evil.both:
            repo.roles["targets"].signed.targets.clear()
        evil.release(version, NEW, path=path, **custom)

    return begin


def rotated(signers: Callable[[TufRepo], list[CryptoSigner]], skip: int = 0) -> Begin:
    """A new root of the director, signed by these."""

    def begin(_: World, evil: Fleet) -> None:
        repo = evil.director
        by = signers(repo)
        repo.rotate("root", by)
        if skip:
            repo.roles["root"].signed.version += skip
            repo.write_root([*by, *repo.keys["root"]])
            (repo.folder / "metadata" / f"{2 + skip}.root.json").replace(repo.folder / "metadata" / "2.root.json")

    return begin


def other_part(handler: Handler, data: bytes) -> None:
    """Another part than was asked for."""
    handler.head(206, 10, {"Content-Range": f"bytes 7-16/{len(data)}"})
    handler.body(data[7:17])


def zipped(handler: Handler, data: bytes) -> None:
    """A small answer that would unpack to something large."""
    bomb = gzip.compress(b" " * (8 << 20))
    handler.head(200, len(bomb), {"Content-Encoding": "gzip"})
    handler.body(bomb)


def disk_full(world: World, _: Fleet) -> None:
    world.prize.parent.mkdir()
    world.prize.with_name("models.tar.part").symlink_to("/dev/full")


def crowded(world: World, _: Fleet) -> None:
    world.link = {"reserve_bytes": 1 << 60}


def at(now_s: float) -> Begin:
    def begin(world: World, _: Fleet) -> None:
        world.now_s = lambda: now_s

    return begin


ROLES, SIGNED = ("root", "timestamp", "snapshot", "targets"), ("timestamp", "snapshot", "targets")
FILES = dict(zip(ROLES, ("2.root.json", "timestamp.json", "*.snapshot.json", "*.targets.json"), strict=True))
NO_METADATA, WRONG_KEYS = "it is no TUF metadata", "too few of the right keys signed it"
EXPIRED, VERSION, LENGTH = "it has expired", "its version does not fit", "bytes long that were signed"

refused, away = partial(Attack, UpdateRefusedError), partial(Attack, UpdateUnreachableError)
full, over = partial(Attack, UpdateSpaceError), partial(Attack, None)


def of_target(fault: Fault) -> Begin:
    return served("image", "targets/models/*", fault)


def of_all(what: str, attack: Callable[[str, str], Attack], roles: Sequence[str] = ROLES) -> Attacks:
    """An attack for each role of both repositories."""
    return {f"{side} {role} {what}": attack(side, role) for side in SIDES for role in roles}


def of_file(what: str, make: Callable[[Begin], Attack], fault: Fault, roles: Sequence[str] = ROLES) -> Attacks:
    """The same done to the file of each role of both repositories."""
    return of_all(what, lambda side, role: make(served(side, f"metadata/{FILES[role]}", fault)), roles)


def of_sides(what: str, attack: Callable[[str], Attack]) -> Attacks:
    return {f"{side} {what}": attack(side) for side in SIDES}


ATTACKS: Attacks = {
    "target changed": refused("is not what was signed", of_target(changed(lambda data: data[:-1] + b"!"))),
    "target of another version": refused("is not what was signed", of_target(changed(lambda data: OLD[: len(data)]))),
    "target longer": refused(LENGTH, of_target(changed(lambda data: data + b"!"))),
    "target shorter": refused(LENGTH, of_target(changed(lambda data: data[:-1]))),
    "target empty": refused(LENGTH, of_target(instead(b""))),
    "target endless": refused("more comes than", of_target(endless())),
    "target in another part": refused("another part than was asked for", of_target(other_part)),
    "target redirected": refused("never followed", of_target(redirect("https://evil.example/x"))),
    "target cut": away("bytes early", of_target(cut(1000, 99))),
    "target drips": away("too slow", impatient(of_target(drip(10, 0.1)))),
    "target's head drips": away("no whole answer", impatient(of_target(drip(1, 0.1, head_only=True)))),
    "target silent": away("timed out", impatient(of_target(silent()))),
    "target not there": away("HTTP 404", of_target(status(404))),
    "target forbidden": away("HTTP 403", of_target(status(403))),
    "target's server fails": away("HTTP 500", of_target(status(500))),
    "no room for it": full("MB free", crowded),
    "disk full": full("the data partition is full", disk_full),
    "server of another repository": refused(WRONG_KEYS, swapped),
    "frozen until it expires": refused(EXPIRED, frozen),
    "role dropped": refused("it does not fit the rest", dropped_from_snapshot),
    "unknown to the image repository": refused("does not know it", director_says(path="models/evil.tar")),
    "another file than the image repository's": refused("another length or hash", director_says(b"evil")),
    "old file relabelled": refused("knows it as models 1.0", director_says(OLD, OLD_PATH, version="9.0")),
    "models relabelled as image": refused("knows it as models 2.0", director_says(unit="image")),
    "board of the director only": refused("has it for thor only", other_board),
    "list with a path for a name": refused("is no name", director_says(unit="list/..")),
    "version with a path": refused("custom is malformed", director_says(version="2.0/../..")),
    "path that climbs": refused("is no name", released(path="models/../../etc/passwd", files=False)),
    "path from the root": refused("is no name", released(path="/etc/passwd", files=False)),
    "custom without a share": refused("custom is malformed", director_says(share=None)),
    "share above all": refused("custom is malformed", director_says(share="7")),
    "share that is no number": refused("custom is malformed", director_says(share="nan")),
    "version that is none": refused("custom is malformed", director_says(version="new!")),
    "boards that are no list": refused("custom is malformed", director_says(boards="orin-nano")),
    "older version": over("0.9 is older than 1.0, which runs", released("0.9")),
    "for another board": over("it is for thor, this is orin-nano", released(boards=["thor"])),
    "needs a newer image": over("it needs image 7.0, this car runs 1.0", released(needs="7.0")),
    "not this car's turn": over("has not come to this car yet", released(share="0")),
    "unit of the future": over("knows no unit 'radio'", released(unit="radio")),
    "root signed by strangers": refused(WRONG_KEYS, rotated(lambda _: strangers(3))),
    "root signed by one old key": refused(WRONG_KEYS, rotated(lambda repo: repo.keys["root"][:1])),
    "root not signed by itself": refused(WRONG_KEYS, rotated(lambda repo: repo.keys["root"])),
    "root that skips a version": refused(VERSION, rotated(lambda repo: repo.keys["root"], skip=1)),
    "clock in 1970": away("the clock is not set yet: it says 1970-01-01", at(0.0)),
    "clock a day late": away("the servers were seen on", at(time.time() - 86400)),
    **of_all("by other keys", lambda side, role: refused(WRONG_KEYS, signed_by_others(side, role))),
    **of_all("expired", lambda side, role: refused(EXPIRED, expired(side, role))),
    **of_all("rolled back", lambda side, role: refused(VERSION, rolled_back(side, role)), ("snapshot", "targets")),
    **of_file("garbage", partial(refused, NO_METADATA), instead(b"<html>log in</html>")),
    **of_file("nested", partial(refused, NO_METADATA), instead(b"[" * 16000)),
    **of_file("zipped", partial(refused, NO_METADATA), zipped),
    **of_file("endless", partial(refused, "endless data"), endless()),
    **of_file("redirected", partial(refused, "never followed"), redirect("/elsewhere")),
    **of_file("tampered", partial(refused, WRONG_KEYS), changed(tampered), SIGNED),
    **of_file("signed by one of two", partial(refused, WRONG_KEYS), changed(signed_by_one), ("targets",)),
    **of_file("signed twice by one", partial(refused, NO_METADATA), changed(signed_twice_by_one), ("targets",)),
    **of_file("cut", partial(away, "bytes early"), cut(100, 99), SIGNED),
    **of_file("not there", partial(away, "HTTP 404"), status(404), SIGNED),
    **of_file("server fails", partial(away, "HTTP 503"), status(503)),
    **of_all("silent", lambda side, role: away("timed out", slowly(side, role, silent()))),
    **of_all("drips", lambda side, role: away("too slow", slowly(side, role, drip(1, 0.1))), SIGNED),
    **of_sides("older timestamp", lambda side: refused(VERSION, older_timestamp(side))),
    **of_sides("older snapshot", lambda side: refused(VERSION, replayed(side, "snapshot"))),
    **of_sides("older targets", lambda side: refused(VERSION, replayed(side, "targets"))),
    **of_sides("older snapshot and targets", lambda side: refused(VERSION, replayed(side, "snapshot", "targets"))),
}


def met(made: World, attack: Attack) -> tuple[UpdateError | None, tuple[str, ...]]:
    """Attack the way to 2.0. Returns the error that the car meets, and what it passes over."""
    attack.begin(made, made.fleet.twin())
    try:
        return None, made.update()
    except UpdateError as error:
        return error, ()


def recover(made: World, honest: list[dict[str, bytes]]) -> None:
    """The attack is over: the same car comes to 2.0."""
    made.server.faults.clear()
    made.link, made.now_s, fleet = {}, time.time, made.heir or made.fleet
    if made.heir is None:
        for repo, files in zip(fleet.both, honest, strict=True):
            put_back(repo, files)
    else:
        for repo in fleet.both:
            repo.rotate("snapshot")
    for _ in range(3):  # its versions must be above the attacker's
        fleet.publish()
    made.update()
    assert made.prize.read_bytes() == NEW


@pytest.fixture(autouse=True)
def _no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut here, and syncing is most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_forgotten(name: str, tmp_path: Path):
    attack = ATTACKS[name]
    with world(tmp_path) as made:
        before = made.trusted()
        made.fleet.release("2.0", NEW)
        honest = [copy_of(repo) for repo in made.fleet.both]

        error, passed_over = met(made, attack)

        assert type(error) is (attack.error or type(None)), error
        assert attack.text in (str(error) if error else "\n".join(passed_over))
        assert not made.prize.exists()
        assert all(version >= before[what] for what, version in made.trusted().items())
        recover(made, honest)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", *sys.argv[1:]]))
