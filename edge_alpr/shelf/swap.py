"""Swapping models: the [models] entries of a configuration, its comments kept, the file replaced as a whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from edge_alpr.config import ModelsConfig, parse_config
from edge_alpr.errors import ConfigError, ModelError
from edge_alpr.infer.card import KINDS
from edge_alpr.shelf.trial import Trial

SHIPPED: Mapping[str, str] = {kind: "" for kind in KINDS}


def chosen(trials: list[Trial]) -> dict[str, str]:
    """What the configuration is to name, by kind. Raises `ModelError` for a package that failed or a kind twice."""
    names: dict[str, str] = {}
    for trial in trials:
        if trial.package is None or trial.failed:
            raise ModelError(trial.problem)
        kind = trial.package.card.kind
        if kind in names:
            raise ModelError(f"{trial.path}: a second {kind}; name one detector, one reader, or one of each")
        names[kind] = str(trial.package.path.resolve())
    return names


def swapped(text: str, names: Mapping[str, str], origin: str) -> str:
    """The configuration with other models; an empty name takes the entry away. All else stays as it was.

    Raises `ConfigError` where the text is no valid configuration.
    """
    parse_config(text, origin)
    try:
        document = tomlkit.parse(text)
        if "models" not in document:
            document["models"] = tomlkit.table()
        for kind, name in names.items():
            if name:
                document["models"][kind] = name
            elif kind in document["models"]:
                document["models"].remove(kind)
        result = tomlkit.dumps(document)
    except TOMLKitError as error:
        raise ConfigError(f"{origin}: cannot be edited: {error}; write its [models] table by hand") from error
    wanted = msgspec.structs.replace(parse_config(text, origin).models, **names)
    if parse_config(result, origin).models != wanted:
        raise ConfigError(f"{origin}: its [models] cannot be edited; write that table by hand")
    return result


def use(names: Mapping[str, str], path: Path) -> list[str]:
    """Write other models into a configuration file, which may not be there yet; gives what changed, a line each.

    Raises `ConfigError`; the file is then as it was.
    """
    path = path.expanduser().resolve()
    try:
        text = path.read_bytes().decode("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    before = parse_config(text, str(path)).models
    result = swapped(text, names, str(path))
    if result != text:
        _replace(path, result)
    return changes(before, parse_config(result, str(path)).models)


def changes(before: ModelsConfig, after: ModelsConfig) -> list[str]:
    """One line for each entry that is another now."""
    pairs = [(kind, getattr(before, kind), getattr(after, kind)) for kind in KINDS]
    return [f"{kind}: {_said(old)} -> {_said(new)}" for kind, old, new in pairs if old != new]


def _said(name: str) -> str:
    return name or "shipped"


def _replace(path: Path, text: str) -> None:
    """The file has its old text or the new one, whenever the power goes."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; name another file: --config") from error
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(mode)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; name another file: --config") from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
