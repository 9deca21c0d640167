"""The verb `build`: on the board it compiles, elsewhere it prepares the folder that the board's image carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from rich.console import Console

from edge_alpr.build.run import OpenPlan, Workshop, compile_graphs
from edge_alpr.build.session import open_plan
from edge_alpr.build.show import bars, show_rows
from edge_alpr.device import open_board
from edge_alpr.device.jetson import is_jetson
from edge_alpr.errors import BuildError, PlanError
from edge_alpr.infer.atomic import write_whole
from edge_alpr.infer.builder import load_builder
from edge_alpr.infer.card import KINDS
from edge_alpr.infer.choose import Choice, choose
from edge_alpr.infer.graphs import gpu_graphs
from edge_alpr.infer.machine import Machine, examine_machine
from edge_alpr.infer.planfolder import RECIPE, PlanFolder, check_board, own_recipe
from edge_alpr.infer.recipe import PRECISIONS, GraphPrecision, Recipe, load_recipe, parse_recipe, recipe_text

FOLDER = Path("engines/build")


@dataclass(frozen=True, slots=True)
class Request:
    """As the command line has it."""

    board: str | None = None
    models: Path = FOLDER
    out: Path | None = None
    precision: str | None = None
    check: bool = True


@dataclass(frozen=True, slots=True)
class Here:
    """This machine. `tensorrt` and `machine` raise `BuildError` where there is none."""

    module: str
    """As the device tree or the firmware names the board."""
    jetson: bool
    tensorrt: Callable[[], Any]
    machine: Callable[[], Machine]
    open_plan: OpenPlan


def this_machine(root: Path = Path("/")) -> Here:
    """The machine whose files lie under `root`."""
    return Here(open_board(root).name, is_jetson(root), load_builder, lambda: examine_machine(root), open_plan)


def build(request: Request, console: Console, here: Here | None = None) -> None:
    """Compile what this board needs, or prepare another's folder.

    Raises `BuildError` where that is not possible here, and `PlanError` where a plan was not built or not proven.
    """
    here = here or this_machine()
    precision = _precision(request.precision)
    if request.board is None:
        trt, machine = here.tensorrt(), here.machine()
        models, out = request.models, request.out or request.models
        recipe = own_recipe(models, here.module, here.jetson)
        check_board(recipe, here.module, here.jetson, machine)
    else:
        models = out = request.out or request.models / request.board
        recipe = _prepare(request.models, request.board, out, precision, console)
        try:
            trt, machine = here.tensorrt(), here.machine()
            check_board(recipe, here.module, here.jetson, machine)
        except BuildError as error:
            _tell_unbuilt(recipe, out, str(error), console)
            return
    choices = choose(gpu_graphs(models), recipe, precision)
    _compile(choices, Workshop(PlanFolder(out, recipe, machine, trt), here.open_plan, request.check), console)


def _compile(choices: list[Choice], shop: Workshop, console: Console) -> None:
    plans = shop.plans
    title = f"{plans.recipe.title}: {plans.machine.gpu}, TensorRT {plans.trt.__version__}"
    console.print(title, highlight=False, markup=False)
    with bars(console) as step:
        rows = compile_graphs(choices, shop, step)
    show_rows(rows, console)
    console.print("See that a drive takes them: edge-alpr doctor", highlight=False, markup=False)
    if failed := [row for row in rows if row.did == "failed"]:
        more = f" ({len(failed) - 1} more failed)" if len(failed) > 1 else ""
        raise PlanError(f"{failed[0].graph.package.path.stem}: {failed[0].why}{more}")


def _precision(name: str | None) -> GraphPrecision | None:
    known = next((one for one in PRECISIONS if one == name), None)
    if name is not None and known is None:
        raise BuildError(f"there is no precision '{name}'; known: {', '.join(PRECISIONS)}")
    return known


def _prepare(models: Path, board: str, out: Path, precision: GraphPrecision | None, console: Console) -> Recipe:
    """Copy what an image must carry: graphs with their cards, and the recipe, which stays where one is there.

    Raises `BuildError`.
    """
    text = _with_precision(recipe_text(board), precision)
    recipe, path = parse_recipe(text, board), out / RECIPE
    if path.exists():
        if load_recipe(path).board != recipe.board:
            raise BuildError(f"{path}: it is for {load_recipe(path).title}; name another folder: --out")
        recipe = load_recipe(path)
    choices = choose(gpu_graphs(models), recipe, precision)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for choice in choices:
            _copy(choice.graph.package.path, out)
            _copy(choice.graph.package.path.with_suffix(".toml"), out)
        if not path.exists():
            write_whole(path, text.encode("utf-8"))
    except OSError as error:
        raise BuildError(f"{out}: cannot be written: {error.strerror}; name another folder: --out") from error
    for choice in choices:
        note = f" ({choice.note})" if choice.note else ""
        console.print(f"{out / choice.graph.package.path.name}{note}", soft_wrap=True, markup=False, highlight=False)
    return recipe


def _copy(path: Path, folder: Path) -> None:
    if path.parent.resolve() != folder.resolve():
        write_whole(folder / path.name, path.read_bytes())


def _with_precision(text: str, precision: GraphPrecision | None) -> str:
    """A recipe's text in another precision, its comments kept."""
    if precision is None:
        return text
    document = tomlkit.parse(text)
    for kind in KINDS:
        document[kind]["precision"] = precision
    return tomlkit.dumps(document)


def _tell_unbuilt(recipe: Recipe, out: Path, why: str, console: Console) -> None:
    lines = (
        f"Graphs and recipe for {recipe.title} lie in {out}. No plans were made here: {why}.",
        f"`edge-alpr build --models {out}` on the board makes them.",
    )
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
