"""What a car trusts over the years: keys that change, power cuts, clocks that are not set, certificates."""

from __future__ import annotations

import errno
import os
import ssl
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from helpers_uplink import make_authority
from ota_server import ROLES, Fleet, Server, TufRepo, drip, in_days, serve

from edge_alpr.errors import UpdateError, UpdateRefusedError, UpdateSpaceError, UpdateUnreachableError
from edge_alpr.ota.fetch_pace import Link
from edge_alpr.ota.repository import TufRepositories
from edge_alpr.ota.repository_clock import Floor, check_clock, floor
from edge_alpr.ota.repository_errors import translated
from edge_alpr.ota.types import Car

CAR = Car("car-1", "orin-nano", {})
DATA = b"models" * 1000


class World:
    """A fleet, its server, and one car."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.fleet = Fleet(folder / "fleet")
        self.fleet.ship_roots(folder / "roots")
        self.now_s = time.time

    @property
    def tuf(self) -> Path:
        return self.folder / "tuf"

    def car(self) -> TufRepositories:
        link = Link(self.server.url, tries=1, pause_s=0.01, reserve_bytes=0)
        return TufRepositories(link, self.folder / "roots", self.tuf, now_s=self.now_s)

    def wanted(self) -> list[str]:
        return [target.version for target in self.car().wanted(CAR)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serve(tmp_path / "fleet") as server:
        made = World(tmp_path, server)
        made.fleet.release("1.0", DATA)
        yield made


@pytest.fixture(autouse=True)
def _no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Syncing is most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def all_rotated(repo: TufRepo) -> None:
    for role in ROLES:
        repo.rotate(role)


def test_a_car_follows_the_keys_however_often_they_changed(world: World):
    assert world.wanted() == ["1.0"]

    for version in ("2.0", "3.0"):
        for repo in world.fleet.both:
            all_rotated(repo)
            all_rotated(repo)
        world.fleet.release(version, DATA)
        assert world.wanted() == [version]


def test_old_keys_are_worth_nothing_after_their_rotation(world: World):
    world.wanted()
    old = world.fleet.twin()
    world.fleet.director.rotate("timestamp")
    world.fleet.release("2.0", DATA)
    assert world.wanted() == ["2.0"]

    old.release("3.0", DATA)

    with pytest.raises(UpdateRefusedError, match=r"director repository, timestamp.json: too few of the right keys"):
        world.wanted()


def test_new_keys_end_what_stolen_ones_ran_ahead_with(world: World):
    """Who had the online keys signed versions that the fleet never reaches: the car would refuse all others."""
    stolen = world.fleet.twin()
    stolen.director.roles["snapshot"].signed.version = stolen.director.roles["timestamp"].signed.version = 1_000_000
    stolen.director.publish()
    world.wanted()
    world.fleet.release("2.0", DATA)
    with pytest.raises(UpdateRefusedError, match="its version does not fit"):
        world.wanted()

    world.fleet.director.rotate("timestamp")
    world.fleet.director.rotate("snapshot")
    world.fleet.publish()

    assert world.wanted() == ["2.0"]


@pytest.mark.parametrize("torn", [b"", b'{"signed": {', None])
def test_a_file_that_a_power_cut_tore_is_had_anew(torn: bytes | None, world: World):
    world.fleet.director.rotate("snapshot")
    world.fleet.publish()
    world.wanted()

    for file in [*world.tuf.rglob("*.json")]:
        kept = file.read_bytes()
        file.unlink()
        if torn is not None:
            file.write_bytes(torn)
        assert world.wanted() == ["1.0"], file
        assert file.read_bytes() == kept


def test_what_a_power_cut_left_half_written_is_cleared_away(world: World):
    (world.tuf / "director").mkdir(parents=True)
    (world.tuf / "director" / "tmp1234").write_bytes(b"half")

    world.wanted()

    assert not list(world.tuf.rglob("tmp*"))


def test_what_was_found_good_is_synced(world: World, monkeypatch: pytest.MonkeyPatch):
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(Path(f"/proc/self/fd/{handle}").readlink().name))

    world.wanted()
    assert {"1.root.json", "timestamp.json", "snapshot.json", "targets.json", "root_history", "director"} <= set(done)

    done.clear()
    world.fleet.director.publish(["timestamp"])
    world.wanted()
    assert "timestamp.json" in done
    assert "targets.json" not in done


def test_a_look_for_news_costs_a_car_little(world: World):
    """Two root files that are not there, two timestamps: what a car asks for each time."""
    world.wanted()
    world.server.asked.clear()
    world.server.sent.clear()
    world.server.connections = 0

    world.wanted()

    assert len(world.server.asked) == 4
    assert world.server.connections == 1
    assert sum(world.server.sent.values()) < 1000


def test_a_newer_image_may_bring_a_newer_root_and_the_old_one_still_works(world: World):
    world.wanted()
    world.fleet.director.rotate("root")
    world.fleet.publish()
    shipped = world.folder / "roots" / "director" / "root.json"
    old = shipped.read_bytes()

    shipped.write_bytes((world.fleet.director.folder / "metadata" / "2.root.json").read_bytes())
    assert world.wanted() == ["1.0"]

    shipped.write_bytes(old)
    assert world.wanted() == ["1.0"]


@pytest.mark.parametrize("change", ["missing", "torn"])
def test_a_device_without_its_root_says_so(change: str, world: World):
    shipped = world.folder / "roots" / "image" / "root.json"
    shipped.unlink()
    if change == "torn":
        shipped.write_bytes(b"{")

    with pytest.raises(UpdateError, match=r"root\.json"):
        world.wanted()


def test_a_fresh_car_waits_until_its_clock_is_set(world: World):
    world.now_s = lambda: 0.0
    with pytest.raises(UpdateUnreachableError, match=r"says 1970-01-01 00:00 UTC, and this version was built on 20"):
        world.wanted()
    assert not world.tuf.exists()

    world.now_s = time.time
    assert world.wanted() == ["1.0"]


def test_a_car_knows_when_it_last_saw_the_servers(world: World):
    world.wanted()
    later = time.time() + 6 * 3600
    world.now_s = lambda: later
    world.wanted()

    world.now_s = time.time
    with pytest.raises(UpdateUnreachableError, match="the servers were seen on"):
        world.wanted()


def test_a_file_of_the_far_future_does_not_stop_updates_for_ever(world: World):
    """Written under a clock that was wrong: it counts no more than the metadata that was good then."""
    world.wanted()
    for file in world.tuf.rglob("timestamp.json"):
        os.utime(file, (4e9, 4e9))
    with pytest.raises(UpdateUnreachableError, match="is not set yet"):
        world.wanted()

    world.now_s = lambda: in_days(1).timestamp()
    assert world.wanted() == ["1.0"]


def test_the_floor_of_time_is_the_latest_that_can_be_believed(tmp_path: Path):
    metadata, file = tmp_path / "metadata", tmp_path / "file"
    metadata.write_text('{"signed": {"expires": "2030-01-01T00:00:00Z"}}')
    file.write_bytes(b"")
    os.utime(file, (1e9, 1e9))
    end_s = datetime(2030, 1, 1, tzinfo=timezone.utc).timestamp()

    assert floor([]) == Floor(0.0, "nothing is known")
    assert floor([(tmp_path / "none", metadata, "a"), (file, tmp_path / "none", "b")]).at_s == 0.0
    assert floor([(tmp_path / "none", metadata, "a"), (file, metadata, "b")]) == Floor(1e9, "b")
    os.utime(file, (9e9, 9e9))
    assert floor([(file, metadata, "b")]) == Floor(end_s, "b")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"signed": 7}', '{"signed": {"expires": 7}}', "[" * 9999])
def test_metadata_that_cannot_be_read_has_no_say_in_the_time(content: str, tmp_path: Path):
    file = tmp_path / "timestamp.json"
    file.write_text(content)

    assert floor([(file, file, "seen")]).at_s == 0.0


def test_a_clock_that_was_put_back_a_little_is_believed():
    check_clock(1e9, Floor(1e9 + 3599, "seen"))
    with pytest.raises(UpdateUnreachableError, match=r"says 2001-09-09 01:46 UTC, and seen on 2001-09-09 02:46 UTC"):
        check_clock(1e9, Floor(1e9 + 3601, "seen"))


@pytest.mark.parametrize(
    ("number", "error", "text"),
    [(errno.ENOSPC, UpdateSpaceError, "No space left"), (errno.EROFS, UpdateError, "is the data partition well")],
)
def test_metadata_that_cannot_be_kept_is_told(number: int, error: type[UpdateError], text: str):
    with pytest.raises(error, match=rf"image repository: its metadata cannot be kept: .*{text}"), translated(
        "image", lambda: ""
    ):
        raise OSError(number, os.strerror(number))


def test_what_is_nobodys_fault_but_ours_is_not_hidden():
    with pytest.raises(AssertionError), translated("image", lambda: ""):
        raise AssertionError


def test_a_server_is_known_by_its_certificate(world: World, tmp_path: Path):
    (tmp_path / "keys").mkdir()
    authority = make_authority(tmp_path / "keys")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server, authority.server_key)

    with serve(tmp_path / "fleet", context) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        good = TufRepositories(Link(url, ca_file=str(authority.ca), tries=1), tmp_path / "roots", tmp_path / "tuf")
        target = good.wanted(CAR)[0]
        good.download(target, tmp_path / "models.tar", lambda *_: None)
        assert (tmp_path / "models.tar").read_bytes() == DATA

        stranger = TufRepositories(Link(url, tries=1), tmp_path / "roots", tmp_path / "other")
        with pytest.raises(UpdateUnreachableError, match="certificate verify failed"):
            stranger.wanted(CAR)

        server.faults = {"director/metadata/timestamp.json": drip(1, 0.1, head_only=True)}
        hasty = Link(url, ca_file=str(authority.ca), tries=1, answer_s=0.5)
        with pytest.raises(UpdateUnreachableError, match="no whole answer within"):
            TufRepositories(hasty, tmp_path / "roots", tmp_path / "tuf").wanted(CAR)
    with pytest.raises(UpdateError, match="ca_file /nowhere"):
        TufRepositories(Link("https://localhost", ca_file="/nowhere"), tmp_path / "roots", tmp_path / "tuf")
