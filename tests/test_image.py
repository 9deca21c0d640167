"""The device's image: its recipe's lists, what its first boot does, its bill of materials.

All of it is built and started in an emulated machine where that is asked for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from contextlib import closing
from itertools import chain
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from conftest import ROOT
from helpers_parts import missing

from edge_alpr.camera.decoders import _PACKAGES
from edge_alpr.sinks.schema import INSERT, MIGRATIONS

sys.path.insert(0, str(ROOT / "deploy/image"))
sys.path.insert(0, str(ROOT / "deploy"))
from emulate import inside
from emulate.machine import Boot
from emulate.verdict import lasting, problems
from recipe import __main__ as command
from recipe import pack, sbom, tree, wheels
from recipe.boards import BOARDS, ENABLED, EXTRAS, KEPT, READER, SYSTEM
from recipe.compiled import compile_all
from recipe.slim import packages_of, slim, thinned
from release_tool import lock as released

IMAGE = ROOT / "deploy/image"
FILES = IMAGE / "rootfs"
ASK = "EDGE_ALPR_IMAGE"
"""Set to 1 to build the image twice and start it: an hour on two cores."""
LEFT_OUT = {"vah264dec", "vah265dec", "vajpegdec", "nvh264dec", "nvh265dec", "nvjpegdec", "cudaupload", "cudaconvert"}
"""Elements for graphics cards of PCs, which no board has."""


def run(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=120)


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            missing(f"{program} is not installed")


def test_the_image_has_what_reading_takes(repo: Path):
    text = (repo / "scripts/setup.sh").read_text(encoding="utf-8")
    found = re.search(r"^read_packages='([^']+)'", text, re.MULTILINE)
    assert found and set(found[1].split()) == {*READER, "gstreamer1.0-libav"}
    assert "gstreamer1.0-libav" in BOARDS["pc"].packages
    assert "gstreamer1.0-libav" not in BOARDS["orin-nano"].packages, "the boards decode with NVIDIA's elements"


def test_the_plugins_kept_bring_the_elements_that_reading_takes():
    gi = pytest.importorskip("gi")
    gi.require_version("Gst", "1.0")
    from gi.repository import Gst  # noqa: PLC0415 - after the check

    Gst.init(None)
    looked_at = 0
    for element, package in _PACKAGES.items():
        factory = Gst.ElementFactory.find(element)
        if package in KEPT and element not in LEFT_OUT and factory is not None:
            looked_at += 1
            assert factory.get_plugin_name() in KEPT[package], element
    assert looked_at > 15 or missing("GStreamer's plugins are not installed")


def test_a_board_s_image_can_be_flashed_and_bundled():
    assert all(set(board.formats) == {"ext4", "tar"} for board in BOARDS.values() if board.nvidia)


def test_every_unit_of_the_project_is_known_to_the_image(repo: Path):
    units = [unit for unit in (repo / "deploy/systemd").glob("*.*") if "[Install]" in unit.read_text(encoding="utf-8")]
    off = {"edge-alpr-display.service", "edge-alpr-kiosk.service", "edge-alpr-sound.service"}
    assert {unit.name for unit in units if unit.name not in ENABLED} <= off


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_the_lock_has_all_that_our_wheel_asks_for(python: str, repo: Path):
    """After a change of pyproject.toml the locks are made anew: deploy/image/lock."""
    lock = (wheels.LOCKS / f"python{python}.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    text = (repo / "pyproject.toml").read_text(encoding="utf-8")
    asked = re.findall(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    asked += [line for extra in EXTRAS for line in re.findall(rf"^{extra} = \[(.*)\]", text, re.MULTILINE)]
    entries = [entry for part in asked for entry in re.findall(r'"([^"]+)"', part)]
    wanted = {re.split(r"[>=\[;]", entry)[0] for entry in entries if "python_version" not in entry}
    assert len(wanted) > 15
    assert wanted <= locked
    assert all("--hash=sha256:" in entry for entry in lock.replace("\\\n", "").splitlines() if entry)


def a_wheel(folder: Path, name: str, version: str) -> Path:
    """A package with one module."""
    folder.mkdir(exist_ok=True)
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", f"version = '{version}'\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return path


def test_what_the_lock_names_is_installed_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    index, ours = tmp_path / "index", a_wheel(tmp_path / "ours", "edge_alpr", "7.1.0")
    locked = {version: a_wheel(index, "foo", version) for version in ("1.0", "2.0")}
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(wheels, "LOCKS", tmp_path)
    for version in ("2.0", "1.0"):
        entry = f"foo=={version} \\\n    --hash=sha256:{pack.sha256(locked[version])}\n"
        (tmp_path / "python3.11.txt").write_text(entry, encoding="utf-8")
        made = wheels.fetch(ROOT, "3.11", tmp_path / "cache", 1764000000, ours)
        assert sorted(path.name for path in made.folder.glob("*.whl")) == [ours.name, locked[version].name]

    wheels.install(made, tmp_path / "tree", "3.11", 1764000000)
    site = tmp_path / "tree/opt/edge-alpr/lib/python3.11/site-packages"
    assert sorted(path.name for path in site.glob("*.dist-info")) == ["edge_alpr-7.1.0.dist-info", "foo-1.0.dist-info"]
    assert not list(site.glob("*/direct_url.json")), "that would name a folder of this machine"
    (made.folder / locked["1.0"].name).write_bytes(b"another")
    with pytest.raises(subprocess.CalledProcessError):
        wheels.install(made, tmp_path / "again", "3.11", 1764000000)


def test_a_board_s_image_that_cannot_drive_is_warned_of():
    words = ["--suite", "jammy", "--mirror", "http://localhost"]
    told = command.warnings(command.arguments(["--board", "thor", *words]))
    assert [line.split()[2] for line in told] == ["--nvidia", "--keyring", "--tuf"]
    assert not command.warnings(command.arguments(["--board", "pc", *words]))


def test_of_the_repositories_only_both_roots_go_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--suite", "jammy", "--mirror", "http://localhost", "--tuf", str(tmp_path / "tuf")]
    for name in ("director/root.json", "image/root.json", "image/keys/root.pem"):
        (tmp_path / "tuf" / name).parent.mkdir(parents=True)
        (tmp_path / "tuf" / name).write_text(name, encoding="utf-8")
    tree.put_roots(command.arguments(words).tuf, tmp_path / "out")
    found = [path.relative_to(tmp_path / "out").as_posix() for path in sorted(tmp_path.glob("out/**/*.*"))]
    assert found == ["director/root.json", "image/root.json"]
    (tmp_path / "tuf/image/root.json").unlink()
    with pytest.raises(SystemExit):
        command.arguments(words)
    assert "has no image/root.json" in capsys.readouterr().err


def test_a_unit_that_is_not_there_is_not_enabled(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"edge-alpr-kiosk: there is no such unit"):
        tree.settle(tmp_path, ["edge-alpr-kiosk"])


def test_modules_of_ours_must_compile_and_others_need_not(tmp_path: Path):
    python = ".".join(map(str, sys.version_info[:2]))
    site = tmp_path / f"opt/edge-alpr/lib/python{python}/site-packages"
    for name in ("edge_alpr/good.py", "lib2to3/bad.py"):
        (site / name).parent.mkdir(parents=True)
        (site / name).write_text("x = 1\n" if "good" in name else "print 1\n", encoding="utf-8")
    compile_all(tmp_path, python)
    assert len(list(site.rglob("*.pyc"))) == 1
    (site / "edge_alpr/bad.py").write_text("print 1\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"bad.py cannot be compiled"):
        compile_all(tmp_path, python)


def test_rauc_has_its_service_which_is_a_package_of_its_own():
    assert {"rauc", "rauc-service", "dbus"} <= set(SYSTEM)


def test_the_image_and_a_release_have_the_same_extras():
    assert set(EXTRAS) == released.EXTRAS


def test_library_packages_are_found_by_debians_rule():
    assert packages_of("libavcodec.so.59")[0] == "libavcodec59"
    assert packages_of("libopenh264.so.7")[0] == "libopenh264-7"
    assert "libvpx9" in packages_of("libvpx.so.9")
    depends = "libc6 (>= 2.36), libaom3 (>= 3), libjpeg62-turbo (>= 1.3), libgudev-1.0-0 (>= 147), fonts-dejavu-core"
    thin = "libc6 (>= 2.36), libjpeg62-turbo (>= 1.3), libgudev-1.0-0 (>= 147)"
    assert thinned(depends, {"libjpeg.so.62", "libgudev-1.0.so.0"}) == thin


def test_a_slim_package_is_a_package_with_less(tmp_path: Path):
    need("dpkg-deb", "readelf")
    plugin = next(Path("/usr/lib").glob("*/gstreamer-1.0/libgstcoreelements.so"), None)
    if plugin is None:
        missing("GStreamer is not installed")
    tree = tmp_path / "whole"
    for name in ("app", "vulkan"):
        place = tree / f"usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgst{name}.so"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(plugin, place)
    (tree / "DEBIAN").mkdir()
    control = "Package: gstreamer1.0-plugins-base\nVersion: 1.0-1\nArchitecture: arm64\nMaintainer: A <a@b>\n"
    (tree / "DEBIAN/control").write_text(f"{control}Description: D\nDepends: libc6, libgstreamer1.0-0, libvulkan1\n")
    sums = [f"0  {path.relative_to(tree)}\n" for path in sorted(tree.rglob("*.so"))]
    (tree / "DEBIAN/md5sums").write_text("".join(sums))
    deb = tmp_path / "p_1.0-1_arm64.deb"
    run("dpkg-deb", "--root-owner-group", "--build", tree, deb)
    (tmp_path / "out").mkdir()

    made = slim(deb, KEPT["gstreamer1.0-plugins-base"], tmp_path, tmp_path / "out")

    listed = run("dpkg-deb", "--contents", made).stdout
    fields = run("dpkg-deb", "--field", made, "Version", "Depends").stdout
    assert "libgstapp.so" in listed and "libgstvulkan.so" not in listed
    assert "1.0-1+slim" in fields and "libvulkan1" not in fields and "libgstreamer1.0-0" in fields


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def first_boot(data: Path) -> dict[str, str]:
    """What `init` makes on the data partition, but for mounts and disks."""
    done = run("sh", FILES / "usr/lib/edge-alpr/init", "--root", data)
    assert done.returncode == 0, done.stderr
    return {name: (data / name).read_text(encoding="ascii") for name in ("machine-id", "hostname")}


def test_a_device_gives_itself_names_once(data_folder: Path, tmp_path: Path):
    names = first_boot(data_folder)
    assert re.fullmatch(r"[0-9a-f]{32}\n?", names["machine-id"])
    assert re.fullmatch(r"edge-alpr-[0-9a-f]{12}\n", names["hostname"])
    assert first_boot(data_folder) == names
    (tmp_path / "other").mkdir()
    assert not set(first_boot(tmp_path / "other").values()) & set(names.values())


@pytest.mark.parametrize("torn", ["", "0123", "\0" * 32])
def test_what_a_power_cut_tore_is_made_again(torn: str, data_folder: Path):
    for name in ("machine-id", "hostname"):
        (data_folder / name).write_text(torn, encoding="ascii")
        (data_folder / f"{name}.part").write_text("x", encoding="ascii")
    names = first_boot(data_folder)
    assert len(names["machine-id"].strip()) == 32 and names["hostname"].startswith("edge-alpr-")
    assert not list(data_folder.glob("*.part"))


def test_settings_are_put_there_once(data_folder: Path, repo: Path):
    shipped = repo / "deploy/systemd/edge-alpr.toml"
    group = run("id", "-gn").stdout.strip()
    where = data_folder / "etc/edge-alpr.toml"
    for before, after in (("", shipped.read_text(encoding="utf-8")), ("[store]\n", "[store]\n")):
        where.parent.mkdir(exist_ok=True)
        where.write_text(before, encoding="utf-8")
        script = FILES / "usr/lib/edge-alpr/provision"
        done = run("sh", script, data_folder, EDGE_ALPR_SHIPPED=str(shipped), EDGE_ALPR_GROUP=group)
        assert done.returncode == 0, done.stderr
        assert where.read_text(encoding="utf-8") == after


def make_keys(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    settings = folder / "edge-alpr.toml"
    settings.write_text(f'[store]\nkey_file = "{folder}/key"\nsigning_key = "{folder}/signing-key"\n', encoding="utf-8")
    done = run(sys.executable, FILES / "usr/lib/edge-alpr/make-keys", settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keys_are_made_on_the_device_and_are_its_own(tmp_path: Path):
    pytest.importorskip("cryptography")
    told = make_keys(tmp_path / "one")
    names = ("key", "signing-key")
    keys = {name: (tmp_path / "one" / name).read_bytes() for name in names}
    assert all(stat.S_IMODE((tmp_path / "one" / name).stat().st_mode) == 0o600 for name in names)
    assert make_keys(tmp_path / "one") == told
    assert {name: (tmp_path / "one" / name).read_bytes() for name in names} == keys
    assert make_keys(tmp_path / "two") != told


def test_the_provisioning_unit_is_well_locked():
    need("systemd-analyze")
    unit = FILES / "usr/lib/systemd/system/edge-alpr-provision.service"
    told = run("systemd-analyze", "security", "--offline=true", unit).stdout
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", told)
    assert found and float(found[1]) < 2.0


def test_the_firewall_is_understood_and_drops_what_it_does_not_know():
    rules = FILES / "etc/nftables.conf"
    text = rules.read_text(encoding="utf-8")
    assert "hook input" in text and text.count("policy drop") == 2
    assert not re.search(r"tcp dport|tcp sport", text), "nothing connects to the device"
    need("nft")
    done = run("nft", "--check", "--file", rules)
    if "Operation not permitted" in done.stderr:
        pytest.skip("nft may not ask this kernel")
    assert done.returncode == 0, done.stderr


def test_nothing_of_the_image_listens_or_logs_in():
    resolved = (FILES / "etc/systemd/resolved.conf.d/edge-alpr.conf").read_text(encoding="utf-8")
    assert all(line in resolved for line in ("DNSStubListener=no", "LLMNR=no", "MulticastDNS=no"))
    names = {package for board in BOARDS.values() for package in board.packages}
    assert not [name for name in names if re.search("ssh|telnet|avahi|getty", name)]
    assert not [path for path in FILES.rglob("*") if path.name in ("passwd", "shadow", "authorized_keys")]


def _tree(folder: Path) -> Path:
    """A small root file system with a package, a wheel and a card."""
    site = "opt/edge-alpr/lib/python3.11/site-packages"
    head = "Package: libfoo1\nStatus: install ok installed\n"
    status = f"{head}Maintainer: A <a@b>\nArchitecture: arm64\nVersion: 1:2.0-1+b1\n"
    torn = status.replace("ok installed", "ok half-installed").replace("foo", "bar")
    metadata = "Metadata-Version: 2.4\nName: Foo\nVersion: 1.0\nLicense-Expression: BSD-3-Clause\n"
    card = f'name = "x"\nversion = "3"\nsha256 = "{"0" * 64}"\nlicence = "Apache-2.0"\n'
    files = {
        "usr/lib/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
        "var/lib/dpkg/status": f"{status}\n{torn}\n",
        "usr/share/doc/libfoo1/copyright": "Format: https://…/copyright-format/1.0/\n\nFiles: *\nLicense: MIT\n text\n",
        f"{site}/foo-1.0.dist-info/METADATA": metadata,
        f"{site}/edge_alpr/models/x.toml": card,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_bill_names_all_with_their_licences_and_holds(tmp_path: Path):
    text = sbom.bill(_tree(tmp_path), "pc", "1.0", 1764000000)
    told = {entry["bom-ref"]: entry for entry in json.loads(text)["components"]}
    licences = {ref: entry["licenses"][0]["license"]["name"] for ref, entry in told.items()}
    assert licences == {"deb:libfoo1": "MIT", "pypi:foo": "BSD-3-Clause", "model:x": "Apache-2.0"}
    assert told["deb:libfoo1"]["purl"] == "pkg:deb/debian/libfoo1@1%3A2.0-1%2Bb1?arch=arm64"
    assert sbom.bill(tmp_path, "pc", "1.0", 1764000000) == text
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_5)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"components"', '"parts"')) is not None


@pytest.mark.parametrize("kind", ["squashfs", "ext4"])
def test_the_same_tree_is_packed_into_the_same_bytes(kind: str, tmp_path: Path):
    need("mksquashfs", "mke2fs")
    if kind == "ext4" and (os.geteuid() != 0 or not Path("/dev/loop-control").exists()):
        pytest.skip("mounting takes root and loop devices")
    made = []
    for number, names in enumerate((("b", "a", "c"), ("c", "b", "a"))):
        tree = tmp_path / f"tree{number}"
        for name in names:
            (tree / name).mkdir(parents=True)
            (tree / name / "file").write_text(name, encoding="utf-8")
        out = tmp_path / f"{number}.squashfs"
        pack.squash(tree, out, 1764000000)
        if kind == "ext4":
            pack.extend(out, tmp_path / f"{number}.ext4", 1764000000, "edge-alpr-pc-1.0")
            out = tmp_path / f"{number}.ext4"
        made.append(pack.sha256(out))
    assert made[0] == made[1]


GOOD: dict[str, Any] = {
    "first_read_s": 40.0, "active": "active", "failed": [], "doctor": "ok", "sockets": ["udp 00000000 68"],
    "writable": [], "keys": {"key": "1", "signing-key": "2"}, "key_modes": {"key": "0o100600"}, "passwords": [],
    "firewall": True, "data": ["/dev/vda4 /data ext4 rw 0 0"], "journals": 1,
    "watchdog": ["WatchdogDevice=/dev/watchdog0"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("first_read_s", None, "no plate"),
        ("active", "activating", "activating"),
        ("failed", ["x.service"], "x.service"),
        ("doctor", "nothing\nexit 2", "doctor"),
        ("sockets", ["tcp 00000000 22"], "open"),
        ("writable", ["wrote /etc"], "/etc"),
        ("keys", {"key": "", "signing-key": "2"}, "keys"),
        ("key_modes", {"key": "0o100644"}, "others may read"),
        ("passwords", ["root::1"], "passwords"),
        ("firewall", False, "firewall"),
        ("data", ["tmpfs /data tmpfs rw 0 0"], "data partition"),
        ("watchdog", [], "watchdog"),
    ],
)
def test_a_boot_that_is_not_well_is_told(key: str, value: object, said: str):
    assert problems(Boot(result=dict(GOOD))) == []
    found = problems(Boot(result={**GOOD, key: value}))
    assert len(found) == 1 and said in found[0]


def test_nor_is_one_that_says_nothing():
    assert problems(Boot(lines=[(1.0, "Kernel panic")])) == ["it did not come up: Kernel panic"]


def test_a_boot_that_told_an_error_has_no_keys_to_compare():
    assert lasting({"error": "OSError()", "journal": ""}) == lasting(None) == {}
    assert lasting({**GOOD, "machine_id": "3", "name": "4"})["name"] == "4"


def test_events_of_an_earlier_boot_are_no_plate_of_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inside, "STORE", tmp_path / "events.sqlite3")
    assert inside.last_event() == 0
    with closing(connect(tmp_path / "events.sqlite3")) as store:
        store.execute("PRAGMA journal_mode = WAL")
        assert inside.last_event() == 0
        for statement in chain.from_iterable(MIGRATIONS):
            store.execute(statement)
        for seq in (6, 7):
            store.execute(INSERT, (seq, str(seq), "new", "X", "X", 0, "front", ""))
            store.commit()
            monkeypatch.setattr(inside, "PATIENCE_S", inside.uptime_s() + 0.1)
            assert (inside.first_event_s(6) is None) == (seq == 6)


def long_run(*words: str | Path) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 3:
        missing("the image cannot be made here, see above")
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.mark.slow
def test_two_builds_are_one_image_and_it_starts(tmp_path: Path):
    if os.environ.get(ASK) != "1":
        pytest.skip(f"set {ASK}=1 to build the image twice for arm64 and start it in qemu (an hour)")
    long_run(ROOT / "deploy/rauc/test-ca", tmp_path / "ca")
    for name in ("one", "two"):
        long_run(IMAGE / "build", "--fresh", "--out", tmp_path / name, "--keyring", tmp_path / "ca/ca.pem",
                 "--development")  # fmt: skip
    one, two = (next((tmp_path / name).glob("*.squashfs")) for name in ("one", "two"))
    assert pack.sha256(one) == pack.sha256(two)
    long_run(IMAGE / "boot", "--image", one, "--again", "--cuts", "3", "--log", tmp_path / "log")
