"""Hot lists as tests make them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from helpers_parts import missing

from edge_alpr.config import HotListsConfig
from edge_alpr.hotlist.compiled import compile_list
from edge_alpr.hotlist.keys import Classes
from edge_alpr.hotlist.match import LoadedList, Matcher
from edge_alpr.hotlist.patterns import Patterns


def needs(module: str) -> None:
    """Skip where a package of the extra `hotlists` is not installed."""
    if importlib.util.find_spec(module) is None:
        missing(f"{module} is not installed")


def loaded(data: bytes | str, name: str = "list", config: HotListsConfig | None = None) -> LoadedList:
    """A CSV list from its content."""
    raw = data.encode() if isinstance(data, str) else data
    compiled = compile_list(raw, ".csv", name, Classes((config or HotListsConfig()).classes))
    return LoadedList(Path(f"{name}.csv"), compiled, 0, patterns=Patterns(compiled.head.patterns))


def matcher(*lists: bytes | str, config: HotListsConfig | None = None) -> Matcher:
    """A matcher of lists by their contents, named list0, list1."""
    made = [loaded(data, f"list{number}", config) for number, data in enumerate(lists)]
    return Matcher(config or HotListsConfig(), made)
