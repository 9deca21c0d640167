"""Licences of what is in the tree, as its own files say them."""

from __future__ import annotations

import re
from email.message import Message
from pathlib import Path

_SHORT = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE)
_CLASSIFIER = "License :: OSI Approved :: "


def of_package(tree: Path, package: str) -> list[str]:
    """A Debian package's, from its copyright file (DEP-5); else the file's own path, which stands in the image."""
    path = tree / "usr/share/doc" / package / "copyright"
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    names = {" ".join(name.split()) for name in _SHORT.findall(text)} if "copyright-format" in text[:400] else set()
    return sorted(names) or [f"see /{path.relative_to(tree).as_posix()}"]


def of_wheel(metadata: Message) -> list[str]:
    """A Python package's: `License-Expression`, else what its classifiers or its `License` line say."""
    expression = metadata.get("License-Expression")
    if expression:
        return [expression]
    told = [str(line) for line in metadata.get_all("Classifier", [])]
    classified = [line.removeprefix(_CLASSIFIER) for line in told if line.startswith(_CLASSIFIER)]
    line = (metadata.get("License") or "").strip().splitlines()
    return classified or ([line[0]] if line and len(line[0]) < 80 else [])
