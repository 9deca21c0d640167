"""What is in the image, with licences: CycloneDX 1.5, the Debian packages, the Python packages and the networks."""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from email.parser import Parser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from recipe.licences import of_package, of_wheel

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

PLACE = Path("usr/share/edge-alpr/sbom.cdx.json")
Component = dict[str, Any]


def _licences(names: list[str]) -> Component:
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def debian(tree: Path, distro: str) -> Iterator[Component]:
    """The packages that dpkg has installed in the tree."""
    text = (tree / "var/lib/dpkg/status").read_text(encoding="utf-8")
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^(\S+): (.*)$", stanza, re.MULTILINE))
        if fields.get("Status") != "install ok installed":
            continue
        name, version = fields["Package"], fields["Version"]
        yield {
            "type": "library", "bom-ref": f"deb:{name}", "name": name, "version": version,
            "purl": f"pkg:deb/{distro}/{name}@{quote(version)}?arch={fields['Architecture']}",
            "supplier": {"name": fields["Maintainer"]},
            **_licences(of_package(tree, name)),
        }  # fmt: skip


def python(tree: Path) -> Iterator[Component]:
    """Wheels in our environment."""
    for path in sorted(tree.glob("opt/edge-alpr/lib/python3*/site-packages/*.dist-info/METADATA")):
        metadata = Parser().parsestr(path.read_text(encoding="utf-8"), headersonly=True)
        name = re.sub(r"[-_.]+", "-", str(metadata["Name"])).lower()
        version = str(metadata["Version"])
        yield {
            "type": "application" if name == "edge-alpr" else "library", "bom-ref": f"pypi:{name}", "name": name,
            "version": version, "purl": f"pkg:pypi/{name}@{version}", **_licences(of_wheel(metadata)),
        }  # fmt: skip


def networks(tree: Path) -> Iterator[Component]:
    """The shipped models, from their cards."""
    for path in sorted(tree.glob("opt/edge-alpr/lib/python3*/site-packages/edge_alpr/models/*.toml")):
        card = tomllib.loads(path.read_text(encoding="utf-8"))
        yield {
            "type": "machine-learning-model", "bom-ref": f"model:{card['name']}", "name": card["name"],
            "version": card["version"], "description": card.get("description", ""),
            "hashes": [{"alg": "SHA-256", "content": card["sha256"]}], **_licences([card["licence"]]),
        }  # fmt: skip


def bill(tree: Path, board: str, version: str, epoch: int) -> str:
    """The whole bill as JSON text, the same for the same tree."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', (tree / "usr/lib/os-release").read_text("utf-8"), re.MULTILINE))
    components = [*debian(tree, release["ID"]), *python(tree), *networks(tree)]
    image = {"type": "operating-system", "bom-ref": "image", "name": f"edge-alpr-{board}", "version": version}
    listed = "\n".join(f"{component['bom-ref']} {component['version']}" for component in components)
    made: Component = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{board} {version} {listed}')}",
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "component": image,
            "properties": [{"name": "edge-alpr:base", "value": release["PRETTY_NAME"]}],
        },
        "components": components,
    }  # fmt: skip
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"
