"""Model packages: an ONNX file and its card of the same name (`reader.onnx`, `reader.toml`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import msgspec

from edge_alpr.config import Precision
from edge_alpr.errors import ModelError
from edge_alpr.infer.card import Card, DetectorTier, Kind, format_card, parse_card
from edge_alpr.infer.processor import multiplies_bytes


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model whose bytes are the ones its card speaks of. `model` is the whole ONNX file."""

    path: Path
    card: Card
    model: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """A package found in a folder: `package` is None where it cannot be used, and `problem` says why."""

    path: Path
    package: ModelPackage | None
    problem: str = ""


def load_package(path: Path) -> ModelPackage:
    """Read an ONNX file and its card and compare their hash. Raises `ModelError` with the reason.

    The graph itself is compared with the card when a session is opened on the package.
    """
    path = path.expanduser().with_suffix(".onnx")
    model, card = _read(path), _read_card(path)
    digest = hashlib.sha256(model).hexdigest()
    if digest != card.sha256:
        raise ModelError(
            f"{path}: its sha256 is {digest[:12]}…, its card wants {card.sha256[:12]}…; "
            "get the pair again, the model and its card belong together"
        )
    return ModelPackage(path=path, card=card, model=model)


def list_packages(folder: Path) -> list[Listed]:
    """All packages of a folder by name, also those that cannot be used. Raises `ModelError` for no folder."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; name the folder that holds the .onnx files")
    return [_listed(path) for path in _models(folder)]


def shipped(kind: Kind, tier: DetectorTier = "large") -> Path:
    """The ONNX file of that kind that came with the installation; `tier` chooses among the detectors.

    Raises `ModelError` naming what there is where there is none.
    """
    return only(kind, shipped_folder(), tier)


def shipped_folder() -> Path:
    """Where the packages lie that came with the installation."""
    return Path(str(resources.files("edge_alpr.models")))


def only(kind: Kind, folder: Path, tier: DetectorTier | None = None) -> Path:
    """The one package of a kind (a detector: of a tier) in a folder, by its card alone; variants do not count.

    Raises `ModelError` for none or several, with what there is.
    """
    cards = [(path, _read_card(path)) for path in _models(folder)]
    there = [(path, card.detector) for path, card in cards if card.kind == kind and not card.variant]
    found = [path for path, detector in there if tier is None or detector is None or detector.tier == tier]
    if len(found) == 1:
        return found[0]
    wanted = f"{tier} {kind}" if tier and kind == "detector" else kind
    names = ", ".join(f"{path.name} ({detector.tier})" if detector else path.name for path, detector in there)
    raise ModelError(
        f"{folder}: one {wanted} is wanted there, found {names or 'none'}; "
        f'name the model in the configuration ([models] {kind} = "FILE.onnx") or install edge-alpr again'
    )


def in_precision(package: ModelPackage, precision: Precision) -> ModelPackage:
    """The INT8 variant that lies beside a package, or the package itself, as `ModelsConfig.precision` says.

    Raises `ModelError` where INT8 is demanded and there is none, or where the variant is damaged.
    """
    if precision == "full" or package.card.variant or (precision == "auto" and not multiplies_bytes()):
        return package
    for path in _models(package.path.parent):
        variant = _variant_of(path)
        if variant == package.card.sha256:
            return load_package(path)
    if precision == "int8":
        raise ModelError(f"{package.path}: no INT8 variant lies beside it; set [models] precision = \"auto\"")
    return package


def write_card(path: Path, card: Card) -> Path:
    """Write the card of the ONNX file at `path`, with the hash of that file in place of `card.sha256`.

    Gives the card's path. The text is the same for the same card and file.
    """
    model = _read(path)
    text = format_card(msgspec.structs.replace(card, sha256=hashlib.sha256(model).hexdigest()))
    target = path.with_suffix(".toml")
    parse_card(text, str(target))
    target.write_text(text, encoding="utf-8")
    return target


def _variant_of(path: Path) -> str:
    """The hash of the package whose variant this is; empty for any other file, a broken one too."""
    try:
        card = _read_card(path)
    except ModelError:
        return ""
    return card.variant.of if card.variant else ""


def _models(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.onnx"))


def _listed(path: Path) -> Listed:
    try:
        return Listed(path, load_package(path))
    except ModelError as error:
        return Listed(path, None, str(error))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such model; see what is there: edge-alpr models") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}; check its rights") from error


def _read_card(path: Path) -> Card:
    card = path.with_suffix(".toml")
    try:
        text = card.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelError(f"{path}: it has no card; put {card.name} beside it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{card}: the card cannot be read: {error}; put a good one there") from error
    return parse_card(text, str(card))
