"""Has pip choose what a device takes beside the wheel, for its Python and processor, from this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import Parser
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release_tool.lock import EXTRAS, SOURCE_ONLY, Asks, Lock, Package, holds, wanted
from release_tool.tree import ReleaseError

_GLIBC = {"3.10": 35, "3.11": 36, "3.12": 39}
"""Python of Ubuntu 22.04, Debian 12, Ubuntu 24.04 -> minor version of glibc there."""
_ROUNDS = 6

_Entries = Mapping[str, Mapping[str, Any]]
"""Package -> what pip's report says of it."""


@dataclass(frozen=True, slots=True)
class _Found:
    """pip's choice: its report's entries, and what each asks for."""

    entries: _Entries
    asks: Asks


def resolve(wheel: Path, python: str, work: Path) -> Lock:
    """Have pip choose for a device of that Python, into a folder of `work`.

    Raises:
        ReleaseError: pip found no such set.
    """
    own = [asked for asked in _asked_by(wheel) if any(holds(asked, python, extra) for extra in ("", *EXTRAS))]
    sources = _sources([asked for asked in own if canonicalize_name(asked.name) in SOURCE_ONLY], work)
    asked = {str(_bare(requirement)) for requirement in own if canonicalize_name(requirement.name) not in SOURCE_ONLY}
    for _ in range(_ROUNDS):
        found = _found({**_pip(asked, python, work, "--dry-run"), **sources})
        due = wanted(found.asks, own, python)
        more = {str(_bare(due[name])) for name in due.keys() - found.entries.keys()}
        if not more:
            return _lock(found, due.keys(), python, _licences(found, due.keys() - sources.keys(), python, work))
        asked |= more
    raise ReleaseError(f"what pip finds for Python {python} on aarch64 asks for ever more; look at {sorted(asked)}")


def _found(entries: _Entries) -> _Found:
    asks = {name: [Requirement(t) for t in e["metadata"].get("requires_dist", [])] for name, e in entries.items()}
    return _Found(entries, asks)


def _bare(requirement: Requirement) -> Requirement:
    """Without its marker."""
    bare = Requirement(str(requirement))
    bare.marker = None
    return bare


def _asked_by(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode("utf-8"))
    return [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]


def _pip(asked: Iterable[str], python: str, work: Path, how: str) -> _Entries:
    """What pip chooses for the device."""
    names = ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, _GLIBC[python] + 1))]
    device = ("--only-binary", ":all:", "--python-version", python, "--implementation", "cp")
    platforms = (part for name in reversed(names) for part in ("--platform", name))
    site = ("--no-compile", "--target", str(work / f"site-{python}"))
    options = (how, *device, *platforms, *site)
    return _report((*options, *sorted(asked)), work / "report.json", f"Python {python} on aarch64")


def _sources(asked: Sequence[Requirement], work: Path) -> _Entries:
    """The sdists of what comes as nothing else."""
    texts = [str(_bare(requirement)) for requirement in asked]
    how = ("--dry-run", "--no-deps", "--no-build-isolation", "--no-binary", ":all:")
    return _report((*how, *texts), work / "report.json", "those that are built on the device") if texts else {}


def _report(how: Sequence[str], path: Path, what: str) -> _Entries:
    """Run pip and read its report: package -> entry."""
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--ignore-installed")
    argv = [sys.executable, "-m", "pip", "install", *quiet, "--report", str(path), *how]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{done.stderr.strip()}\npip finds no packages for {what}; why is above")
    entries = json.loads(path.read_text(encoding="utf-8"))["install"]
    return {str(canonicalize_name(entry["metadata"]["name"])): entry for entry in entries}


def _licences(found: _Found, names: Iterable[str], python: str, work: Path) -> dict[str, str]:
    """Package -> what its metadata says; pip's report leaves the newer field out, so they are unpacked."""
    said = {name: _licence(entry["metadata"]) for name, entry in found.entries.items()}
    _pip((f"{name}=={found.entries[name]['metadata']['version']}" for name in names), python, work, "--no-deps")
    packages = distributions(path=[str(work / f"site-{python}")])
    return {**said, **{str(canonicalize_name(package.name)): _licence(package.metadata.json) for package in packages}}


def _licence(fields: Mapping[str, Any]) -> str:
    """What metadata says: an expression, a short text, or the classifiers."""
    said = str(fields.get("license_expression") or fields.get("license") or "").strip()
    if said and "\n" not in said and len(said) <= 120:
        return said
    prefix = "License :: OSI Approved :: "
    classifiers = [text.removeprefix(prefix) for text in fields.get("classifier", []) if text.startswith(prefix)]
    return " AND ".join(classifiers) if classifiers else said.partition("\n")[0][:60]


def _lock(found: _Found, names: Iterable[str], python: str, licences: Mapping[str, str]) -> Lock:
    packages = []
    for name in sorted(names):
        origin = found.entries[name]["download_info"]
        archive = origin["archive_info"]
        digest = archive.get("hashes", {}).get("sha256") or archive["hash"].partition("=")[2]
        asked = (str(canonicalize_name(one.name)) for one in found.asks[name] if holds(one, python, ""))
        needs = set(asked) & set(names)
        version, file = found.entries[name]["metadata"]["version"], origin["url"].rpartition("/")[2]
        packages.append(Package(name, version, digest, file, licences.get(name, ""), tuple(sorted(needs))))
    return Lock(python, tuple(packages))
