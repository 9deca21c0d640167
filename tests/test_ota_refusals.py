"""What the agent refuses, with the reason, and that nothing it runs is touched by that."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ota_world import BLOBS, DATA, SHOWN, Board, list_blob, list_pair, model_blob, model_files

from edge_alpr.errors import SlotError, UpdateError, UpdateRefusedError, UpdateSpaceError, UpdateUnreachableError
from edge_alpr.ota import versions as versions_module
from edge_alpr.ota.disk import Disk, RealFiles
from edge_alpr.ota.manifest import pack, pack_files
from edge_alpr.ota.types import IMAGE, MODELS, Car, Target
from edge_alpr.ota.versions import Versions

LIST = "list/stolen"


@pytest.fixture
def board() -> Board:
    """Version 1.0 of everything runs."""
    made = Board()
    made.live()
    for unit in (MODELS, LIST):
        made.servers.publish(unit, "1.0", BLOBS[unit]("1.0"))
    made.live()
    made.servers.targets.clear()
    return made


def tried(board: Board) -> dict[str, str]:
    """Go on until nothing changes; what each unit's last update came to."""
    board.start()
    agent = board.agent()
    agent.after_boot()
    for _ in range(4):
        agent.check()
        agent.download()
        agent.install()
        board.read()
        agent.settle()
    return {unit: f"{one.result}: {one.why}" for unit, one in agent.ledger.state.results.items()}


@pytest.mark.parametrize(
    ("unit", "version", "more", "words"),
    [
        (IMAGE, "2.0", {"boards": ("agx-orin", "thor")}, "it is for agx-orin, thor; this board is orin-nano"),
        (IMAGE, "0.8", {}, "0.8 is older than 1.0, which runs"),
        (MODELS, "0.9", {}, "0.9 is older than 1.0, which runs"),
        (MODELS, "2.0", {"needs": "1.5"}, "it needs image 1.5; 1.0 runs"),
        (MODELS, "../../etc", {}, "is no version"),
        (MODELS, "current", {}, "is no version"),
        ("firmware", "2.0", {}, "is no unit"),
        ("list/../x", "2.0", {}, "is no unit"),
    ],
)
def test_what_is_not_for_this_car_is_not_even_fetched(
    unit: str, version: str, more: dict[str, object], words: str, board: Board
):
    board.servers.publish(unit, version, b"signed 2.0", **more)

    assert words in tried(board)[unit]
    assert board.versions() == {IMAGE: "1.0", MODELS: "1.0", LIST: "1.0"}
    assert board.slots.writes == 0
    assert not board.agent().ledger.state.pending


def test_the_director_may_send_an_older_version_on_purpose(board: Board):
    board.servers.publish(MODELS, "0.9", model_blob("0.9"), back=True)
    board.live()
    assert board.versions()[MODELS] == "0.9"


def test_a_clock_of_1970_takes_nothing(board: Board):
    board.servers.publish(MODELS, "2.0", model_blob("2.0"))
    board.now_s = 100.0
    with pytest.raises(UpdateRefusedError, match="the clock says 1970-01-01"):
        board.agent().check()
    assert not board.agent().ledger.state.pending


def test_a_full_data_partition_takes_nothing_and_later_goes_on(board: Board):
    for unit, blob in BLOBS.items():
        board.servers.publish(unit, "2.0", blob("2.0"))
    board.files.room = 100
    with pytest.raises(UpdateSpaceError, match="the data partition is full"):
        board.agent().check()
    board.files.room = 1 << 20
    assert all("MB free" in why for why in tried(board).values())
    assert board.versions() == {IMAGE: "1.0", MODELS: "1.0", LIST: "1.0"}
    board.whole()
    board.files.room = 1 << 30
    board.live()
    assert board.versions() == {IMAGE: "2.0", MODELS: "2.0", LIST: "2.0"}


