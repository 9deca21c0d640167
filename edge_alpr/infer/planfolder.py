"""The plans of this device: which recipe holds here, what a graph's plan must be, and its bytes once proven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_alpr.errors import BuildError
from edge_alpr.infer.builder import typing_of
from edge_alpr.infer.graphs import Graph, graph_of, identity_of, settings_of
from edge_alpr.infer.identity import Identity
from edge_alpr.infer.machine import Machine
from edge_alpr.infer.package import ModelPackage
from edge_alpr.infer.plan import find_plan
from edge_alpr.infer.recipe import Recipe, board_of, load_recipe, load_recipes

RECIPE = "recipe.toml"
"""Beside the graphs: it is used in place of the installed one, so that a board can have its own."""


@dataclass(frozen=True, slots=True)
class PlanFolder:
    """Where plans lie, and all that their identities need: `trt` is TensorRT's module."""

    folder: Path
    recipe: Recipe
    machine: Machine
    trt: Any

    def identity(self, graph: Graph) -> Identity:
        """Of the plan that a graph needs here."""
        settings = settings_of(graph, self.recipe)
        return identity_of(graph, settings, self.machine, self.trt.__version__, typing_of(self.trt, settings))

    def __call__(self, package: ModelPackage) -> bytes:
        """The proven plan for a package. Raises `ModelError` for one that is no graph for the GPU, and `PlanError`."""
        return find_plan(self.folder, self.identity(graph_of(package))).data


def own_recipe(folder: Path, module: str, jetson: bool) -> Recipe:
    """The recipe beside the graphs, else the installed one of a board by its name in the device tree.

    Raises `BuildError` for a board that no recipe knows, `ConfigError` for a recipe that does not hold.
    """
    path = folder / RECIPE
    if path.is_file():
        return load_recipe(path)
    recipes = load_recipes()
    own = board_of(module, jetson, recipes)
    if own is None:
        raise BuildError(f"no recipe knows the board '{module}'; name one: edge-alpr build --for {'|'.join(recipes)}")
    return recipes[own]


def check_board(recipe: Recipe, module: str, jetson: bool, machine: Machine) -> None:
    """Whether a recipe is for this machine; by its GPU alone where no recipe knows a Jetson's name.

    Raises `BuildError`.
    """
    recipes: Mapping[str, Recipe] = load_recipes()
    own, keys = board_of(module, jetson, recipes), recipe.board
    fits = keys.modules == recipes[own].board.modules if own else bool(keys.modules)
    if not fits:
        raise BuildError(f"the recipe is for {recipe.title}, this is {module}; build there")
    if keys.sm and machine.sm not in keys.sm:
        wanted = f"compute capability {' or '.join(keys.sm)}"
        raise BuildError(f"the recipe is for {wanted}, this GPU ({machine.gpu}) has {machine.sm}; build there")
