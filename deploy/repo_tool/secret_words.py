"""Passphrases and PINs: from a file, or asked for at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import typer

from deploy.repo_tool.errors import RepoError


def ask_terminal(name: str, twice: bool) -> str:
    """Raises `RepoError` where nobody can be asked."""
    if not sys.stdin.isatty():
        raise RepoError(f"{name}: passphrase or PIN needed; give --secret-file, or a file as its secret in fleet.toml")
    return str(typer.prompt(f"Passphrase or PIN of {name}", hide_input=True, confirmation_prompt=twice))


@dataclass(slots=True)
class Secrets:
    """Asks once for each key."""

    fallback: Path | None = None
    """For the keys that name no file of their own."""
    ask: Callable[[str, bool], str] = ask_terminal
    _known: dict[str, str] = field(default_factory=dict)

    def get(self, name: str, file: Path | None, twice: bool = False) -> str:
        """Of the key `name`. Raises `RepoError` where its file cannot be had, or others may read it."""
        if name not in self._known:
            chosen = file or self.fallback
            self._known[name] = _read(chosen) if chosen else self.ask(name, twice)
        return self._known[name]


def _read(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise RepoError(f"{path}: others may read it; chmod 600 {path}")
        word = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RepoError(f"{path}: no passphrase or PIN can be read from it: {error}") from error
    if not word:
        raise RepoError(f"{path}: empty; the first line is the passphrase or PIN")
    return word
