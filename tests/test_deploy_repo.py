"""The server side of updates: a real TUF client over HTTP takes what `deploy/repo` makes, at any moment."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("tuf", reason="pip install 'edge-alpr[repo]'")
pytest.importorskip("cryptography.hazmat.primitives.asymmetric.types", reason="pip install 'edge-alpr[repo]'")

from tuf.api.exceptions import ExpiredMetadataError, RepositoryError

from deploy.repo_tool.errors import RepoError
from deploy.repo_tool.keys import NAMES, is_online
from deploy.repo_tool.secret_words import Secrets
from edge_alpr.errors import EdgeAlprError
from edge_alpr.ota import types as ota
from tests.helpers_repo import Car, Operator, killed_at, new_operator, web_server

OFFLINE = [name for name in NAMES if not is_online(name)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL of a web server that carries it."""
    folder = tmp_path_factory.mktemp("servers")
    with web_server(folder) as url:
        yield folder, url


@pytest.fixture(scope="module", autouse=True)
def unsynced() -> Iterator[None]:
    """The tool is killed, not the machine: the disk need not be waited for."""
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda handle: None)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def made(place: tuple[Path, str]) -> Operator:
    """Repositories as `init` leaves them. Tests take copies."""
    return new_operator(place[0] / "made")


@pytest.fixture
def operator(made: Operator, place: tuple[Path, str], request: pytest.FixtureRequest) -> Operator:
    return made.copy("".join(letter if letter.isalnum() else "_" for letter in request.node.name))


@pytest.fixture
def car(operator: Operator, place: tuple[Path, str], tmp_path: Path) -> Car:
    return new_car(operator, place, tmp_path / "car")


def new_car(operator: Operator, place: tuple[Path, str], folder: Path) -> Car:
    return Car(folder, f"{place[1]}/{operator.folder.name}/public").begin(operator)


def near(operator: Operator, folder: Path) -> Car:
    """One that reads the folder without a server."""
    return Car(folder, operator.public.as_uri()).begin(operator)


def test_a_car_gets_what_was_added_and_rolled_out(operator: Operator, car: Car):
    path = operator.add("m-1.4.0.tar", "1.4.0", "models", "--board", "orin-nano", "--needs", "2.0")
    known = {"unit": "models", "version": "1.4.0", "boards": ["orin-nano"], "needs": "2.0"}

    assert car.wanted() == {}
    assert {one: target.custom for one, target in car.told("image").items()} == {path: known}
    operator("rollout", "start", "models-1.4.0", "--target", path, "--share", "0.25")

    assert car.wanted() == {path: {**known, "rollout": "models-1.4.0", "share": "0.25"}}
    client = car.client("image")
    target = client.get_targetinfo(path)
    assert target and Path(client.download_target(target)).read_bytes() == b"m-1.4.0.tar"
    assert operator("check").splitlines()[-1] == "a client takes all of it"


def test_the_car_itself_takes_it_and_goes_back(operator: Operator, place: tuple[Path, str], tmp_path: Path):
    repository = pytest.importorskip("edge_alpr.ota.repository")
    pace = pytest.importorskip("edge_alpr.ota.fetch_pace")
    old, new = operator.add("m-1.3.tar", "1.3"), operator.add("m-1.4.tar", "1.4", "models", "--board", "pc")
    operator("rollout", "start", "first", "--target", new, "--share", "0.5")
    operator("trust", str(tmp_path / "trust"))
    link = pace.Link(url=f"{place[1]}/{operator.folder.name}/public")
    client = repository.TufRepositories(link, tmp_path / "trust", tmp_path / "tuf")

    def wanted(running: str, board: str = "pc") -> dict[str, list[str]]:
        cars = [ota.Car(f"car-{n}", board, {"image": "1.0", "models": running}) for n in range(12)]
        return {car.device_id: [target.path for target in client.wanted(car)] for car in cars}

    first = {f"car-{n}" for n in range(12) if ota.share_of("first", f"car-{n}") < 0.5}
    assert 2 < len(first) < 10
    assert wanted("1.3") == {f"car-{n}": [new] if f"car-{n}" in first else [] for n in range(12)}
    assert not any(wanted("1.3", "thor").values())
    client.download(client.wanted(ota.Car(min(first), "pc", {"models": "1.3"}))[0], tmp_path / "got", lambda *_: None)
    assert (tmp_path / "got").read_bytes() == b"m-1.4.tar"

    operator("rollout", "pause", "first")
    assert not any(wanted("1.3").values())
    operator("rollout", "withdraw", "first")
    operator("rollout", "start", "way-back", "--target", old, "--share", "1", "--back")
    assert all(paths == [old] for paths in wanted("1.4").values())


