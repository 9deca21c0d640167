"""The two sides of a board, with real RAUC: installed, tried, proved, gone back; and bundles that must not get in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from helpers_rauc import RAUC, Factory, Machine, machine, need_rauc, os_release, run, sha256

from edge_alpr.errors import SlotError
from edge_alpr.ota.types import Slot, Slots

AT_FIRST = Slots("A", "A", (Slot("A", "1.0.0", True), Slot("B", "", True)))


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Factory:
    need_rauc()
    return Factory(tmp_path_factory.mktemp("factory"))


@pytest.fixture
def board(factory: Factory) -> Iterator[Machine]:
    with machine(factory.ca() / "ca.pem") as made:
        yield made


@pytest.fixture(scope="module")
def untouched(factory: Factory) -> Iterator[Machine]:
    """One for all tests that must change nothing."""
    with machine(factory.ca() / "ca.pem") as made:
        yield made


def nothing(done: int, size: int) -> None:
    """Progress that nobody watches."""


def holds(board: Machine, side: str, factory: Factory, version: str) -> bool:
    whole = factory.root_fs(version)
    return sha256(board.side(side), whole.stat().st_size) == sha256(whole)


def test_an_update_is_installed_tried_and_proved(board: Machine, factory: Factory):
    slots, heard = board.slots(), []
    assert slots.look() == AT_FIRST

    bundle = factory.bundle("1.1.0")
    slots.install(bundle, lambda done, size: heard.append((done, size)))

    assert slots.look() == Slots("A", "B", (Slot("A", "1.0.0", True), Slot("B", "1.1.0", True)))
    assert holds(board, "B", factory, "1.1.0")
    assert heard == sorted(heard) and heard[-1] == (bundle.stat().st_size, bundle.stat().st_size)
    assert board.reboot() == "B"
    slots.mark_good()
    assert [board.reboot() for _ in range(2)] == ["B", "B"]
    assert slots.look() == Slots("B", "B", (Slot("A", "", True), Slot("B", "1.1.0", True)))


@pytest.mark.parametrize("jetson", [True, False], ids=["nvbootctrl", "flags"])
def test_an_update_that_nobody_proves_is_tried_three_times(jetson: bool, factory: Factory):
    with machine(factory.ca() / "ca.pem", jetson) as board:
        slots = board.slots()
        slots.install(factory.bundle("1.1.0", board="orin-nano" if jetson else "pc"), nothing)

        assert [board.reboot() for _ in range(4)] == ["B", "B", "B", "A"]
        assert slots.look() == Slots("A", "A", (Slot("A", "1.0.0", True), Slot("B", "1.1.0", False)))


def test_an_update_found_bad_goes_back_and_the_next_one_is_taken(board: Machine, factory: Factory):
    slots = board.slots()
    slots.install(factory.bundle("1.1.0"), nothing)
    assert board.reboot() == "B"

    slots.mark_bad("B")
    slots.activate("A")

    assert board.reboot() == "A"
    assert slots.look().slots == (Slot("A", "1.0.0", True), Slot("B", "1.1.0", False))
    with pytest.raises(SlotError, match="mark-bad"):
        slots.mark_bad("A")
    with pytest.raises(SlotError, match="side B was not wholly installed, or did not prove itself"):
        slots.activate("B")
    with pytest.raises(SlotError, match="no side C; RAUC knows A, B"):
        slots.activate("C")
    slots.install(factory.bundle("1.2.0"), nothing)
    assert board.reboot() == "B"
    assert slots.look().slots[1] == Slot("B", "1.2.0", True)


def tampered(factory: Factory) -> Path:
    data = bytearray(factory.bundle("1.1.0").read_bytes())
    data[len(data) // 2] ^= 1
    (factory.folder / "tampered.raucb").write_bytes(data)
    return factory.folder / "tampered.raucb"


def cut_short(factory: Factory) -> Path:
    (factory.folder / "short.raucb").write_bytes(factory.bundle("1.1.0").read_bytes()[:1_000_000])
    return factory.folder / "short.raucb"


def dated(factory: Factory, name: str, first_day: int, last_day: int) -> Path:
    """Signed with a certificate of the right authority that is good on those days, counted from today."""
    ours, theirs, now = factory.ca(), factory.folder / name, datetime.now(timezone.utc)
    shutil.copytree(ours, theirs, dirs_exist_ok=True)
    authority = x509.load_pem_x509_certificate((ours / "ca.pem").read_bytes())
    key = serialization.load_pem_private_key((ours / "ca.key").read_bytes(), None)
    signer = x509.load_pem_x509_certificate((ours / "signer.pem").read_bytes())
    made = (
        x509.CertificateBuilder(authority.subject, signer.subject, signer.public_key(), 7)
        .not_valid_before(now + timedelta(first_day)).not_valid_after(now + timedelta(last_day))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (theirs / "signer.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return resigned(factory, factory.bundle("1.1.0"), theirs, name)


def without_its_image(factory: Factory) -> Path:
    """Its manifest promises an image that it lacks, and a key of the keyring signed that."""
    tree = factory.folder / "lacking"
    run("unsquashfs", "-d", tree, factory.bundle("1.1.0"))
    (tree / "rootfs.squashfs").unlink()
    payload = factory.folder / "lacking.squashfs"
    run("mksquashfs", tree, payload, "-noappend", "-quiet")
    return sealed(factory, payload.read_bytes(), factory.ca(), "lacking")


def resigned(factory: Factory, bundle: Path, keys: Path, name: str) -> Path:
    data = bundle.read_bytes()
    return sealed(factory, data[: -8 - int.from_bytes(data[-8:], "big")], keys, name)


def sealed(factory: Factory, payload: bytes, keys: Path, name: str) -> Path:
    """A plain bundle: payload, its signature (CMS), and how long that is."""
    paths = [factory.folder / f"{name}.{end}" for end in ("payload", "cms", "raucb")]
    paths[0].write_bytes(payload)
    done = run(
        "openssl", "cms", "-sign", "-binary", "-outform", "DER", "-nosmimecap", "-in", paths[0], "-out", paths[1],
        "-signer", keys / "signer.pem", "-inkey", keys / "signer.key",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    signature = paths[1].read_bytes()
    paths[2].write_bytes(payload + signature + len(signature).to_bytes(8, "big"))
    return paths[2]


def no_bundle(factory: Factory) -> Path:
    return factory.root_fs("1.1.0")


BAD: dict[str, tuple[Callable[[Factory], Path], str]] = {
    "another board":   (lambda factory: factory.bundle("1.1.0", board="agx-orin"), "for edge-alpr-agx-orin, this"),
    "older":           (lambda factory: factory.bundle("0.9.0"), "0.9.0 is older than 1.0.0, which runs"),
    "another keyring": (lambda factory: factory.bundle("1.1.0", "strangers"), "no key of this device's keyring"),
    "tampered":        (tampered, "damaged or cut short: download it again"),
    "cut short":       (cut_short, "damaged or cut short: download it again"),
    "expired":         (lambda factory: dated(factory, "old", -9, -1), "has expired; build it anew, or set this"),
    "clock in 1970":   (lambda factory: dated(factory, "future", 9, 99), "not yet valid; set this device's clock"),
    "lacks its image": (without_its_image, "promises rootfs.squashfs, the bundle lacks it: build it anew"),
    "no bundle":       (no_bundle, "damaged or cut short: download it again"),
    "not there":       (lambda factory: factory.folder / "none.raucb", "not there"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_bundle_is_refused_and_nothing_is_written(case: str, untouched: Machine, factory: Factory):
    make, words = BAD[case]
    bundle, before = make(factory), {side: sha256(untouched.side(side)) for side in "AB"}

    with pytest.raises(SlotError, match=words):
        untouched.slots().install(bundle, nothing)

    assert {side: sha256(untouched.side(side)) for side in "AB"} == before
    assert "set-active" not in (untouched.folder / "calls").read_text(encoding="utf-8")
    assert untouched.slots().look() == AT_FIRST


def model(board: Machine) -> None:
    (board.root / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson AGX Orin\0")


def small_slot(board: Machine) -> None:
    board.side("B").write_bytes(b"x" * 4096)


def full_data(board: Machine) -> None:
    assert run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", board.folder / "data").returncode == 0


HANDLER: dict[str, tuple[Callable[[Machine], None], str, str]] = {
    "other hardware": (model, "1.1.0", "hardware says 'NVIDIA Jetson AGX Orin'"),
    "slot too small": (small_slot, "1.1.0", "has room for 4096: make a smaller image"),
    "data full":      (full_data, "1.1.0", "KiB left, 1024 are needed"),
    "older":          (lambda board: None, "0.9.0", "older than 1.0.0, which runs: going back needs touch"),
    "release candidate": (lambda board: None, "1.0.0rc3", "version 1.0.0rc3 is older than 1.0.0"),
}  # fmt: skip


@pytest.mark.parametrize("case", HANDLER)
def test_what_only_the_device_can_know_is_refused_by_the_handler(case: str, board: Machine, factory: Factory):
    """Whoever calls `rauc install` gets past our own checks (here: `older`), but not past these."""
    change, version, words = HANDLER[case]
    change(board)
    before = sha256(board.side("B"))
    try:
        with pytest.raises(SlotError, match=words):
            board.slots(older=True).install(factory.bundle(version), nothing)
    finally:
        run("umount", board.folder / "data")
    assert sha256(board.side("B")) == before
    assert board.slots().look().primary == "A"


def test_older_on_purpose(board: Machine, factory: Factory):
    (board.root / "run/edge-alpr-older-allowed").touch()
    board.slots(older=True).install(factory.bundle("0.9.0"), nothing)
    assert board.reboot() == "B"


def test_a_boot_loader_that_does_not_do_what_it_says(board: Machine, factory: Factory):
    """Flashed with one root file system, nvbootctrl takes every order and does nothing."""
    (board.folder / "slots").write_text("1", encoding="utf-8")
    with pytest.raises(SlotError, match="boot loader does not say which side"):
        board.slots().look()
    with pytest.raises(SlotError):
        board.slots().install(factory.bundle("1.1.0"), nothing)
    assert board.reboot() == "A"


def test_an_installation_left_behind_is_waited_for(board: Machine, factory: Factory):
    (board.folder / "slow").touch()
    with subprocess.Popen([RAUC, "install", factory.bundle("1.1.0")], stdout=subprocess.PIPE, env=board.own) as left:
        assert left.stdout is not None
        left.stdout.readline()
        left.kill()

    with pytest.raises(SlotError, match="lready processing"):
        board.slots(patience_s=0.0).look()
    board.slots().install(factory.bundle("1.2.0"), nothing)

    assert board.reboot() == "B"
    assert board.slots().look().slots[1].version == "1.2.0"


def test_without_the_service(board: Machine, factory: Factory):
    board.kill_rauc()
    with pytest.raises(SlotError, match="RAUC's service does not run: systemctl status rauc"):
        board.slots().look()
    with pytest.raises(SlotError, match="is rauc installed"):
        board.slots(command=("no-such-rauc",)).look()


def test_who_may_ask_rauc(untouched: Machine):
    """The distribution's policy lets everybody; ours, read after it, root and one group."""
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", RAUC)
    with pytest.raises(SlotError, match="only root and the group edge-alpr-update may ask RAUC"):
        untouched.slots(command=nobody).look()


