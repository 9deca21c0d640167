"""Flashing at the bench: what is found wrong and its way out, the partition table, and what NVIDIA's tool gets."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy"))

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flash_tool.boards import BOARDS, GIB
from flash_tool.check import Request, examine
from flash_tool.image import Image
from flash_tool.layout import Layout, make_table, partitions
from flash_tool.plan import make_plan
from flash_tool.problems import PROBLEMS, FlashError
from flash_tool.run import carry_out
from flash_tool.sizes import parse_size, told
from helpers_bench import RELEASE, World
from release_tool.signing import pem_of
from release_tool.sums import sha256_of, write_sums


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def codes(world: World, request: Request | None = None, *, root: bool = True) -> list[str]:
    return [found.code for found in examine(request or world.request(), world.bench(root=root)).problems]


def make_image(folder: Path, release: str = RELEASE) -> Path:
    """A small tar of a root file system."""
    folder.mkdir(exist_ok=True)
    path = folder / "edge-alpr-orin-nano-1.2.0.tar"
    with tarfile.open(path, "w") as tar:
        for name, text in {"./etc/hostname": "car\n", "./etc/nv_tegra_release": release}.items():
            if text:
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                tar.addfile(entry, BytesIO(text.encode()))
    return path


def released(world: World) -> tuple[Image, Path]:
    """An image in a signed release, with the key that vouches for it; and an empty rootfs to unpack it into."""
    folder = world.bsp.parent / "release"
    image, key = make_image(folder), Ed25519PrivateKey.generate()
    sums = write_sums(folder, [image.name])
    (folder / "SHA256SUMS.sig").write_bytes(key.sign(sums.read_bytes()))
    public = world.bsp.parent / "release.pub"
    public.write_bytes(pem_of(key.public_key()))
    empty_rootfs(world)
    return Image(image, key=public), folder


def empty_rootfs(world: World) -> None:
    (world.bsp / "rootfs/etc/nv_tegra_release").unlink()
    (world.bsp / "rootfs/etc").rmdir()


def test_nothing_is_wrong_with_a_bench_where_all_is_well(world: World):
    assert codes(world) == []


@pytest.mark.parametrize("board", BOARDS)
def test_each_board_is_found_by_its_usb_ids(board: str, world: World):
    world.release(39, 2, 0)
    world.write("rootfs/etc/nv_tegra_release", "# R39 (release), REVISION: 2.0, GCID: 1")
    for product in BOARDS[board].modules:
        world.plug(product)
        for medium in BOARDS[board].media:
            assert codes(world, world.request(board, medium.name)) == []


def _no_bsp(world: World) -> Request:
    return replace(world.request(), bsp=world.bsp.parent)


def _older(world: World) -> None:
    world.release(35, 4, 1)
    world.write("rootfs/etc/nv_tegra_release", "# R35 (release), REVISION: 4.1")


def _missing_file(world: World) -> None:
    (world.bsp / "kernel/Image").unlink()


def _bad_template(world: World) -> None:
    world.write(world.board.media[0].template, "<partition_layout><device type='external'/></partition_layout>")


def _unreadable_template(world: World) -> None:
    world.write(world.board.media[0].template, "<partition_layout>")


def _huge(world: World) -> None:
    with (world.bsp / "rootfs" / "big").open("wb") as file:
        file.truncate(8 << 40)


def _too_big(world: World) -> None:
    with (world.bsp / "rootfs" / "big").open("wb") as file:
        file.truncate(200 << 20)


def _spoilt_image(world: World) -> Request:
    image, _ = released(world)
    with tarfile.open(image.path, "a") as tar:
        tar.addfile(tarfile.TarInfo("etc/evil"))
    return world.request(image=image)


def _unsigned_image(world: World) -> Request:
    image, folder = released(world)
    (folder / "SHA256SUMS.sig").unlink()
    return world.request(image=image)


def _other_signature(world: World) -> Request:
    image, folder = released(world)
    signature = Ed25519PrivateKey.generate().sign((folder / "SHA256SUMS").read_bytes())
    (folder / "SHA256SUMS.sig").write_bytes(signature)
    return world.request(image=image)


def _renamed_image(world: World) -> Request:
    image, folder = released(world)
    image.path.rename(folder / "other.tar")
    return world.request(image=Image(folder / "other.tar", key=image.key))


def _no_key(world: World) -> Request:
    return world.request(image=Image(released(world)[0].path))


def _no_image(world: World) -> Request:
    empty_rootfs(world)
    return world.request(image=Image(world.bsp / "none.tar", sha256="0" * 64))


def _broken_image(world: World) -> Request:
    empty_rootfs(world)
    path = world.bsp.parent / "half.tar"
    path.write_bytes(make_image(world.bsp.parent / "whole").read_bytes()[:700])
    return world.request(image=Image(path, sha256=sha256_of(path)))


def _taken(world: World) -> Request:
    path = make_image(world.bsp.parent)
    return world.request(image=Image(path, sha256=sha256_of(path)))


SPOILT: list[tuple[str, Callable[[World], Request | None]]] = [
    ("no-bsp", _no_bsp),
    ("wrong-release", _older),
    ("wrong-release", lambda world: world.write("nv_tegra/bsp_version", "none")),
    ("missing-file", _missing_file),
    ("no-board-config", lambda world: (world.bsp / "jetson-orin-nano-devkit.conf").unlink()),
    ("bad-template", _bad_template),
    ("bad-template", _unreadable_template),
    ("rootfs-empty", empty_rootfs),
    ("rootfs-taken", _taken),
    ("rootfs-bare", lambda world: world.write("rootfs/etc/nv_tegra_release", "")),
    ("rootfs-other-release", lambda world: world.write("rootfs/etc/nv_tegra_release", "R36 (release), REVISION: 3.0")),
    ("no-image", _no_image),
    ("no-image", _broken_image),
    ("image-mismatch", _spoilt_image),
    ("image-unsigned", _unsigned_image),
    ("image-bad-signature", _other_signature),
    ("image-not-listed", _renamed_image),
    ("no-key", _no_key),
    ("too-big", lambda world: _too_big(world) or world.request(slot_bytes=128 << 20)),
    ("disk-too-small", lambda world: world.request(slot_bytes=28 * GIB)),
    ("bad-slot", lambda world: world.request(slot_bytes=12 * 10**9 + 1)),
    ("no-space", lambda world: _huge(world) or world.request(slot_bytes=16 << 40, disk_bytes=64 << 40)),
    ("no-tool", lambda world: (world.tools / "xmlstarlet").unlink()),
    ("no-board", lambda world: world.plug()),
    ("board-runs", lambda world: world.plug("7020")),
    ("two-boards", lambda world: world.plug("7523", "7323")),
    ("wrong-board", lambda world: world.plug("7323")),
]  # fmt: skip


@pytest.mark.parametrize(("code", "spoil"), SPOILT, ids=[f"{number}-{code}" for number, (code, _) in enumerate(SPOILT)])
def test_what_is_wrong_is_found_and_nothing_else(code: str, spoil: Callable[[World], Request | None], world: World):
    request = spoil(world)

    assert codes(world, request) == [code]


def test_who_is_not_root_is_told(world: World):
    assert codes(world, root=False) == ["not-root"]


def test_each_problem_is_tried():
    assert {code for code, _ in SPOILT} | {"not-root", "no-such-medium"} == PROBLEMS.keys()


def test_the_image_of_a_signed_release_is_taken(world: World):
    image, _ = released(world)

    assert codes(world, world.request(image=image)) == []


def test_an_image_for_another_release_is_not(world: World):
    empty_rootfs(world)
    path = make_image(world.bsp.parent, "# R39 (release), REVISION: 2.0")

    assert codes(world, world.request(image=Image(path, sha256=sha256_of(path)))) == ["rootfs-other-release"]


@pytest.mark.parametrize(("board", "medium"), [(b.name, m.name) for b in BOARDS.values() for m in b.media])
def test_the_table_has_two_slots_of_a_size_and_data_that_fills_the_rest(board: str, medium: str, world: World):
    place = world.request(board, medium).medium
    table = make_table(world.bsp / place.template, Layout(place, 12 * GIB, 100 * GIB))
    device = next(d for d in ET.fromstring(table).iter("device") if d.get("type") == place.device)
    attributes = {p.get("name"): (p.findtext("allocation_attribute") or "").strip() for p in device.iter("partition")}
    names = [p.get("name") for p in device.iter("partition")]

    found = partitions(table, place)
    assert found["APP"] == (1, 12 * GIB)
    assert found["APP_b"] == (2, 12 * GIB)
    assert found["data"][0] == max(number for number, _ in found.values())
    assert names[-2:] == ["data", "secondary_gpt"]
    assert {name for name, value in attributes.items() if int(value, 0) & 0x800} == {"data"}
    assert device.get("num_sectors") == str(100 * GIB // 512)
    assert ET.fromstring(table).findall("device")[0].get("type") == "spi"


def test_data_is_the_seventeenth_partition_where_sixteen_are_before_it(world: World):
    place = world.board.media[0]
    text = (world.bsp / place.template).read_text()
    more = "".join(f'<partition name="more{n}" type="data"><size> 512 </size></partition>' for n in range(5))
    world.write(place.template, text.replace('<partition name="APP"', f'{more}<partition name="APP"'))

    found = partitions(make_table(world.bsp / place.template, Layout(place, GIB, 60 * GIB)), place)
    assert found["more4"][0] == 16
    assert found["data"][0] == 17


def flashed(world: World, request: Request) -> list[str]:
    """What NVIDIA's tool was given, and its environment."""
    world.plug(next(iter(request.board.modules)))
    findings = examine(request, world.bench())
    assert findings.problems == ()
    carry_out(make_plan(request, findings.system), world.bsp.parent / "log", lambda what, line: None)
    return (world.bsp / "flashed").read_text().splitlines()


