"""What pip takes for the wheel on a device: each package with its version, hash and licence."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.parser import Parser
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release_tool.tree import ReleaseError

EXTRAS = frozenset({"buttons", "display", "hotlists", "learn", "ota", "seal", "service", "uplink"})
"""What a device has of pyproject's extras."""
PYTHONS = ("3.10", "3.12")
"""Of JetPack 6 and 7."""
_GLIBC = {"3.10": 35, "3.11": 36, "3.12": 39}
"""Python of Ubuntu 22.04, Debian 12, Ubuntu 24.04 -> minor version of glibc there."""
_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Package:
    """One package from an index."""

    name: str
    version: str
    sha256: str
    file: str
    licence: str
    """An SPDX expression, or what its metadata says in words; empty: it says nothing."""
    needs: tuple[str, ...] = ()
    """Names of those in the same lock that it asks for."""


@dataclass(frozen=True, slots=True)
class Lock:
    """All of them for one Python on 64-bit ARM, by name."""

    python: str
    packages: tuple[Package, ...]

    @property
    def file(self) -> str:
        """Name of the file of requirements."""
        return f"requirements-py{self.python.replace('.', '')}-aarch64.txt"

    def text(self) -> str:
        """For `pip install --require-hashes -r`."""
        rows = (f"{item.name}=={item.version} --hash=sha256:{item.sha256}\n" for item in self.packages)
        return f"# Python {self.python}, aarch64\n" + "".join(rows)


Asks = Mapping[str, Sequence[Requirement]]
"""Package -> what it asks for, where markers hold or not."""


@dataclass(frozen=True, slots=True)
class _Found:
    """pip's choice: its report's entries, and what each asks for."""

    entries: Mapping[str, Mapping[str, Any]]
    asks: Asks


def wanted(asks: Asks, first: Iterable[Requirement], python: str) -> dict[str, Requirement]:
    """What has to be there on a device of that Python: all that is asked for from `first` on, markers taken there.

    pip itself takes markers for the Python that it runs under, whatever Python it chooses for.
    """
    found: dict[str, Requirement] = {}
    todo, seen = list(first), set()
    while todo:
        requirement = todo.pop()
        name = str(canonicalize_name(requirement.name))
        found.setdefault(name, requirement)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                todo += [asked for asked in asks.get(name, ()) if holds(asked, python, extra)]
    return found


def holds(requirement: Requirement, python: str, extra: str) -> bool:
    """Whether a requirement counts on a device of that Python, for that extra of who asks."""
    device = {
        "python_version": python, "python_full_version": f"{python}.0", "platform_machine": "aarch64", "extra": extra,
        "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }  # fmt: skip
    return requirement.marker is None or requirement.marker.evaluate(device)


def resolve(wheel: Path, python: str, work: Path) -> Lock:
    """Have pip choose for a device of that Python, into a folder of `work`.

    Raises:
        ReleaseError: pip found no such set.
    """
    own = [asked for asked in _asked_by(wheel) if any(holds(asked, python, extra) for extra in ("", *EXTRAS))]
    asked = {str(_bare(requirement)) for requirement in own}
    for _ in range(_ROUNDS):
        found = _pip(asked, python, work, "--dry-run")
        due = wanted(found.asks, own, python)
        more = {str(_bare(due[name])) for name in due.keys() - found.entries.keys()}
        if not more:
            exact = {f"{name}=={found.entries[name]['metadata']['version']}" for name in due}
            return _lock(_pip(exact, python, work, "--no-deps"), due.keys(), python, _licences(work / f"site-{python}"))
        asked |= more
    raise ReleaseError(f"what pip finds for Python {python} on aarch64 asks for ever more; look at {sorted(asked)}")


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


def _pip(asked: Iterable[str], python: str, work: Path, how: str) -> _Found:
    report = work / f"report-{python}.json"
    names = ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, _GLIBC[python] + 1))]
    argv = [
        sys.executable, "-m", "pip", "install", how, "--ignore-installed", "--quiet", "--no-input", "--no-compile",
        "--disable-pip-version-check", "--report", str(report), "--target", str(work / f"site-{python}"),
        "--only-binary", ":all:", "--python-version", python, "--implementation", "cp",
        *(part for name in reversed(names) for part in ("--platform", name)), *sorted(asked),
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{done.stderr.strip()}\npip finds no packages for Python {python} on aarch64; why is above")
    entries = json.loads(report.read_text(encoding="utf-8"))["install"]
    named = {str(canonicalize_name(entry["metadata"]["name"])): entry for entry in entries}
    asks = {name: [Requirement(t) for t in e["metadata"].get("requires_dist", [])] for name, e in named.items()}
    return _Found(named, asks)


def _licences(site: Path) -> dict[str, str]:
    """Package -> what its metadata says; pip's report leaves the newer field out."""
    found = distributions(path=[str(site)])
    return {str(canonicalize_name(package.name)): _licence(package.metadata) for package in found}


def _licence(metadata: PackageMetadata) -> str:
    """What the metadata says: an expression, a short text, or the classifiers."""
    fields = metadata.json
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
