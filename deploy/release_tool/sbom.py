"""The bill of materials (CycloneDX 1.6, JSON) of the wheel: the packages of a lock, and the networks by their cards."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from release_tool.lock import Lock, Package
from release_tool.sums import sha256_of
from release_tool.tree import ReleaseError, Tree

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LICENCES = LicenseFactory()


def _hashes(sha256: str) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)]


def _package(package: Package) -> Component:
    purl = PackageURL("pypi", None, package.name, package.version)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        hashes=_hashes(package.sha256),
        licenses=[_LICENCES.make_from_string(package.licence)] if package.licence else [],
        properties=[Property(name="edge-alpr:file", value=package.file)],
    )


def cards_in(wheel: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """File name of each network in the wheel, and its card."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith("edge_alpr/models/") and name.endswith(".onnx"):
                card = archive.read(name.removesuffix(".onnx") + ".toml").decode("utf-8")
                yield name, tomllib.loads(card)


def _network(name: str, card: Mapping[str, Any]) -> Component:
    pictures = [Property(name="edge-alpr:trained-on", value=text) for text in card.get("data", {}).get("pictures", [])]
    return Component(
        name=Path(name).stem,
        version=str(card["version"]),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=name,
        description=card.get("description"),
        hashes=_hashes(card["sha256"]),
        licenses=[_LICENCES.make_from_string(card["licence"])],
        properties=[Property(name="edge-alpr:file", value=name), *pictures],
    )


def _wheel(tree: Tree, wheel: Path) -> Component:
    purl = PackageURL("pypi", None, "edge-alpr", tree.version)
    return Component(
        name="edge-alpr",
        version=tree.version,
        type=ComponentType.APPLICATION,
        bom_ref=str(purl),
        purl=purl,
        hashes=_hashes(sha256_of(wheel)),
        licenses=[_LICENCES.make_from_string("Apache-2.0")],
        properties=[Property(name="edge-alpr:commit", value=tree.commit)],
    )


def make_sbom(tree: Tree, wheel: Path, lock: Lock) -> str:
    """The document; the same for the same input.

    Raises:
        ReleaseError: it does not keep CycloneDX's schema.
    """
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"edge-alpr/{tree.commit}/{lock.text()}"))
    bom.metadata.timestamp = datetime.fromtimestamp(tree.epoch, timezone.utc)
    bom.metadata.component = product = _wheel(tree, wheel)
    made = {package.name: _package(package) for package in lock.packages}
    networks = [_network(name, card) for name, card in cards_in(wheel)]
    for component in (*made.values(), *networks):
        bom.components.add(component)
    for package in lock.packages:
        bom.register_dependency(made[package.name], [made[name] for name in package.needs])
    bom.register_dependency(product, bom.components)
    text: str = JsonV1Dot6(bom).output_as_string(indent=1)
    check_sbom(text, f"of Python {lock.python}")
    return text + "\n"


def check_sbom(text: str, which: str) -> None:
    """Hold a document against CycloneDX's schema.

    Raises:
        ReleaseError: it does not keep it.
    """
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise ReleaseError(f"the bill of materials {which} is no CycloneDX 1.6: {wrong}")