def test_nvidias_tool_gets_our_table_and_asks_for_two_slots(world: World):
    said = flashed(world, world.request())

    table = "tools/kernel_flash/edge-alpr-orin-nano-nvme.xml"
    assert said == [
        "--external-device", "nvme0n1p1", "-c", table, "-S", str(12 * GIB),
        "-p", "-c bootloader/generic/cfg/flash_t234_qspi.xml", "--network", "usb0",
        "jetson-orin-nano-devkit", "internal", "ROOTFS_AB=1", "ROOTFS_RETRY_COUNT_MAX=3", str(world.bsp),
    ]  # fmt: skip
    assert 'name="data"' in (world.bsp / table).read_text()
    assert "writing APP" in (world.bsp.parent / "log").read_text()


def test_a_board_of_another_maker_and_an_emmc(world: World):
    world.write("agx-in-a-box.conf", "")
    said = flashed(world, world.request("agx-orin", "emmc", config="agx-in-a-box"))

    assert said[:-3] == [
        "-p", f"-c tools/kernel_flash/edge-alpr-agx-orin-emmc.xml -S {12 * GIB}",
        "--network", "usb0", "agx-in-a-box", "internal",
    ]  # fmt: skip


@pytest.mark.parametrize("release", [RELEASE, ""])
def test_an_image_is_unpacked_and_gets_nvidias_drivers_where_it_lacks_them(release: str, world: World):
    empty_rootfs(world)
    path = make_image(world.bsp.parent, release)
    flashed(world, world.request(image=Image(path, sha256=sha256_of(path))))

    assert (world.bsp / "rootfs/etc/hostname").read_text() == "car\n"
    assert (world.bsp / "applied").exists() == (not release)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("No devices to flash", "FC REC"),
        ("Error, too many devices in RCM mode", "one board"),
        ("NFS port is blocked by UFW. Please allow NFS port in UFW.", "firewall"),
        ("ERROR sshpass not found! To install - please run", "l4t_flash_prerequisites"),
        ("Error: probing the target board failed.", "USB port"),
        ("cp: error writing 'x': No space left on device", "free space"),
        ("Cannot find /dev/nvme0n1", "its slot"),
        ("something new", "recovery mode anew"),
    ],
)
def test_what_nvidias_tool_says_when_it_fails_gets_its_remedy(said: str, remedy: str, world: World):
    world.flasher(f'#!/bin/sh\necho "{said}"\nexit 1\n')

    with pytest.raises(FlashError, match="exit status 1") as error:
        flashed(world, world.request())
    assert remedy in str(error.value)
    assert said in str(error.value)
    assert str(world.bsp.parent / "log") in str(error.value)


