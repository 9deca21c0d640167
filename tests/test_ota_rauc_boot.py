"""What RAUC asks of the boot loader, on each board; and what RAUC says, read."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers_parts import missing
from packaging.version import Version

from edge_alpr.errors import SlotError
from edge_alpr.ota.rauc import RaucSlots
from edge_alpr.ota.raucoutput import Bundle, busy, percent, read_info, read_status, reason, refuse, with_remedy
from edge_alpr.ota.types import Slot, Slots

DEPLOY = Path(__file__).resolve().parents[1] / "deploy" / "rauc"
STANDIN = Path(__file__).with_name("standin_nvbootctrl")
GUID = "781e084c-a330-417c-b678-38e696380cb9"
NORMAL, UNBOOTABLE = bytes([7, 0, 0, 0, 0, 0, 0, 0]), bytes([7, 0, 0, 0, 255, 0, 0, 0])


@dataclass
class Jetson:
    """The firmware's state in a folder; A runs."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "efivars").mkdir(parents=True)
        for name, text in {"current": "0", "active": "0", "retry.A": "3", "retry.B": "3", "slots": "2"}.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        for side in "AB":
            self.variable(side).write_bytes(NORMAL)

    def variable(self, side: str) -> Path:
        return self.folder / "efivars" / f"RootfsStatusSlot{side}-{GUID}"

    def run(self, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ, "STANDIN_BOARD": str(self.folder), "EDGE_ALPR_NVBOOTCTRL": str(STANDIN),
            "EDGE_ALPR_EFIVARS": str(self.folder / "efivars"),
        }  # fmt: skip
        return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=False)

    def ask(self, *arguments: str) -> str:
        done = self.run(DEPLOY / "bootloader", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def no(self, *arguments: str) -> str:
        done = self.run(DEPLOY / "bootloader", *arguments)
        assert done.returncode == 1
        return done.stderr

    def boot(self) -> str:
        return self.run(STANDIN, "boot").stdout.strip()


@pytest.fixture
def jetson(tmp_path: Path) -> Jetson:
    return Jetson(tmp_path / "board")


def test_an_installation_as_rauc_asks_it(jetson: Jetson):
    """The calls of `rauc install`, in its order, then those of the proof."""
    assert (jetson.ask("get-current"), jetson.ask("get-primary")) == ("A", "A")
    jetson.ask("set-state", "B", "bad")
    assert jetson.variable("B").read_bytes() == UNBOOTABLE
    assert (jetson.ask("get-state", "A"), jetson.ask("get-state", "B")) == ("good", "bad")
    assert jetson.boot() == "A", "cut while the image is written"

    jetson.ask("set-primary", "B")
    assert jetson.variable("B").read_bytes() == NORMAL
    assert (jetson.ask("get-primary"), jetson.ask("get-state", "B"), jetson.ask("get-current")) == ("B", "good", "A")
    assert jetson.boot() == "B"
    jetson.ask("set-state", "B", "good")
    assert [jetson.boot() for _ in range(3)] == ["B"] * 3
    assert "bootloader verify" in (jetson.folder / "calls").read_text(encoding="utf-8")


def test_nobody_says_good(jetson: Jetson):
    jetson.ask("set-primary", "B")
    assert [jetson.boot() for _ in range(4)] == ["B", "B", "B", "A"]
    assert (jetson.ask("get-primary"), jetson.ask("get-state", "B")) == ("A", "bad")


def test_the_last_side_is_never_given_up(jetson: Jetson):
    jetson.ask("set-state", "B", "bad")
    assert "no side would be left" in jetson.no("set-state", "A", "bad")
    assert jetson.variable("A").read_bytes() == NORMAL


def test_the_side_that_does_not_run_is_good_again_without_verify(jetson: Jetson):
    jetson.ask("set-state", "B", "bad")
    jetson.ask("set-state", "B", "good")
    assert jetson.ask("get-state", "B") == "good"
    assert "verify" not in (jetson.folder / "calls").read_text(encoding="utf-8")


def test_a_board_with_one_root_file_system(jetson: Jetson):
    (jetson.folder / "slots").write_text("1", encoding="utf-8")
    for question in (["get-primary"], ["get-state", "A"], ["set-primary", "B"], ["set-state", "B", "bad"]):
        assert "flash it with ROOTFS_AB=1" in jetson.no(*question)
    assert jetson.variable("B").read_bytes() == NORMAL


def test_an_order_that_nvbootctrl_forgets_is_noticed(jetson: Jetson):
    (jetson.folder / "forgetful").touch()
    assert "said it made slot B active, and did not" in jetson.no("set-primary", "B")


def test_no_nvbootctrl(jetson: Jetson, tmp_path: Path):
    done = subprocess.run(
        [DEPLOY / "bootloader", "get-primary"], env={**os.environ, "EDGE_ALPR_NVBOOTCTRL": str(tmp_path / "none")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "is this a Jetson" in done.stderr


WRONG = [[], ["get-state"], ["get-state", "C"], ["set-state", "A", "fine"], ["set-primary", "C"]]


@pytest.mark.parametrize("words", WRONG)
def test_wrong_words(words: list[str], jetson: Jetson):
    assert "bootloader: " in jetson.no(*words)


def test_variables_are_immutable_as_efivarfs_makes_them(jetson: Jetson):
    """Only root may lift the flag, and only where the file system knows it."""
    if subprocess.run(["chattr", "+i", jetson.variable("B")], capture_output=True, check=False).returncode:
        pytest.skip("not root, or no such flag on this file system")
    try:
        with pytest.raises(PermissionError):
            jetson.variable("B").write_bytes(UNBOOTABLE)
        jetson.ask("set-state", "B", "bad")
        assert jetson.variable("B").read_bytes() == UNBOOTABLE
    finally:
        subprocess.run(["chattr", "-i", jetson.variable("B")], check=False)


@dataclass
class Flags:
    """A machine without nvbootctrl."""

    path: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ, "EDGE_ALPR_BOOT_FLAGS": str(self.path),
            "EDGE_ALPR_CMDLINE": str(self.path.with_name("cmdline")),
        }  # fmt: skip
        return subprocess.run(
            [DEPLOY / "bootloader-flags", *arguments], env=environment, capture_output=True, text=True, check=False
        )

    def ask(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def flags(tmp_path: Path) -> Flags:
    (tmp_path / "flags").write_bytes(bytes(8192))
    return Flags(tmp_path / "flags")


def test_flags_in_a_file(flags: Flags):
    assert flags.ask("show") == "primary=A A=good/- B=bad/0"
    flags.ask("set-primary", "B")
    assert [flags.ask("boot") for _ in range(4)] == ["B", "B", "B", "A"]
    assert flags.ask("show") == "primary=A A=good/- B=bad/0"
    assert "no side would be left" in flags.run("set-state", "A", "bad").stderr
    flags.ask("set-primary", "B")
    assert flags.ask("boot") == "B"
    flags.ask("set-state", "B", "good")
    assert [flags.ask("boot") for _ in range(5)] == ["B"] * 5
    flags.ask("set-state", "A", "bad")
    assert flags.ask("get-state", "A") == "bad"


def test_flags_that_a_power_cut_tore(flags: Flags):
    """At most one of the copies is torn: the other one counts, the old or the new one."""
    before = flags.path.read_bytes()
    flags.ask("set-primary", "B")
    old, new = b"primary=A A=good/- B=bad/0", b"primary=B A=good/- B=good/3"
    after = flags.path.read_bytes()
    for cut in (1, 20, 30):
        flags.path.write_bytes(after[:cut] + before[cut:])
        assert flags.ask("show").encode() == old
        flags.path.write_bytes(after[: 4096 + cut] + before[4096 + cut :])
        assert flags.ask("show").encode() == new
        flags.path.write_bytes(before[:cut] + after[cut:])  # the first copy of the next change, torn
        assert flags.ask("show").encode() == new


@pytest.mark.parametrize(("cmdline", "side"), [("ro rauc.slot=B x", "B"), ("rauc.slot=A", "A"), ("rauc.slot=C", "")])
def test_which_side_the_kernel_was_told(cmdline: str, side: str, flags: Flags):
    flags.path.with_name("cmdline").write_text(f"{cmdline}\n", encoding="utf-8")
    done = flags.run("get-current")
    assert (done.stdout.strip(), done.returncode) == (side, 0 if side else 1)


def test_flags_in_the_image_of_a_whole_disk(flags: Flags, monkeypatch: pytest.MonkeyPatch):
    """The program that starts qemu looks at the partition from outside."""
    inside = flags.path.with_name("partition")
    inside.write_bytes(bytes(8192))
    Flags(inside).ask("set-primary", "B")
    flags.path.write_bytes(bytes(2048 * 512) + inside.read_bytes())
    monkeypatch.setenv("EDGE_ALPR_BOOT_SECTOR", "2048")
    assert [flags.ask("boot") for _ in range(4)] == ["B", "B", "B", "A"]
    assert flags.path.read_bytes()[: 2048 * 512] == bytes(2048 * 512)


def test_no_flags_there(tmp_path: Path):
    assert "make a file or a partition of that name" in Flags(tmp_path / "none").run("get-primary").stderr


SIDE = (
    b'{"class":"rootfs","device":"/dev/x","type":"raw","bootname":"%s","state":"%s","parent":null,"mountpoint":null,'
    b'"boot_status":"%s","slot_status":{"bundle":{"compatible":%s}}}'
)
STATUS = (
    b'{"compatible":"edge-alpr-pc","variant":"","booted":"A","boot_primary":%s,"slots":[{"rootfs.1":'
    + SIDE % (b"B", b"inactive", b"bad", b'"edge-alpr-pc","version":"1.2.0","build":"x"')
    + b'},{"rootfs.0":' + SIDE % (b"A", b"%s", b"good", b"null") + b'}],"artifact-repositories":[]}'
)  # fmt: skip
"""As 1.8 and 1.13 print it; only 1.13 the last word."""


def test_what_rauc_says_of_the_slots():
    board = read_status(STATUS % (b'"rauc.0"'.replace(b"rauc", b"rootfs"), b"booted"), "1.0.0")
    assert board.slots == Slots("A", "A", (Slot("A", "1.0.0", True), Slot("B", "1.2.0", False)))
    assert dict(board.names) == {"A": "rootfs.0", "B": "rootfs.1"}
    for primary, booted, words in ((b"null", b"booted", "boot loader"), (b'"rootfs.0"', b"other", "rauc.slot=A or B")):
        with pytest.raises(SlotError, match=words):
            read_status(STATUS % (primary, booted))
    for text in (b"", b"[]", b'{"compatible":"x"}', b"\xff"):
        with pytest.raises(SlotError, match="which version is it"):
            read_status(text)


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        (Bundle("edge-alpr-pc", "1.0.0"), ""), (Bundle("edge-alpr-pc", "1.10.0"), ""),
        (Bundle("edge-alpr-pc", "new"), ""), (Bundle("edge-alpr-pc", "0.9.9"), "0.9.9 is older than 1.0.0"),
        (Bundle("edge-alpr-pc", "1.0.0rc1"), "older"), (Bundle("", "2"), "is for no board"),
        (Bundle("edge-alpr-thor", "2.0.0"), "is for edge-alpr-thor, this device is edge-alpr-pc"),
    ],
)  # fmt: skip
def test_which_bundles_are_for_this_device(bundle: Bundle, words: str):
    board = read_status(STATUS % (b'"rootfs.0"', b"booted"), "1.0.0")
    if not words:
        refuse(bundle, board, older=False)
    else:
        with pytest.raises(SlotError, match=words):
            refuse(bundle, board, older=False)


def test_what_rauc_prints():
    assert [percent(line) for line in ("  0% Installing", "100% Installing done.", "installing")] == [0, 100, None]
    assert read_info(b'{"compatible":"edge-alpr-pc","version":"1.2.0","build":null}') == Bundle("edge-alpr-pc", "1.2.0")
    assert reason("installing\n 20% Checking\nLastError: Pigs\nInstalling `a` failed") == "Pigs"
    assert reason("rauc-Message: 19:00:14.522: Reading\nBad thing\n") == "Bad thing"
    assert reason("") == "RAUC gave no reason"
    assert busy("Already processing a different method") and not busy("Compatible mismatch")
    assert with_remedy("Pigs fly") == "Pigs fly; see journalctl -u rauc"


def test_half_a_status_is_asked_for_again(tmp_path: Path):
    """Where an installation begins between RAUC's two questions, it leaves that out and calls it success."""
    half, whole = STATUS % (b"null", b"booted"), STATUS % (b'"rootfs.0"', b"booted")
    (tmp_path / "half").write_bytes(half)
    (tmp_path / "whole").write_bytes(whole)
    script = tmp_path / "rauc"
    script.write_text(
        f"#!/bin/sh\ncd {tmp_path}\n[ -e half ] || exec cat whole\ncat half\nrm half\n"
        "echo 'already processing a different method' >&2\n", encoding="utf-8",
    )  # fmt: skip
    script.chmod(0o755)
    assert RaucSlots((str(script),), release=tmp_path / "none").look().primary == "A"


ORDER = ["0.9", "1.0.dev2", "1.0.dev10+gabc", "1.0a1", "1.0b1", "1.0rc1.dev1", "1.0rc1", "1.0rc10", "1.0", "1.0.1"]


def test_versions_stand_for_the_handler_as_for_us(tmp_path: Path):
    for name in ("etc", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "system.conf").write_text(f"statusfile={tmp_path}/central.raucs\n", encoding="utf-8")
    environment = {
        **os.environ, "EDGE_ALPR_ROOT": str(tmp_path), "RAUC_BUNDLE_MOUNT_POINT": str(tmp_path),
        "RAUC_SYSTEM_CONFIG": str(tmp_path / "system.conf"),
    }  # fmt: skip

    def takes(new: str, now: str) -> bool:
        (tmp_path / "manifest.raucm").write_text(f"[update]\ncompatible=any\nversion={new}\n", encoding="utf-8")
        (tmp_path / "etc/os-release").write_text(f"IMAGE_VERSION={now}\n", encoding="utf-8")
        done = subprocess.run([DEPLOY / "pre-install"], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "is older than" in (tmp_path / "run/rauc-refused").read_text(encoding="utf-8")
        return done.returncode == 0

    assert sorted(ORDER, key=Version) == ORDER
    for lower, higher in itertools.pairwise(ORDER):
        assert takes(higher, lower) and takes(lower, lower) and not takes(lower, higher), (lower, higher)


def test_the_scripts_are_plain_sh():
    if shutil.which("shellcheck") is None:
        missing("shellcheck is not installed")
    scripts = [path for path in sorted(DEPLOY.iterdir()) if path.read_bytes().startswith(b"#!/bin/sh")]
    done = subprocess.run(
        ["shellcheck", "-x", *scripts, DEPLOY.parent / "bundle", STANDIN], cwd=DEPLOY.parents[1],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert len(scripts) == 6
