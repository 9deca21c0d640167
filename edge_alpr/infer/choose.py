"""Which of the graphs in a folder a board needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_alpr.errors import ModelError
from edge_alpr.infer.graphs import Graph, outdated
from edge_alpr.infer.recipe import GraphPrecision, Recipe

_INSTEAD: tuple[GraphPrecision, ...] = ("fp16", "fp32")
"""What is taken where a precision was not made, or must not ship."""
_AGAIN = "make them again: python -m export.variants"


@dataclass(frozen=True, slots=True)
class Choice:
    """A graph, and what must be told of the choice."""

    graph: Graph
    note: str = ""


def choose(
    graphs: Sequence[Graph],
    recipe: Recipe,
    precision: GraphPrecision | None,
    why_not: Callable[[Graph], str] = outdated,
) -> list[Choice]:
    """One graph for each detector and reader of each plane, in the recipe's precision or the named one.

    `why_not` says why a graph must be left out. Raises `ModelError` where a plane lacks its detector or its reader.
    """
    refused = {id(graph): why_not(graph) for graph in graphs}
    groups: dict[str, list[Graph]] = {}
    for graph in graphs:
        groups.setdefault(graph.name, []).append(graph)
    choices = []
    for group in groups.values():
        network = recipe.detector if group[0].kind == "detector" else recipe.reader
        choices.append(_best(group, refused, precision or network.precision))
    _check_pairs([choice.graph for choice in choices])
    return sorted(choices, key=lambda choice: choice.graph.name)


def _best(group: Sequence[Graph], refused: dict[int, str], wanted: GraphPrecision) -> Choice:
    usable = {graph.precision: graph for graph in group if not refused[id(graph)]}
    if not usable:
        raise ModelError(f"{group[0].package.path}: {refused[id(group[0])]}; {_AGAIN}")
    found = next((usable[one] for one in (wanted, *_INSTEAD) if one in usable), None)
    if found is None:
        raise ModelError(f"{group[0].package.path}: there is no {wanted} graph of the {group[0].name}; {_AGAIN}")
    if found.precision == wanted:
        return Choice(found)
    reason = next((refused[id(graph)] for graph in group if graph.precision == wanted), "there is none")
    return Choice(found, f"{found.precision}, not {wanted}: {reason}")


def _check_pairs(graphs: Sequence[Graph]) -> None:
    planes = {kind: {graph.plane for graph in graphs if graph.kind == kind} for kind in ("detector", "reader")}
    for kind, other in (("detector", "reader"), ("reader", "detector")):
        for plane in sorted(planes[other] - planes[kind]):
            raise ModelError(f"no {kind} for frames of {plane} lies beside its {other}; {_AGAIN}")
