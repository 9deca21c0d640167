"""Recipes: how the networks are compiled for a board. They lie in `engines/`, in the wheel in `edge_alpr/engines/`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from edge_alpr.config import Section
from edge_alpr.errors import BuildError, ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GraphPrecision: TypeAlias = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[GraphPrecision, ...] = ("fp32", "fp16", "int8")
DESKTOP = "desktop"
Line = Annotated[str, Meta(min_length=1)]
Core = Annotated[int, Meta(ge=0, le=1)]
Batch = Annotated[int, Meta(ge=1, le=64)]


class BoardKeys(Section, frozen=True):
    """How a board is known."""

    modules: tuple[Line, ...]
    """One of these stands in the device tree's name of the board; none: no Jetson."""
    sm: tuple[Annotated[str, Meta(pattern=r"^\d+\.\d$")], ...]
    """CUDA compute capabilities; none: any."""
    dla_cores: Annotated[int, Meta(ge=0, le=2)]


class BuildLimits(Section, frozen=True):
    """What the builder may take."""

    workspace_mb: Annotated[int, Meta(ge=16, le=65536)]
    optimization_level: Annotated[int, Meta(ge=0, le=5)] = 3
    """TensorRT's: higher searches longer."""


class Network(Section, frozen=True, kw_only=True):
    """How one kind of network is compiled."""

    precision: GraphPrecision
    dla_core: Core | None = None
    dla_fallback: bool = True
    """What the DLA cannot do runs on the GPU."""


class ReaderNetwork(Network, frozen=True, kw_only=True):
    """The reader takes some plates a run."""

    profiles: Annotated[tuple[Batch, ...], Meta(min_length=1)]
    """Plates a run, one optimization profile each."""


class Recipe(Section, frozen=True):
    """A whole recipe."""

    title: Line
    board: BoardKeys
    build: BuildLimits
    detector: Network
    reader: ReaderNetwork


def recipes_folder() -> Path:
    """Where the recipes lie: beside the package's modules in an installation, beside the package in a source tree."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "engines"
    return installed if installed.is_dir() else package.parent / "engines"


def load_recipes(folder: Path | None = None) -> Mapping[str, Recipe]:
    """All recipes by board, e.g. `orin-nano`. Raises `ConfigError` for one that does not hold, or for none."""
    folder = folder or recipes_folder()
    recipes = {path.stem: load_recipe(path) for path in sorted(folder.glob("*.toml"))}
    if not recipes:
        raise ConfigError(f"{folder}: no recipe lies there; install edge-alpr again")
    return recipes


def parse_recipe(text: str, origin: str) -> Recipe:
    """Read a recipe from TOML text. Raises `ConfigError` that names `origin` and the line that does not hold."""
    try:
        recipe = msgspec.convert(tomllib.loads(text), Recipe)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin}: not valid TOML: {error}; mend that line") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {str(error).replace('`', chr(39))}; mend that line") from error
    for kind, network in (("detector", recipe.detector), ("reader", recipe.reader)):
        if network.dla_core is not None and network.dla_core >= recipe.board.dla_cores:
            raise ConfigError(
                f"{origin}: [{kind}] dla_core = {network.dla_core}, [board] says there are {recipe.board.dla_cores}; "
                "mend that line"
            )
    profiles = recipe.reader.profiles
    if list(profiles) != sorted(set(profiles)):
        raise ConfigError(f"{origin}: [reader] profiles = {list(profiles)} do not rise; mend that line")
    return recipe


def board_of(module: str, is_jetson: bool, recipes: Mapping[str, Recipe]) -> str | None:
    """The board whose recipe fits a name of the device tree, `desktop` for what is no Jetson; None: unknown Jetson."""
    if not is_jetson:
        return DESKTOP if DESKTOP in recipes else None
    fits = [name for name, recipe in recipes.items() if any(key in module for key in recipe.board.modules)]
    return fits[0] if len(fits) == 1 else None


def recipe_text(board: str) -> str:
    """The installed recipe of a named board, as it was written. Raises `BuildError` naming those there are."""
    known = sorted(path.stem for path in recipes_folder().glob("*.toml"))
    if board not in known:
        raise BuildError(f"there is no recipe for '{board}'; known: {', '.join(known)}")
    return _read(recipes_folder() / f"{board}.toml")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises `ConfigError`."""
    return parse_recipe(_read(path), str(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the recipe cannot be read: {error}; put a good one there") from error
