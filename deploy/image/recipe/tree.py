"""The root file system from its parts: the base, our environment, our files. What differs between builds goes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from recipe.boards import ENABLED, MASKED, Board
from recipe.compiled import compile_all

ROOT = Path(__file__).resolve().parents[3]
ROOTS = ("director/root.json", "image/root.json")
"""Of a folder `--tuf`, all that goes into the image: its other files are not for the road."""
_FILES = ROOT / "deploy/image/rootfs"
_GONE = (
    "var/log/*", "var/cache/*", "var/lib/apt/*", "etc/apt/sources.list.d/*", "var/lib/dpkg/*-old", "var/tmp/*", "tmp/*",
    "etc/*-", "run/*", "root/.*", "boot/*.old", "etc/ssh", "usr/share/doc/*/changelog*", "usr/share/gtk-doc",
    "etc/machine-id", "var/lib/dbus/machine-id", "var/lib/systemd/*", "usr/share/gir-1.0", "usr/share/pixmaps",
    "usr/share/icons", "usr/lib/python3*/test", "usr/lib/python3*/idlelib", "usr/lib/python3*/turtledemo",
    "usr/lib/systemd/system-generators/systemd-getty-generator",
    "usr/lib/systemd/system-generators/systemd-gpt-auto-generator", "etc/.pwd.lock", "etc/resolv.conf",
)  # fmt: skip
_MOUNTED = ("data", "run", "proc", "sys", "dev", "tmp", "var/tmp", "var/log", "var/lib/edge-alpr",
            "var/lib/edge-alpr-keys", "var/lib/systemd", "var/lib/rauc", "var/lib/dbus",
            "var/cache/private")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ours:
    """What is put in beside the recipe's own files: folders and files that may be left out (None)."""

    engines: Path | None = None
    tuf: Path | None = None
    keyring: Path | None = None
    settings: Path | None = None
    development: bool = False


def unpack(base: Path, tree: Path) -> None:
    """The base, as root, with owners and capabilities."""
    if tree.exists():
        shutil.rmtree(tree)
    tree.mkdir(parents=True)
    words = ["tar", "--extract", "--numeric-owner", "--same-permissions", "--xattrs", "--xattrs-include=*"]
    subprocess.run([*words, f"--file={base}", f"--directory={tree}"], check=True)


def add_nvidia(folder: Path, tree: Path) -> None:
    """NVIDIA's packages of the BSP (`*.deb` anywhere in the folder), installed by the tree's own dpkg."""
    inside = tree / "nvidia"
    inside.mkdir()
    debs = sorted(folder.rglob("*.deb"))
    if not debs:
        raise SystemExit(f"build: no .deb in {folder}; give the BSP's nv_tegra/l4t_deb_packages")
    for deb in debs:
        shutil.copy(deb, inside)
    names = [f"/nvidia/{deb.name}" for deb in debs]
    (tree / "opt/nvidia/l4t-packages").mkdir(parents=True, exist_ok=True)
    (tree / "opt/nvidia/l4t-packages/.nv-l4t-disable-boot-fw-update-in-preinstall").touch()
    subprocess.run(["chroot", tree, "dpkg", "--install", "--force-depends", *names], check=True)
    shutil.rmtree(inside)


def add_ours(tree: Path, board: Board, version: str, ours: Ours) -> None:
    """Units, settings, first boot, keys to check updates with."""
    shutil.copytree(_FILES, tree, dirs_exist_ok=True, symlinks=True)
    units = tree / "usr/lib/systemd/system"
    for unit in sorted((ROOT / "deploy/systemd").glob("*.*")):
        if unit.suffix in (".service", ".path", ".timer"):
            shutil.copy(unit, units)
    settings = tree / "usr/share/edge-alpr/edge-alpr.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ours.settings or ROOT / "deploy/systemd/edge-alpr.toml", settings)
    _link(tree / "etc/edge-alpr/edge-alpr.toml", "/data/etc/edge-alpr.toml")
    _link(tree / "usr/sbin/init", "/usr/lib/edge-alpr/init")
    _link(tree / "etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
    (tree / "usr/share/edge-alpr/roots").mkdir(parents=True, exist_ok=True)
    if ours.tuf:
        put_roots(ours.tuf, tree / "usr/share/edge-alpr/roots")
    if ours.engines:
        shutil.copytree(ours.engines, tree / "usr/share/edge-alpr/engines")
        line = "L /var/lib/edge-alpr/engines - - - - /usr/share/edge-alpr/engines\n"
        (tree / "usr/lib/tmpfiles.d/edge-alpr-engines.conf").write_text(line, encoding="utf-8")
    _name(tree, board, version)
    if ours.keyring:
        put: list[str | Path] = [ROOT / "deploy/rauc/put", tree, "--board", board.name, "--keyring", ours.keyring]
        subprocess.run([*put, *(["--development"] if ours.development else [])], check=True)


def put_roots(tuf: Path, out: Path) -> None:
    """The two files by which a device checks its first update."""
    for name in ROOTS:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tuf / name, out / name)


def settle(tree: Path, enabled: Iterable[str]) -> None:
    """Users, and which units start: decided here, so that no boot has a choice.

    Raises:
        SystemExit: one of `enabled` is not in the tree.
    """
    enabled = tuple(enabled)
    if lacking := [name for name in enabled if not _unit(tree, name)]:
        raise SystemExit(f"build: --enable {' '.join(lacking)}: there is no such unit in the image; its full name?")
    subprocess.run(["systemd-sysusers", f"--root={tree}"], check=True)
    there = [name for name in (*ENABLED, *enabled) if _unit(tree, name)]
    subprocess.run(["systemctl", f"--root={tree}", "--quiet", "enable", *there], check=True)
    subprocess.run(["systemctl", f"--root={tree}", "--quiet", "mask", *MASKED], check=True)
    _link(tree / "etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
    (tree / "usr/share/edge-alpr/units").write_text("".join(f"{name}\n" for name in there), encoding="utf-8")


def clean(tree: Path, python: str) -> None:
    """Takes away what differs from build to build or is of no use on a device; compiles Python anew."""
    for pattern in _GONE:
        for path in sorted(tree.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    compile_all(tree, python)
    for name in _MOUNTED:
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (tree / name).chmod(0o1777)
    for name in ("machine-id", "hostname"):  # bound over at each boot
        (tree / "etc" / name).write_text("", encoding="utf-8")
    _link(tree / "etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
    _link(tree / "var/lib/dbus/machine-id", "/etc/machine-id")


def _name(tree: Path, board: Board, version: str) -> None:
    text = (tree / "usr/lib/os-release").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith(("IMAGE_", "VARIANT"))]
    added = [f"IMAGE_ID=edge-alpr-{board.name}", f"IMAGE_VERSION={version}", f"VARIANT_ID={board.name}"]
    (tree / "usr/lib/os-release").write_text("".join(f"{line}\n" for line in [*kept, *added]), encoding="utf-8")


def _unit(tree: Path, name: str) -> bool:
    return any((tree / folder / name).exists() for folder in ("usr/lib/systemd/system", "etc/systemd/system"))


def _link(path: Path, to: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(to)