@pytest.mark.parametrize("name", NAMES)
def test_a_key_makes_way_for_another(name: str, operator: Operator, car: Car, place: tuple[Path, str], tmp_path: Path):
    path = operator.add()
    operator("rollout", "start", "one", "--target", path, "--share", "1")
    car.wanted()
    repository, role = name.split("-")[:2]
    before = operator.root(repository)

    operator("rotate", name)

    after = operator.root(repository)
    gone = set(before.roles[role].keyids) - set(after.roles[role].keyids)
    assert (after.version, len(gone), len(after.roles[role].keyids)) == (2, 1, len(before.roles[role].keyids))
    (operator.folder / "keys" / f"{name}.pem").unlink()
    assert list(car.wanted()) == [path]
    assert list(new_car(operator, place, tmp_path / "another").wanted()) == [path]
    operator("refresh")
    operator("rollout", "pause", "one")
    assert car.wanted()[path]["share"] == "0"
    assert operator("check").splitlines()[-1] == "a client takes all of it"


CHANGES = {
    "add": ["add", "FILE", "--unit", "models", "--version", "2.0"],
    "pause": ["rollout", "pause", "one"],
    "refresh": ["refresh"],
    "timestamp": ["rotate", "director-timestamp"],
    "director's targets": ["rotate", "director-targets"],
    "targets": ["rotate", "image-targets"],
    "root": ["rotate", "image-root-2"],
    "renewed root": ["renew", "director-root"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_killed_at_any_step_a_car_is_served_a_whole(change: str, operator: Operator, tmp_path: Path):
    operator.add("m-1.0.tar", "1.0")
    operator.add("m-1.1.tar", "1.1")
    operator("rollout", "start", "one", "--target", "models/m-1.0.tar", "--share", "0.1")
    words = [operator.file("m-2.0.tar") if word == "FILE" else word for word in CHANGES[change]]
    car = near(operator, tmp_path / "car")
    before = car.view()
    done = operator.copy(f"{operator.folder.name}-done")
    done(*words)
    after = near(done, tmp_path / "done").view()

    for step in range(100):
        cut = operator.copy(f"{operator.folder.name}-{step}")
        old = Car(Path(shutil.copytree(car.folder, tmp_path / f"old-{step}")), cut.public.as_uri())
        killed = killed_at(step, lambda cut=cut: cut(*words))
        for one in (old, near(cut, tmp_path / f"new-{step}")):
            assert one.view() in ((before, after) if killed else (after,))
        if not killed:
            break
        cut("refresh")  # as cron does
        assert old.view() in (before, after)
        cut("drop")
        with suppress(RepoError):  # some were done, and are refused a second time
            cut(*words)
        assert old.view() == after
        assert "a client takes all of it" in cut("check")
    assert step >= 4


def test_making_them_goes_on_where_it_was_cut(place: tuple[Path, str], made: Operator, tmp_path: Path):
    folder = place[0] / "begun"
    begun = Operator(folder, made.secret)
    for step in range(0, 400, 3):
        killed = killed_at(step, lambda: begun("init", "--online-secret", str(made.secret)))
        if not killed:
            break
    assert step > 20
    assert new_car(begun, place, tmp_path / "car").wanted() == {}
    assert begun("check").splitlines()[-1] == "a client takes all of it"
    with pytest.raises(RepoError, match="holds both repositories already"):
        begun("init")


def test_keys_that_are_elsewhere_sign_later_and_in_another_copy(operator: Operator, car: Car):
    safe = operator.carry_away(*OFFLINE)
    path = "models/m-1.0.tar"

    said = operator("add", operator.file("m-1.0.tar"), "--unit", "models", "--version", "1.0", status=1)
    assert "image targets version 2 needs more signatures: image-targets: not here" in " ".join(said.split())
    assert "waits for signatures" in operator("status")
    assert car.told("image") == {}
    operator("refresh")  # publishes nothing that is half signed
    assert car.told("image") == {}

    operator.bring("image-targets")
    operator("sign")

    assert list(car.told("image")) == [path]
    operator("rollout", "start", "one", "--target", path, "--share", "1")  # needs online keys only
    assert list(car.wanted()) == [path]
    assert list(safe.glob("image-root-*"))


def test_a_root_is_signed_by_two_keepers_one_after_the_other(operator: Operator, car: Car):
    operator.carry_away(*OFFLINE)
    assert "needs more signatures" in operator("renew", "image-root", status=1)

    operator.bring("image-root-1")
    operator("sign", status=1)
    operator("refresh")
    assert operator.root("image").version == 1
    with pytest.raises(RepoError, match="waits for signatures"):
        operator("renew", "image-targets")

    operator.carry_away("image-root-1")
    operator.bring("image-root-3")
    operator("sign")

    assert operator.root("image").version == 2
    assert car.wanted() == {}


def test_an_online_key_that_is_changed_needs_nobody_afterwards(operator: Operator, car: Car):
    operator("rotate", "director-targets")
    operator.carry_away(*OFFLINE)
    unattended = Operator(operator.folder, operator.secret.with_name("nobody"))
    unattended("refresh")
    unattended("watch", "-", stdin=b"")


def test_what_is_staged_can_be_dropped(operator: Operator):
    operator.carry_away("image-root-1", "image-root-2")
    operator("rotate", "image-timestamp", status=1)
    operator("drop")
    operator.bring("image-root-1", "image-root-2")

    operator("rotate", "image-timestamp")

    assert operator.root("image").version == 2
    assert "waits" not in operator("status")


def test_a_ceremony_of_the_director_holds_up_no_roll_out(operator: Operator, car: Car):
    path = operator.add()
    operator("rollout", "start", "one", "--target", path, "--share", "1")
    operator.carry_away("director-root-1", "director-root-2")
    operator("rotate", "director-targets", status=1)

    operator("rollout", "pause", "one")

    assert car.wanted()[path]["share"] == "0"
    operator.bring("director-root-1", "director-root-2")
    operator("sign")
    assert operator.root("director").version == 2
    assert car.wanted()[path]["share"] == "0"


@pytest.mark.parametrize("name", ["image-targets", "director-timestamp"])
def test_a_lost_key_is_replaced(name: str, operator: Operator, car: Car):
    path = operator.add()
    car.wanted()
    (operator.folder / "keys" / f"{name}.pem").unlink()
    role = name.partition("-")[2]
    with pytest.raises(RepoError, match=f"{role} cannot be signed here: {name}-old: not here .* sign --lost"):
        operator("rotate", name)
    said = operator("refresh", status=1) if name == "image-targets" else ""  # goes on, without what is staged
    assert ("what is staged is not published" in said) == bool(said)
    assert operator.root(name.partition("-")[0]).version == 1
    operator("sign", "--lost")

    assert list(car.told("image")) == [path]
    assert operator("check").splitlines()[-1] == "a client takes all of it"


def test_with_one_root_key_left_of_three_nothing_changes(operator: Operator):
    operator.carry_away("image-root-1", "image-root-2")
    operator("rotate", "image-snapshot", status=1)
    operator("sign", "--lost", status=1)
    assert operator.root("image").version == 1


def test_one_repository_is_not_taken_for_the_other(operator: Operator, car: Car):
    for repository in ("director", "image"):
        operator("renew", f"{repository}-root")
    image, director = (operator.public / name / "metadata" for name in ("image", "director"))
    shutil.copy(director / "2.root.json", image / "2.root.json")

    with pytest.raises(RepositoryError, match="was signed by 0/2 keys"):
        car.told("image")
    assert "image: a client refuses it" in operator("check", status=1)


def test_expiry_is_as_configured_and_refresh_puts_it_off(operator: Operator, car: Car):
    text = (operator.folder / "fleet.toml").read_text(encoding="utf-8")
    (operator.folder / "fleet.toml").write_text("# ours\n" + text.replace("timestamp_days = 1", "timestamp_days = 3"))

    def left(role: str) -> float:
        found = [line for line in operator("status").splitlines() if line.startswith(f"image {role}:")]
        moment = datetime.strptime(found[0].partition("until ")[2], "%Y-%m-%d %H:%M UTC").replace(tzinfo=timezone.utc)
        return (moment - datetime.now(timezone.utc)) / timedelta(days=1)

    assert [round(left(role)) for role in ("root", "targets", "snapshot", "timestamp")] == [365, 90, 7, 1]
    operator("refresh")
    assert round(left("timestamp")) == 3
    operator("rotate", "image-snapshot")
    assert (operator.folder / "fleet.toml").read_text(encoding="utf-8").startswith("# ours\n")
    client = car.client("image")
    client._trusted_set.reference_time = datetime.now(timezone.utc) + timedelta(days=4)
    with pytest.raises(ExpiredMetadataError, match=r"timestamp\.json is expired"):
        client.refresh()


def test_refresh_tells_of_what_it_cannot_put_off(operator: Operator):
    text = (operator.folder / "fleet.toml").read_text(encoding="utf-8")
    (operator.folder / "fleet.toml").write_text(text.replace("targets_days = 90", "targets_days = 10"))
    operator("renew", "image-targets", status=0)
    said = operator("refresh", status=1)
    assert re.search(r"image targets expires in (9|10) days: deploy/repo renew image-targets", said)


REFUSED = {
    "no such unit": (["m.tar", "firmware", "1.0"], "no unit is called 'firmware'"),
    "no list's name": (["m.tar", "list/", "1.0"], "no unit is called 'list/'"),
    "a folder too much": (["m.tar", "list/a/b", "1.0"], "no unit is called 'list/a/b'"),
    "another kind of file": (["m.tar", "image", "1.0"], r"m\.tar: image is a file \.raucb"),
    "no version": (["m.tar", "models", "new"], "--version new: not a version"),
    "no name for a URL": (["m 1.tar", "models", "1.0"], "'m 1.tar' is no name"),
    "no such board": (["m.tar", "models", "1.0", "--board", "nano"], "no board is called 'nano'"),
    "needs no version": (["m.tar", "models", "1.0", "--needs", "x"], "--needs x: not a version"),
    "the same name, other content": (["m-1.0.tar", "models", "1.0"], "is there with another content or meaning"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cars_would_not_take_is_refused(case: str, operator: Operator):
    operator.add()
    (name, unit, version, *more), reason = REFUSED[case]
    with pytest.raises(RepoError, match=reason):
        operator("add", operator.file(name, b"other"), "--unit", unit, "--version", version, *more)
    assert operator("check").splitlines()[-1] == "a client takes all of it"


def test_no_private_key_is_ever_served(operator: Operator):
    operator.add()
    for name in ("director-timestamp", "image-targets", "image-root-3"):
        operator("rotate", name)
    served = [path for path in operator.public.rglob("*") if path.is_file()]
    assert len(served) > 12
    assert not [path for path in served if b"PRIVATE" in path.read_bytes()]
    keys = list((operator.folder / "keys").iterdir())
    assert all(path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY") for path in keys)
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}

    inside = operator.public / "image" / "targets" / "k.pem"
    with pytest.raises(RepoError, match="a private key in the folder that is served"):
        operator("rotate", "image-snapshot", "--key", f"file:{inside}")
    shutil.copy(keys[0], inside.with_suffix(".tar"))
    assert "k.tar: a private key is served" in operator("check", status=1)


def test_the_check_finds_what_a_car_would_refuse(operator: Operator):
    path = operator.add()
    operator("rollout", "start", "one", "--target", path, "--share", "1")
    (file,) = (operator.public / "image" / "targets" / "models").iterdir()

    file.write_bytes(b"m-1.0.taR")
    assert f"image: {path} is not what was signed" in operator("check", status=1)
    file.unlink()
    assert f"image: {path} is promised and not there" in operator("check", status=1)
    operator.add()
    assert "a client takes all of it" in operator("check")
    (operator.public / "notes.txt").write_text("hello")
    assert "notes.txt: does not belong into what is served" in operator("check", status=1)
    timestamp = operator.public / "director" / "metadata" / "timestamp.json"
    said = json.loads(timestamp.read_bytes())
    said["signed"]["version"] += 1
    timestamp.write_text(json.dumps(said))
    assert "director: a client refuses it" in operator("check", status=1)


@pytest.mark.parametrize("behind", ["keys", "fleet.toml", "nowhere"])
def test_a_link_below_what_is_served_is_found(behind: str, operator: Operator):
    link = operator.public / "image" / "targets" / "models"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(operator.folder / behind)
    assert "image/targets/models: a symbolic link" in operator("check", status=1)


def later(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """So many days after now, by the tool's clock."""
    moment = datetime.now(timezone.utc) + timedelta(days=days, minutes=5)
    monkeypatch.setattr("deploy.repo_tool.opening.utc_now", lambda: moment)


def test_what_was_just_superseded_stays_however_old_it_is(operator: Operator, monkeypatch: pytest.MonkeyPatch):
    operator.add()
    for file in operator.public.rglob("*"):
        os.utime(file, (0, 0))
    operator("rotate", "image-snapshot")
    before = {path for path in operator.public.rglob("*") if path.is_file()}
    operator("refresh")  # notes it
    later(monkeypatch, 6)
    assert operator("prune") == ""
    assert before <= set(operator.public.rglob("*"))
    later(monkeypatch, 7)
    assert "image/metadata/1.targets.json" in operator("prune").split()
    assert "a client takes all of it" in operator("check")
    operator("rotate", "director-snapshot")
    assert operator("prune") == ""
    (operator.folder / "unnamed.json").write_bytes(b'{"torn')
    later(monkeypatch, 20)
    assert operator("prune") == ""
    assert "director/metadata/1.snapshot.json" in operator("prune", "--days", "0").split()


def test_a_file_is_taken_out_and_later_deleted(operator: Operator, car: Car, monkeypatch: pytest.MonkeyPatch):
    path, other = operator.add(), operator.add("m-1.1.tar", "1.1")
    operator("rollout", "start", "one", "--target", path, "--share", "1")
    with pytest.raises(RepoError, match=r"one sends models/m-1\.0\.tar; withdraw it first"):
        operator("remove", path)
    operator("rollout", "withdraw", "one")
    operator("remove", path)
    assert list(car.told("image")) == [other]

    for file in operator.public.rglob("*"):
        os.utime(file, (0, 0))  # as old as a release of last year
    assert operator("prune") == ""
    operator("add", operator.file("m-1.0.tar", b"m-1.0.tar"), "--unit", "models", "--version", "1.0")
    later(monkeypatch, 6)
    operator("remove", path)
    assert not [name for name in operator("prune").split() if "targets/models" in name]
    later(monkeypatch, 12)
    assert not [name for name in operator("prune").split() if "targets/models" in name]
    later(monkeypatch, 13)
    gone = operator("prune").split()

    assert next(name for name in gone if name.startswith("image/targets")).endswith(".m-1.0.tar")
    assert list(car.told("image")) == [other]
    assert "a client takes all of it" in operator("check")


def test_secrets_are_for_their_owner_and_have_to_be_right(operator: Operator):
    other = operator.secret.with_name("other")
    other.write_text("wrong")
    other.chmod(0o644)
    stranger = Operator(operator.folder, other)
    with pytest.raises(EdgeAlprError, match="others may read it; chmod 600"):
        stranger("renew", "image-targets")
    other.chmod(0o600)
    stranger("drop")
    with pytest.raises(EdgeAlprError, match=r"image-targets\.pem: wrong passphrase"):
        stranger("renew", "image-targets")


def test_nobody_to_ask_for_a_passphrase():
    with pytest.raises(RepoError, match="image-root-1: passphrase or PIN needed; give --secret-file"):
        Secrets().get("image-root-1", None)


def test_the_roots_for_new_devices(operator: Operator, tmp_path: Path):
    operator("renew", "image-root")
    operator("trust", str(tmp_path / "trust"))
    for repository in ("director", "image"):
        newest = max((operator.public / repository / "metadata").glob("*.root.json"))
        assert (tmp_path / "trust" / repository / "root.json").read_bytes() == newest.read_bytes()
    assert len(list((tmp_path / "trust").iterdir())) == 2


def test_a_folder_that_is_none_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(RepoError, match=r"no fleet\.toml; make it with deploy/repo --fleet FOLDER init"):
        Operator(tmp_path, tmp_path / "word")("status")