def test_a_disk_that_fills_up_while_a_set_is_unpacked_leaves_the_old_one(board: Board, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(versions_module, "SPARE_BYTES", 0)
    board.servers.publish(MODELS, "2.0", model_blob("2.0"))
    agent = board.agent()
    agent.check()
    agent.download()
    board.files.room = len(model_blob("2.0")) // 9
    assert "free" in agent.install().troubles[MODELS]
    assert board.versions()[MODELS] == "1.0"
    board.whole()


def test_a_bundle_that_rauc_refuses_is_tried_some_times_and_given_up(board: Board):
    board.servers.publish(IMAGE, "2.0", b"forged 2.0")
    for _ in range(2):
        assert tried(board)[IMAGE] == "refused: signature verification failed; the bundle is not from us"
    assert "it did not do here: signature" in board.agent().check()[0].refused
    assert board.slots.writes == 0 and board.versions()[IMAGE] == "1.0"
    board.servers.publish(IMAGE, "2.1", b"signed 2.1")
    board.live()
    assert board.versions()[IMAGE] == "2.1"


def test_a_bundle_that_holds_another_version_goes_back(board: Board):
    board.servers.publish(IMAGE, "2.0", b"signed 1.9")
    board.live()
    assert board.versions()[IMAGE] == "1.0"
    assert board.agent().ledger.state.results[IMAGE].why == "the bundle of 2.0 holds 1.9"


def test_what_was_torn_on_the_disk_is_fetched_again(board: Board):
    board.servers.publish(MODELS, "2.0", model_blob("2.0"))
    agent = board.agent()
    agent.check()
    agent.download()
    archive = DATA / "update" / "downloads" / board.files.names(DATA / "update" / "downloads")[0]
    board.files.write(archive, [b"torn"])
    assert "fetched again" in agent.install().troubles[MODELS]
    board.live()
    assert board.versions()[MODELS] == "2.0"


def test_a_set_that_the_disk_damages_later_gives_way_to_the_one_before(board: Board):
    board.servers.publish(MODELS, "2.0", model_blob("2.0"))
    board.live()
    board.servers.targets.clear()
    board.files.write(DATA / "models" / "2.0" / "plate-reader.onnx", [b"bits flipped"])
    board.agent().after_boot()
    assert board.versions()[MODELS] == "1.0"
    board.whole()
    board.servers.publish(MODELS, "2.0", model_blob("2.0"))
    board.live()
    assert board.versions()[MODELS] == "2.0", "it was the disk's fault, not the version's"


def test_one_unit_that_fails_stops_no_other(board: Board):
    board.servers.publish(LIST, "2.0", pack_files({"stolen.csv": b"note\nno plates\n"}, LIST, "2.0"))
    board.servers.publish(MODELS, "2.0", model_blob("2.0"))
    found = tried(board)
    assert "changed since it was signed" in found[LIST] and found[MODELS] == "good: "
    assert board.versions() == {IMAGE: "1.0", MODELS: "2.0", LIST: "1.0"}


def test_a_list_of_the_same_name_that_came_otherwise_is_not_written_over():
    board = Board()
    board.live()
    board.files.write(SHOWN / "stolen.csv", [list_pair("3.0")[0]])
    board.files.write(SHOWN / "stolen.csv.sig", [list_pair("3.0")[1]])
    board.servers.publish(LIST, "2.0", list_blob("2.0"))
    assert "came otherwise" in tried(board)[LIST]
    assert board.files.read(SHOWN / "stolen.csv") == list_pair("3.0")[0]


def test_an_image_waits_while_models_are_on_trial_and_the_other_way_round(board: Board):
    for unit in (IMAGE, MODELS):
        board.servers.publish(unit, "2.0", BLOBS[unit]("2.0"))
    agent = board.agent()
    agent.after_boot()
    agent.check()
    agent.download()
    assert not agent.install().reboot
    stages = {unit: pending.stage for unit, pending in agent.ledger.state.pending.items()}
    assert stages == {IMAGE: "downloaded", MODELS: "trial"} and board.slots.writes == 0
    board.live()
    assert board.versions() == {IMAGE: "2.0", MODELS: "2.0", LIST: "1.0"}


def test_a_version_that_failed_is_not_tried_again_and_a_newer_one_is(board: Board):
    board.natures[(IMAGE, "2.0")] = "bad"
    board.servers.publish(IMAGE, "2.0", b"signed 2.0")
    board.live()
    writes = board.slots.writes
    result = board.agent().ledger.state.results[IMAGE]
    assert (result.result, result.why) == ("back", "it reads no plates")
    assert "it did not do here: it reads no plates" in board.agent().check()[0].refused
    assert tried(board)[IMAGE] == "back: it reads no plates" and board.slots.writes == writes
    board.servers.publish(IMAGE, "2.1", b"signed 2.1")
    board.live()
    assert board.versions()[IMAGE] == "2.1"


def test_a_state_that_is_lost_is_made_up_for(board: Board):
    board.files.write(DATA / "update" / "state.json", [b"\0\0\0"])
    board.natures[(IMAGE, "1.0")] = "good"
    board.live()
    board.servers.publish(IMAGE, "2.0", b"signed 2.0")
    board.live()
    assert board.versions() == {IMAGE: "2.0", MODELS: "1.0", LIST: "1.0"}
    assert board.agent().ledger.state.proven == {"A": "1.0", "B": "2.0"}


def test_a_proof_that_breaks_down_goes_back_only_from_a_trial(board: Board):
    assert not board.agent().proof_failed("it crashed")
    board.servers.publish(IMAGE, "2.0", b"signed 2.0")
    agent = board.agent()
    agent.check()
    agent.download()
    assert agent.install().reboot
    board.start()
    assert board.slots.booted == "B" and not board.agent().mark()
    assert board.agent().proof_failed("it crashed")
    board.start()
    assert board.agent().mark()
    board.agent().after_boot()
    assert board.slots.booted == "A" and board.agent().ledger.state.results[IMAGE].why == "it crashed"


def test_servers_that_cannot_be_reached_change_nothing(board: Board, monkeypatch: pytest.MonkeyPatch):
    board.servers.publish(MODELS, "2.0", model_blob("2.0"))
    agent = board.agent()
    agent.check()

    def away(target: Target, path: Path, progress: object) -> None:
        raise UpdateUnreachableError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(board.servers, "download", away)
        assert agent.download().troubles == {MODELS: "no route to host"}
    board.live()
    assert board.versions()[MODELS] == "2.0"


def test_there_is_nothing_to_go_back_to():
    board = Board()
    board.slots.sides["B"].good = False
    board.live()
    agent = board.agent()
    for unit, error in ((IMAGE, SlotError), (MODELS, UpdateError), (LIST, UpdateError), ("x", UpdateError)):
        with pytest.raises(error):
            agent.rollback(unit)
    board.live()
    assert board.versions() == {IMAGE: "1.0"}


def test_short_drives_add_up_to_a_watch_and_are_no_crash_loop(board: Board):
    agent = board.install(MODELS, "2.0", model_blob("2.0"))
    board.read()
    agent.settle()
    for drive in range(8):
        assert agent.models.running() == "2.0"
        board.start()
        agent = board.agent()
        agent.models.watch = 9
        agent.after_boot()
        agent.settle()
        pending = agent.ledger.state.pending.get(MODELS)
        assert (pending.slices if pending else 9) == drive + 2
    assert agent.ledger.state.results[MODELS].result == "good"


def test_drives_that_never_come_to_a_watch_are_one(board: Board):
    agent = board.install(MODELS, "2.0", model_blob("2.0"))
    board.read()
    agent.settle()
    for _ in range(4):
        board.start()
        board.agent().after_boot()
    assert board.versions()[MODELS] == "1.0"
    assert board.agent().ledger.state.results[MODELS].why == "3 boots without a verdict"


# Unpacking, on a real file system.


def tar_of(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


GOOD = model_blob("2.0")


def members() -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(GOOD)) as good:
        return [(one, good.extractfile(one).read()) for one in good]  # type: ignore[union-attr]


def with_member(info: tarfile.TarInfo, data: bytes = b"") -> bytes:
    """The good set and one member more, in front."""
    return tar_of((info, data), *members())


def changed(name: str, data: bytes | None) -> bytes:
    """The good set with a member of other content, or without it."""
    kept = [(one, old) for one, old in members() if one.name != name or data is not None]
    return tar_of(*[(one, old if one.name != name or data is None else data) for one, old in kept])


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "absolute": (lambda: with_member(member("/etc/passwd")), "may be no file"),
    "out": (lambda: with_member(member("../../etc/passwd")), "may be no file"),
    "out-within": (lambda: with_member(member("a/../../x")), "may be no file"),
    "hidden": (lambda: with_member(member(".bashrc")), "may be no file"),
    "deep": (lambda: with_member(member("a/b/c/d")), "may be no file"),
    "symlink": (lambda: with_member(member("x", tarfile.SYMTYPE, "/etc/passwd")), "links and devices"),
    "hard link": (lambda: with_member(member("x", tarfile.LNKTYPE, "/etc/passwd")), "links and devices"),
    "device": (lambda: with_member(member("x", tarfile.CHRTYPE)), "links and devices"),
    "fifo": (lambda: with_member(member("x", tarfile.FIFOTYPE)), "links and devices"),
    "twice": (lambda: with_member(member("plate-reader.toml"), b"x"), "stands twice"),
    "many": (lambda: tar_of(*[(member(f"f{n}"), b"") for n in range(300)]), "one of more than 256"),
    "more than the manifest": (lambda: with_member(member("virus.so"), b"x"), "not in its manifest"),
    "less than the manifest": (lambda: changed("engines/reader.onnx", None), "promises engines/reader.onnx"),
    "no manifest": (lambda: changed("manifest.json", None), "no manifest.json"),
    "manifest of nonsense": (lambda: changed("manifest.json", b"[]"), "does not hold"),
    "other content": (lambda: changed("engines/reader.onnx", b"other"), "not as its manifest says"),
    "another version": (lambda: model_blob("3.0"), "it is models 3.0, not models 2.0"),
    "another unit": (lambda: pack_files(model_files("2.0"), LIST, "2.0"), "it is list/stolen 2.0"),
    "without a card": (lambda: pack_files({"a.onnx": b"x"}, MODELS, "2.0"), "has no card"),
    "another's card": (lambda: pack_files(model_files("2.0") | {"plate-reader.onnx": b"x"}, MODELS, "2.0"), "its card"),
    "nothing": (lambda: pack_files({}, MODELS, "2.0"), "no model in it"),
    "garbage": (lambda: bytes(random.Random(1).randbytes(3000)), "no whole tar file"),
    "truncated": (lambda: GOOD[: len(GOOD) // 5], "promises plate-reader.onnx"),
    "truncated gzip": (lambda: gzip.compress(GOOD)[:-20], "no whole tar file"),
    "bomb": (lambda: gzip.compress(with_member(member("zeros"), bytes(3 << 20))), "more than 2 MB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_leaves_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(versions_module, "MOST_BYTES", 2 << 20)
    make, words = BAD[name]
    archive = tmp_path / "set.tar"
    archive.write_bytes(make())
    versions = Versions(Disk(RealFiles()), tmp_path / "models", MODELS)
    with pytest.raises(UpdateRefusedError) as told:
        versions.unpack(archive, "2.0")
    assert words in str(told.value)
    assert list((tmp_path / "models").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "set.tar"]


@pytest.mark.parametrize("press", [bytes, gzip.compress])
def test_a_good_archive_is_unpacked_switched_to_and_pruned(press: Callable[[bytes], bytes], tmp_path: Path):
    source = tmp_path / "source"
    for name, data in model_files("2.0").items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    archive = tmp_path / "set.tar"
    archive.write_bytes(press(pack(source, MODELS, "2.0")))
    versions = Versions(Disk(RealFiles()), tmp_path / "data" / "models", MODELS)
    versions.unpack(archive, "2.0")
    versions.choose("2.0")
    assert versions.current() == "2.0"
    current = tmp_path / "data" / "models" / "current"
    assert {name: (current / name).read_bytes() for name in model_files("2.0")} == model_files("2.0")
    archive.write_bytes(model_blob("3.0"))
    versions.unpack(archive, "3.0")
    versions.choose("3.0")
    versions.prune([])
    assert sorted(path.name for path in versions.folder.iterdir()) == ["3.0", "current"]
    (versions.folder / "3.0" / "plate-reader.onnx").write_bytes(b"torn")
    with pytest.raises(UpdateError, match="cannot be used"):
        versions.choose("3.0")
    assert pack(source, MODELS, "2.0") == pack(source, MODELS, "2.0")


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(RealFiles, "free", lambda self, folder: 1 << 20)
    (tmp_path / "set.tar").write_bytes(GOOD)
    with pytest.raises(UpdateSpaceError, match="16 MB are needed and 1 MB free"):
        Versions(Disk(RealFiles()), tmp_path / "models", MODELS).unpack(tmp_path / "set.tar", "2.0")
    assert not (tmp_path / "models" / "2.0").exists()


def test_what_is_asked_of_the_servers_names_the_car_and_what_runs(board: Board):
    assert board.agent().car() == Car("car-1", "orin-nano", {IMAGE: "1.0", MODELS: "1.0", LIST: "1.0"})
