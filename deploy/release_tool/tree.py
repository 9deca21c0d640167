"""The tree that a release is made of: a clean one, at a tag vX.Y.Z, whose changelog has that version."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge_alpr.errors import EdgeAlprError

CHANGELOG = "CHANGELOG.md"
_TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")


class ReleaseError(EdgeAlprError):
    """A release cannot be made of this, or one that was made is not whole."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree that may be released."""

    root: Path
    version: str
    """`1.2.0`, `1.2.0rc1`: of the tag v1.2.0, v1.2.0rc1."""
    commit: str
    epoch: int
    """Seconds since 1970 of the commit: the time of all that is made."""
    notes: str
    """What the changelog says of it, in Markdown."""

    @property
    def tag(self) -> str:
        """Its tag."""
        return f"v{self.version}"


def git(root: Path, *arguments: str) -> str:
    """What git says, without the line end.

    Raises:
        ReleaseError: it failed.
    """
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ReleaseError(f"git cannot be run ({error.strerror}); sudo apt-get install git") from error
    if done.returncode:
        raise ReleaseError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def tag_of(tags: list[str]) -> str:
    """The version whose tag is on the commit.

    Raises:
        ReleaseError: there is none, or more than one.
    """
    versions = [match[1] for tag in tags if (match := _TAG.fullmatch(tag))]
    if len(versions) == 1:
        return versions[0]
    if versions:
        raise ReleaseError(f"the commit has {len(versions)} version tags ({', '.join(tags)}); leave one: git tag -d …")
    if tags:
        raise ReleaseError(f"the tag {', '.join(tags)} is no version; tag it like this: git tag -a v1.2.0 -m 1.2.0")
    raise ReleaseError("the commit has no tag; check out the tag that is to be released, or: git tag -a v1.2.0 -m …")


def notes_of(changelog: str, version: str) -> str:
    """The changelog's section of a version (Keep a Changelog), without its heading.

    Raises:
        ReleaseError: there is none, or nothing is in it.
    """
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if re.match(rf"\[?{re.escape(version)}\]?(?!\S)", heading) and text.strip():
            return text.strip() + "\n"
    raise ReleaseError(
        f"{CHANGELOG} says nothing of {version}; name its section so: ## [{version}] - YYYY-MM-DD (now [Unreleased]?), "
        "commit that, and set the tag there"
    )


def look(root: Path) -> Tree:
    """The tree, if it may be released.

    Raises:
        ReleaseError: it is not clean, not at a tag, or its changelog lacks the version.
    """
    changed = git(root, "status", "--porcelain", "--untracked-files=normal")
    if changed:
        raise ReleaseError(f"the tree is not clean; commit this or put it away (git stash -u):\n{changed}")
    version = tag_of(git(root, "tag", "--points-at", "HEAD").splitlines())
    try:
        changelog = (root / CHANGELOG).read_text(encoding="utf-8")
    except OSError as error:
        raise ReleaseError(f"{CHANGELOG} cannot be read: {error.strerror}") from error
    commit, epoch = git(root, "log", "-1", "--format=%H %ct").split()
    return Tree(root, version, commit, int(epoch), notes_of(changelog, version))
