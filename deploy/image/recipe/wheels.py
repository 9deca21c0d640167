"""Our wheel and what it imports, for the device's processor and Python, put into an environment of its own.

None of it is run: nothing here needs emulation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PREFIX = Path("opt/edge-alpr")
LOCKS = Path(__file__).resolve().parents[1] / "locks"
_GLIBC = {"3.10": ("2_35", "2_34", "2_28"), "3.11": ("2_36", "2_35", "2_34", "2_28"), "3.12": ("2_39", "2_34", "2_28")}
"""Of the release with that Python: wheels for an older C library run there too."""
_OLDER = ("2_27", "2_26", "2_24", "2_17")
_SOURCE_ONLY = ("sdnotify",)
"""Published without a wheel; pure Python, so the one that is made here fits the device."""

_RUN = """#!/opt/edge-alpr/bin/python
import sys

from edge_alpr.cli import main

sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Wheels:
    """A folder of wheels, and the version of ours."""

    folder: Path
    version: str


def _pip(*words: str | Path, epoch: int) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([sys.executable, "-m", "pip", *map(str, words)], env=environment, check=True, stdout=sys.stderr)


def target(python: str) -> list[str]:
    """What tells pip of the device."""
    tags = [f"manylinux_{glibc}_aarch64" for glibc in (*_GLIBC[python], *_OLDER)] + ["manylinux2014_aarch64"]
    return [*(f"--platform={tag}" for tag in tags), f"--python-version={python}", "--only-binary=:all:"]


def fetch(root: Path, python: str, cache: Path, epoch: int, ours: Path | None = None) -> Wheels:
    """The wheels named in the lock, by their hashes, and ours made from the checkout `root` unless it is given."""
    folder = cache / f"wheels-{python}"
    binary, source = _divided((LOCKS / f"python{python}.txt").read_text(encoding="utf-8"))
    complete = folder / "complete"
    if not complete.exists() or complete.read_text(encoding="utf-8") != binary + source:
        shutil.rmtree(folder, ignore_errors=True)  # what another lock named
        folder.mkdir(parents=True)
        _fetch_locked(folder, python, binary, source, epoch)
        complete.write_text(binary + source, encoding="utf-8")
    for old in folder.glob("edge_alpr-*.whl"):
        old.unlink()
    if ours:
        shutil.copy(ours, folder)
    else:
        _pip("wheel", "--no-deps", "--quiet", f"--wheel-dir={folder}", root, epoch=epoch)
    return Wheels(folder, next(folder.glob("edge_alpr-*.whl")).name.split("-")[1])


def _fetch_locked(folder: Path, python: str, binary: str, source: str, epoch: int) -> None:
    (folder / "binary.txt").write_text(binary, encoding="utf-8")
    (folder / "source.txt").write_text(source, encoding="utf-8")
    common = ("--no-deps", "--require-hashes", "--quiet")
    listed = [f"--requirement={folder / name}" for name in ("binary.txt", "source.txt")]
    _pip("download", *common, *target(python), f"--dest={folder}", listed[0], epoch=epoch)
    if source:
        _pip("wheel", "--use-pep517", *common, f"--wheel-dir={folder}", listed[1], epoch=epoch)


def _divided(lock: str) -> tuple[str, str]:
    """A lock's requirements: those with wheels, those without."""
    entries = lock.replace("\\\n", "").splitlines()
    named = [(entry, entry.partition("==")[0] in _SOURCE_ONLY) for entry in entries if "==" in entry]
    return "".join(f"{e}\n" for e, alone in named if not alone), "".join(f"{e}\n" for e, alone in named if alone)


def install(wheels: Wheels, tree: Path, python: str, epoch: int) -> None:
    """The environment in the tree: what the lock names, by its hashes, what was made here from its sources, and ours.

    It sees the system's packages (GStreamer's binding, TensorRT's module).
    """
    prefix = tree / PREFIX
    site = prefix / f"lib/python{python}/site-packages"
    (prefix / "bin").mkdir(parents=True)
    source = (wheels.folder / "source.txt").read_text(encoding="utf-8").splitlines()
    made = [*(entry.split()[0] for entry in source), f"edge-alpr=={wheels.version}"]  # names: a path would be noted
    for required in (["--require-hashes", f"--requirement={wheels.folder / 'binary.txt'}"], made):
        _pip(
            "install", "--quiet", "--no-deps", "--no-index", f"--find-links={wheels.folder}", *target(python),
            "--no-compile", f"--target={site}", *required, epoch=epoch,
        )  # fmt: skip
    shutil.rmtree(site / "bin", ignore_errors=True)
    (prefix / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {python}\n", encoding="utf-8"
    )
    (prefix / "bin/python").symlink_to("/usr/bin/python3")
    run = prefix / "bin/edge-alpr"
    run.write_text(_RUN, encoding="utf-8")
    run.chmod(0o755)
    for name in ("tests", "test"):
        for folder in sorted(site.glob(f"*/**/{name}"), reverse=True):
            if folder.is_dir() and "_core" not in folder.parts:
                shutil.rmtree(folder)