def _command(repo: Path, world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{world.tools}:{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "flash_tool", *arguments, "--bsp", str(world.bsp), "--board", "orin-nano"],
        env={**os.environ, "PYTHONPATH": f"{repo / 'deploy'}:{repo}", "PATH": path, "NO_COLOR": "1"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_dry_run_prints_what_would_be_done_and_does_nothing(repo: Path, world: World):
    before = sorted(world.bsp.rglob("*"))
    done = _command(repo, world, "run", "--dry-run", "--sysfs", str(world.sysfs))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ROOTFS_AB=1 ROOTFS_RETRY_COUNT_MAX=3 ./tools/kernel_flash/l4t_initrd_flash.sh --ext" in done.stdout
    assert "nvme0n1p1   APP " in done.stdout
    assert sorted(world.bsp.rglob("*")) == before


def test_check_tells_what_is_missing_and_what_mends_it(repo: Path, world: World):
    world.plug()
    done = _command(repo, world, "check", "--sysfs", str(world.sysfs))

    assert done.returncode == 2
    assert "no board in recovery mode" in done.stdout
    assert "FC REC" in done.stdout


def test_wrong_usage_is_one_line_and_exit_2(repo: Path, world: World):
    for wrong in (["--slot", "twelve"], ["--medium", "emmc"]):
        done = _command(repo, world, "check", "--sysfs", str(world.sysfs), *wrong)
        assert done.returncode == 2
        assert wrong[-1] in done.stderr


def test_the_table_can_be_looked_at(repo: Path, world: World):
    done = _command(repo, world, "table")

    assert partitions(done.stdout, world.board.media[0])["data"][1] == 4 * GIB


@pytest.mark.parametrize(("text", "size", "again"), [("12GiB", 12 * GIB, "12 GiB"), ("512 MiB", 512 << 20, "512 MiB"),
    ("64GB", 64 * 10**9, "59.6 GiB"), ("100", 100, "100 bytes")])  # fmt: skip
def test_sizes_are_read_and_told(text: str, size: int, again: str):
    assert parse_size(text) == size
    assert told(size) == again
