"""Sets of model packages side by side in one folder: its link `current` names the one that reads, `trial` another.

A set is a folder named by its version, with a detector and a reader at least. What else a drive runs (the small
detector, the one that looks again) comes from the set where it has one, else from the installation.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edge_alpr.config import ModelsConfig, Tier
from edge_alpr.errors import ModelError
from edge_alpr.infer.card import DetectorTier, Kind
from edge_alpr.infer.package import ModelPackage, in_precision, list_packages, load_package, only, shipped_folder

_log = logging.getLogger(__name__)
CURRENT, TRIAL = "current", "trial"
_TIERS: tuple[DetectorTier, ...] = ("large", "small", "near")
GRAPHS = "engines"
"""Folder within a set: its graphs and plans for the GPU, laid out as `[models] engines` is."""


@dataclass(frozen=True, slots=True)
class ModelSet:
    """Where the packages of one version lie; `version` is empty for those that came with the installation."""

    version: str
    folder: Path

    @property
    def title(self) -> str:
        """As people are told of it."""
        return f"models {self.version}" if self.version else "the shipped models"

    def path(self, kind: Kind, tier: DetectorTier = "large") -> Path:
        """The ONNX file of a kind; the shipped one where the set has none. Raises `ModelError`."""
        try:
            return only(kind, self.folder, tier)
        except ModelError:
            if not self.version:
                raise
        return only(kind, shipped_folder(), tier)

    def paths(self) -> list[Path]:
        """The ONNX files of all that a drive may run with this set. Raises `ModelError`."""
        return [*(self.path("detector", tier) for tier in _TIERS), self.path("reader")]


def shipped_set() -> ModelSet:
    """What came with the installation."""
    return ModelSet("", shipped_folder())


def set_in(folder: Path, tier: Tier = "large") -> ModelSet:
    """The set in a folder, whole: each package is what its card says, with one reader and one detector of the tier.

    Raises `ModelError` with the first reason why not.
    """
    for listed in list_packages(folder):
        if listed.package is None:
            raise ModelError(listed.problem)
    only("detector", folder, tier)
    only("reader", folder)
    return ModelSet(folder.name, folder)


def linked(shelf: Path, link: str) -> Path | None:
    """The folder that a link of the shelf names now, there or not; None where there is no such link.

    Raises `ModelError` where something else has its name, or it cannot be looked at.
    """
    place = shelf / link
    if not shelf.is_dir():
        raise ModelError(f"{shelf}: there is no such folder; make it, bring its disk back, or set [models] shelf")
    try:
        return shelf / place.readlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{place}: no link to the folder of a model set: {error.strerror}") from error


def current_set(models: ModelsConfig) -> ModelSet:
    """The set that the configuration's shelf says is to read; the shipped one without a shelf or a link.

    Raises `ModelError` where the link names no whole set.
    """
    folder = linked(shelf_of(models), CURRENT) if models.shelf else None
    return set_in(folder, models.tier) if folder else shipped_set()


def usable_set(models: ModelsConfig) -> ModelSet:
    """The same, but the shipped set where the other is not whole; each reason is told once."""
    try:
        return current_set(models)
    except ModelError as error:
        _warn_once(str(error))
        return shipped_set()


def shelf_of(models: ModelsConfig) -> Path:
    """The folder of the sets."""
    return Path(models.shelf).expanduser()


@lru_cache(maxsize=64)
def _warn_once(reason: str) -> None:
    _log.warning("the shipped models read, not those of [models] shelf: %s", reason)


def configured(
    models: ModelsConfig, kind: Kind, tier: Tier | None = None, among: ModelSet | None = None
) -> ModelPackage:
    """The package that the configuration wants: a named one, else that of `tier` (or of the configured) in a set.

    `among` is the set, where it was looked up already. The package is the INT8 variant where `models.precision` wants
    that. Raises `ModelError`.
    """
    own = models.detector if kind == "detector" else models.reader
    path = Path(own) if own else (among or usable_set(models)).path(kind, tier or models.tier)
    package = load_package(path)
    if package.card.kind != kind:
        raise ModelError(
            f"{package.path}: [models] {kind} of the configuration names a {package.card.kind}; "
            f"name it there: [models] {package.card.kind}"
        )
    return in_precision(package, models.precision)
