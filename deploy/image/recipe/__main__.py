"""The command: see ../build."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from recipe import pack, sbom, slim, tree, wheels
from recipe.apt import own_sources
from recipe.base import Request, make_base
from recipe.boards import ALL_PROCESSORS, BOARDS, RELEASES, Board

OUT = tree.ROOT / "runs/image"


def _say(text: str) -> None:
    print(f"build: {text}", file=sys.stderr, flush=True)


def _commit_time() -> int:
    """Of the checkout's last commit, in seconds; a folder without git has that of its pyproject.toml."""
    told = subprocess.run(
        ["git", "-C", tree.ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False
    ).stdout
    return int(told or (tree.ROOT / "pyproject.toml").stat().st_mtime)


def arguments(words: list[str]) -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="deploy/image/build", description="The device's root file system.")
    parser.add_argument("--board", choices=sorted(BOARDS), default="pc")
    parser.add_argument("--suite", choices=sorted(RELEASES), default="bookworm")
    parser.add_argument(
        "--mirror", action="append", metavar="URL", help="or a line of sources.list; default: as this machine's apt"
    )
    parser.add_argument("--format", action="append", choices=["squashfs", "ext4", "tar"], help="default: by the board")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER", help="default: runs/image")
    parser.add_argument("--cache", type=Path, default=OUT / "cache", metavar="FOLDER", help="of what was fetched")
    parser.add_argument("--fresh", action="store_true", help="unpack and set up the distribution's packages anew")
    parser.add_argument("--epoch", type=int, help="the time of all files, in seconds; default: the last commit's")
    parser.add_argument("--add", action="append", default=[], metavar="PACKAGE", help="of the distribution, besides")
    parser.add_argument("--enable", action="append", default=[], metavar="UNIT", help="started besides")
    parser.add_argument("--development", action="store_true", help="let --keyring be of deploy/rauc/test-ca")
    for name, what in (
        ("wheel", "our wheel; default: made from this checkout"),
        ("nvidia", "folder of NVIDIA's .deb files from the BSP"),
        ("engines", "folder of plans and graphs for this board"),
        ("settings", "in place of deploy/systemd/edge-alpr.toml"),
        ("tuf", "folder with director/root.json and image/root.json, as deploy/repo trust writes it"),
        ("keyring", "certificates that RAUC trusts; without it no bundle is taken"),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="PATH", help=what)
    found = parser.parse_args(words)
    for name in ("wheel", "nvidia", "engines", "settings", "tuf", "keyring"):
        path = getattr(found, name)
        if path and not path.exists():
            parser.error(f"--{name}: there is no {path}")
    if lacking := [name for name in tree.ROOTS if found.tuf and not (found.tuf / name).is_file()]:
        parser.error(f"--tuf: {found.tuf} has no {' and no '.join(lacking)}; give what deploy/repo trust wrote")
    found.mirror = found.mirror or (own_sources(found.suite) if found.suite in ALL_PROCESSORS else ())
    if not found.mirror:
        parser.error(f"--suite {found.suite} takes a --mirror here (of Ubuntu one with its ports, which have arm64)")
    return found


def warnings(wanted: argparse.Namespace) -> list[str]:
    """What a board's image lacks to drive in a car: it is made all the same, for a look at it."""
    if not BOARDS[wanted.board].nvidia:
        return []
    lacks = {
        "nvidia": "NVIDIA's kernel, firmware and decoders are not in: the board will not start",
        "keyring": "RAUC trusts nobody: the board will never take an image update",
        "tuf": "no repository's root is in: the board will never find an update",
    }
    return [f"WARNING: without --{name} {text}" for name, text in lacks.items() if getattr(wanted, name) is None]


def build(wanted: argparse.Namespace) -> list[Path]:
    """All of it; returns the files made."""
    board, release = BOARDS[wanted.board], RELEASES[wanted.suite]
    epoch = wanted.epoch or _commit_time()
    cache = wanted.cache.resolve()
    for folder in (cache / "debs", wanted.out):
        folder.mkdir(parents=True, exist_ok=True)
    mirrors = tuple(wanted.mirror)
    started = time.monotonic()
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    base = make_base(Request(board, wanted.suite, mirrors, tuple(wanted.add), epoch, cache), wanted.fresh)
    _say(f"base {base.name} after {time.monotonic() - started:.0f} s")
    made = wheels.fetch(tree.ROOT, release.python, cache, epoch, wanted.wheel)
    root = cache / f"root-{board.name}"
    tree.unpack(base, root)
    if wanted.nvidia:
        tree.add_nvidia(wanted.nvidia, root)
    wheels.install(made, root, release.python, epoch)
    ours = tree.Ours(wanted.engines, wanted.tuf, wanted.keyring, wanted.settings, wanted.development)
    tree.add_ours(root, board, made.version, ours)
    if missing := slim.unmet(root):
        raise SystemExit(f"build: GStreamer's plugins lack {', '.join(missing)}; see recipe/slim.py")
    tree.settle(root, wanted.enable)
    tree.clean(root, release.python)
    (root / sbom.PLACE).write_text(sbom.bill(root, board.name, made.version, epoch), encoding="utf-8")
    _clock(root, epoch)
    _say(f"tree after {time.monotonic() - started:.0f} s")
    files = _packed(root, board, wanted, made.version, epoch)
    _say(f"done after {time.monotonic() - started:.0f} s")
    return files


def _clock(root: Path, epoch: int) -> None:
    """systemd sets no clock before this file's time; the image's own times say the same."""
    (root / "usr/lib/clock-epoch").write_text(f"{epoch}\n", encoding="utf-8")


def _packed(root: Path, board: Board, wanted: argparse.Namespace, version: str, epoch: int) -> list[Path]:
    formats = tuple(wanted.format or board.formats)
    stem = f"edge-alpr-{board.name}-{version}"
    squashed = wanted.out / f"{stem}.squashfs"
    pack.squash(root, squashed, epoch)
    files = [squashed]
    if "ext4" in formats:
        files.append(wanted.out / f"{stem}.ext4")
        pack.extend(squashed, files[-1], epoch, stem)
    if "tar" in formats:
        files.append(wanted.out / f"{stem}.tar")
        pack.roll(root, files[-1], epoch)
    if "squashfs" not in formats:
        squashed.unlink()
        files.remove(squashed)
    files.append(wanted.out / f"{stem}.cdx.json")
    shutil.copy(root / sbom.PLACE, files[-1])
    sums = wanted.out / f"{stem}.sha256"
    sums.write_text("".join(f"{pack.sha256(path)}  {path.name}\n" for path in files), encoding="utf-8")
    return [*files, sums]


def main() -> None:
    """See above. Warnings come before and after: between them lie some thousand lines."""
    wanted = arguments(sys.argv[1:])
    told = warnings(wanted)
    for warning in told:
        _say(warning)
    files = build(wanted)
    for warning in told:
        _say(warning)
    for file in files:
        print(file)


if __name__ == "__main__":
    main()
