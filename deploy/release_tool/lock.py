"""What a device takes beside the wheel: each package with its version, hash and licence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = frozenset({"buttons", "display", "hotlists", "learn", "ota", "seal", "service", "uplink"})
"""What a device has of pyproject's extras."""
PYTHONS = ("3.10", "3.12")
"""Of JetPack 6 and 7."""
SOURCE_ONLY = frozenset({"sdnotify"})
"""Packages without a wheel in the index, pure Python: their sdists are locked, and built on the device."""


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
