"""The folder of the lists: which there are, verified and compiled; compiled ones are kept in `.compiled`."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from edge_alpr.config import Config, HotListsConfig
from edge_alpr.errors import HotListError, ListNotKeptError, UnsignedListError
from edge_alpr.hotlist.compiled import Compiled, compile_list, from_file, name_of, to_bytes
from edge_alpr.hotlist.keys import Classes
from edge_alpr.hotlist.match import LoadedList
from edge_alpr.hotlist.parse import MOST_BYTES, PARSERS
from edge_alpr.hotlist.patterns import Patterns
from edge_alpr.hotlist.signature import signature_path, verify
from edge_alpr.infer.atomic import write_whole

COMPILED = ".compiled"
_COMPILE_S = 300.0
NOT_KEPT = 3
"""How the compiler ends where a list is good, but its compiled form cannot be written."""
_log = logging.getLogger(__name__)

State: TypeAlias = tuple[int, ...]
"""Size, time and place of a list and of its signature: another state may be another content."""
Compile: TypeAlias = Callable[[bytes, Path, Path, HotListsConfig], None]
"""Writes the compiled form of (content, path of the list) to a path. Raises `HotListError`."""


@dataclass(frozen=True)
class Loaded:
    """What lies in the folder: lists that can be used, and by their paths why others cannot."""

    lists: tuple[LoadedList, ...] = ()
    troubles: Mapping[Path, str] = field(default_factory=dict)


def lists_folder(config: Config) -> Path:
    """Where the lists are."""
    folder = config.hotlists.folder
    return Path(folder).expanduser() if folder else Path(config.store.path).expanduser() / "hotlists"


def list_paths(folder: Path) -> list[Path]:
    """The lists of a folder, by name; none where there is no folder. Raises `HotListError`."""
    try:
        paths = sorted(folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise HotListError(f"{folder}: cannot be listed: {error.strerror}; set hotlists.folder") from error
    return [path for path in paths if path.suffix.lower() in PARSERS and not path.name.startswith(".")]


def state_of(path: Path) -> State:
    """The state of a list's files."""
    state: list[int] = []
    for one in (path, signature_path(path)):
        try:
            found = one.stat()
        except OSError:
            state += [0]
        else:
            state += [found.st_size, found.st_mtime_ns, found.st_ino]
    return tuple(state)


def compile_here(data: bytes, path: Path, target: Path, config: HotListsConfig) -> None:
    """Compile in this process."""
    write_compiled(compile_list(data, path.suffix.lower(), path.stem, Classes(config.classes)), target)


def compile_apart(data: bytes, path: Path, target: Path, config: HotListsConfig) -> None:
    """Compile in a process of its own, so that this one goes on as fast as before."""
    command = [sys.executable, "-m", "edge_alpr.hotlist.compiler", path.name, str(target), *config.classes]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=_COMPILE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HotListError(f"it could not be compiled: {error}") from error
    if done.returncode == NOT_KEPT:
        raise ListNotKeptError(f"{target.parent}: cannot be written")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise HotListError(said[-1] if said else f"compiling it ended with {done.returncode}")


def write_compiled(compiled: Compiled, target: Path) -> None:
    """Keep a compiled list, whole or not at all. Raises `ListNotKeptError`."""
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(target, to_bytes(compiled))
    except OSError as error:
        raise ListNotKeptError(f"{target.parent}: cannot be written: {error.strerror}") from error


def open_list(path: Path, config: HotListsConfig, compile_it: Compile = compile_here) -> LoadedList:
    """One list, verified, from its compiled form where there is one. Raises `HotListError`."""
    data, issued_ms = _content(path)
    signed_by = _signed_by(data, path, config)
    target = path.parent / COMPILED / name_of(data, path.stem, config.classes)
    try:
        compiled = _compiled(target) or _made(data, path, target, config, compile_it)
    except HotListError as error:
        raise HotListError(f"{path}: {error}") from error
    issued_ms = compiled.head.info.issued_s * 1000 or issued_ms
    return LoadedList(path, compiled, issued_ms, signed_by, target, Patterns(compiled.head.patterns))


def _content(path: Path) -> tuple[bytes, int]:
    """The bytes of a list, and when it was last written."""
    try:
        found = path.stat()
        if found.st_size > MOST_BYTES:
            raise HotListError(f"{path}: {found.st_size >> 20} MB; a list has at most {MOST_BYTES >> 20}: split it")
        return path.read_bytes(), found.st_mtime_ns // 1_000_000
    except OSError as error:
        raise HotListError(f"{path}: cannot be read: {error.strerror}") from error


def _signed_by(data: bytes, path: Path, config: HotListsConfig) -> str:
    if not (config.keys or config.require_signature):
        return ""
    try:
        return verify(data, path, Path(config.keys))
    except UnsignedListError:
        if config.require_signature or signature_path(path).exists():  # a wrong signature is worse than none
            raise
        return ""


def _compiled(target: Path) -> Compiled | None:
    try:
        return from_file(target)
    except OSError:
        return None
    except HotListError as error:
        _log.warning("%s", error)
        return None


def _made(data: bytes, path: Path, target: Path, config: HotListsConfig, compile_it: Compile) -> Compiled:
    try:
        compile_it(data, path, target, config)
    except ListNotKeptError as error:
        _log.warning("%s; the list is compiled at each start", error)
        return compile_list(data, path.suffix.lower(), path.stem, Classes(config.classes))
    try:
        return from_file(target)
    except OSError as error:
        raise HotListError(f"its compiled form cannot be read: {error.strerror}") from error


def open_folder(
    folder: Path, config: HotListsConfig, before: Loaded = Loaded(), compile_it: Compile = compile_here
) -> Loaded:
    """All lists of a folder. One that cannot be used stays as it was `before`, if it was. Raises `HotListError`."""
    known = {one.path: one for one in before.lists}
    lists: list[LoadedList] = []
    troubles: dict[Path, str] = {}
    for path in list_paths(folder):
        try:
            fresh = open_list(path, config, compile_it)
            _refuse_older(fresh, known.get(path), config)
        except HotListError as error:
            troubles[path] = str(error)
            if path in known:
                lists.append(known[path])
        else:
            lists.append(fresh)
    return Loaded(tuple(lists), troubles)


def _refuse_older(fresh: LoadedList, before: LoadedList | None, config: HotListsConfig) -> None:
    """A signed list that is older than the one in use may be an attempt to hide an entry."""
    if config.require_signature and before and fresh.info.issued_s < before.info.issued_s:
        raise HotListError(f"{fresh.path}: signed, but issued before the one in use; start anew to take it")


def tidy(folder: Path, loaded: Loaded) -> None:
    """Delete compiled lists that are not in use."""
    kept = {one.compiled_path for one in loaded.lists}
    for path in (folder / COMPILED).glob("*.hotlist"):
        if path not in kept:
            path.unlink(missing_ok=True)