def test_a_verity_bundle(board: Machine, factory: Factory):
    bundle = factory.bundle("1.1.0", format="verity")
    if Path("/dev/mapper/control").exists():
        board.slots().install(bundle, nothing)
        assert holds(board, "B", factory, "1.1.0")
    else:
        with pytest.raises(SlotError, match="device-mapper: build it --format plain"):
            board.slots().install(bundle, nothing)
        assert board.slots().look() == AT_FIRST
        pytest.skip("no device-mapper: a verity bundle was refused, as it must be, and none was installed")


def test_other_image_types_are_copied(board: Machine, factory: Factory):
    tree, ext4 = factory.folder / "tree", factory.folder / "root.ext4"
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/lib/os-release").write_text(os_release("1.1.0"), encoding="utf-8")
    assert run("mkfs.ext4", "-q", "-d", tree, ext4, "4M").returncode == 0
    board.slots().install(factory.bundle("1.1.0", rootfs=ext4, build="ext4"), nothing)
    assert sha256(board.side("B"), ext4.stat().st_size) == sha256(ext4)


@pytest.fixture
def partition(board: Machine) -> Iterator[Machine]:
    """Side B is a block device, as on a board."""
    file = board.side("B").rename(board.folder / "b.img")
    os.truncate(file, 32 << 20)
    device = run("losetup", "--find", "--show", file).stdout.strip()
    board.side("B").symlink_to(device)
    try:
        yield board
    finally:
        board.cut()
        run("losetup", "--detach", device)


def test_a_side_on_a_partition(partition: Machine, factory: Factory):
    partition.slots().install(factory.bundle("1.1.0"), nothing)
    assert partition.reboot() == "B"


def test_a_tar_is_unpacked_into_a_new_file_system(partition: Machine, factory: Factory):
    """`put --type ext4`: RAUC formats the side and unpacks the image into it."""
    tree, tar = factory.folder / "unpacked", factory.folder / "root.tar.gz"
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/lib/os-release").write_text(os_release("1.1.0"), encoding="utf-8")
    run("tar", "-C", tree, "-czf", tar, ".")
    partition.cut()
    partition.config.write_text(partition.config.read_text(encoding="utf-8").replace("=raw", "=ext4"), encoding="utf-8")
    partition.start().slots().install(factory.bundle("1.1.0", rootfs=tar, build="tar"), nothing)

    partition.cut()
    said = run("debugfs", "-R", "cat /usr/lib/os-release", partition.side("B"))
    assert said.stdout == os_release("1.1.0")
