"""Imports point down the layer table, and a vendor's module is known in few places."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

# Lowest row first. A unit is a module or a package of edge_alpr; `stages/*` makes each stage one. A unit imports from
# lower rows and from itself, not from a neighbour in its row. One that stands nowhere is an error: give it a row.
LAYERS = (
    "types errors models samples",
    "config geometry evidence ports feed boxes l4t",
    "fusion path characters formats hits spans timings gpuhealth privacy runtime agreement",
    "passages",
    "stages stages/*",
    "onplane",
    "camera infer sinks device",
    "pipeline ahead hotlist position",
    "evaluate ops ota gpudrive",
    "app doctor",
    "hotswap",
    "drive",
    "screen stills assess bench label service records",
    "shelf build uplink display cabin update",
    "cli",
)

# Which units may import a vendor's module.
VENDORS = {
    "gi": {"camera"},
    "onnxruntime": {"infer"},
    "tensorrt": {"infer", "camera"},
    "cuda": {"infer", "camera"},
    "pycuda": {"infer", "camera"},
    "sqlite3": {"sinks"},
    "matplotlib": {"evaluate"},
    "cryptography": {"sinks", "hotlist"},
    "re2": {"hotlist"},
    "gpiod": {"device"},
    "starlette": {"label", "display"},
    "uvicorn": {"label", "display"},
    "sdnotify": {"service"},
    "logging_journald": {"service"},
    "paho": {"uplink"},
    "urllib3": {"uplink", "ota"},
    "tuf": {"ota"},
    "securesystemslib": {"ota"},
    "tenacity": {"uplink", "ota"},
    "prometheus_client": {"uplink"},
    "torch": set(),
}

PACKAGE = "edge_alpr"
RANKS = {unit: rank for rank, row in enumerate(LAYERS) for unit in row.split()}


def violations(folder: Path) -> list[str]:
    """One line for each import under `folder` (the package) that the tables forbid, and for each unit without a row."""
    files = {_module(path.relative_to(folder.parent)): path for path in sorted(folder.rglob("*.py"))}
    return [
        f"{path.relative_to(folder.parent)}:{line}: {reason}"
        for module, path in files.items()
        for line, target in sorted(set(_imports(path, module, files.keys())), key=lambda found: found[0])
        for reason in [_reason(_unit(module), target)]
        if reason
    ] + [f"{path.relative_to(folder.parent)}: no row" for module, path in files.items() if _rank(_unit(module)) is None]


def _module(path: Path) -> str:
    """`edge_alpr/camera/__init__.py` -> `edge_alpr.camera`."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _unit(module: str) -> str:
    """The unit of a full module name: `edge_alpr.camera.player` -> `camera`; the package itself is ``."""
    parts = module.split(".")[1:]
    return "/".join(parts[:2] if parts[:1] == ["stages"] else parts[:1])


def _rank(unit: str) -> int | None:
    """The row of a unit; the package itself stands below all rows; None where there is no row for it."""
    return -1 if not unit else RANKS.get(unit, RANKS.get(unit.partition("/")[0] + "/*"))


def _reason(unit: str, target: str) -> str:
    """Why `unit` must not import the module `target`; empty where it may."""
    top, other = target.partition(".")[0], _unit(target)
    if top != PACKAGE:
        wrong = unit.partition("/")[0] not in VENDORS.get(top, {unit.partition("/")[0]})
        return f"{target} is only for {', '.join(sorted(VENDORS[top])) or 'nobody'}" if wrong else ""
    mine, its = _rank(unit), _rank(other)
    if other == unit or mine is None or its is None or its < mine:
        return ""  # what has no row is told once, on its own
    return f"{target} {'is a neighbour' if its == mine else 'stands higher'}"


def _imports(path: Path, module: str, modules: Iterable[str]) -> Iterator[tuple[int, str]]:
    """(line, full name) of each module that a file imports: at its top, in functions, for typing, by a literal."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            yield from ((node.lineno, name) for name in names if isinstance(name, str))


def test_the_package_keeps_the_layer_table(repo: Path):
    assert violations(repo / PACKAGE) == []


def _tree(folder: Path, files: dict[str, str]) -> Path:
    """A made-up package. Every unit that the files may name is there, empty."""
    package = folder / PACKAGE
    for name in ("__init__", "types", "errors", "config", "geometry", "stages/read", "stages/track", "pipeline", "cli"):
        files.setdefault(f"{name}.py", "")
    for name in ("stages", "camera", "camera/gst", "infer", "sinks"):
        files.setdefault(f"{name}/__init__.py", "")
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    return package


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("types.py", "from edge_alpr.config import Config", "edge_alpr.config stands higher"),
        ("types.py", "from edge_alpr import config", "edge_alpr.config stands higher"),
        ("types.py", "from . import config", "edge_alpr.config stands higher"),
        ("camera/gst/player.py", "from ... import cli", "edge_alpr.cli stands higher"),
        ("camera/gst/player.py", "from ...pipeline import Pipeline", "edge_alpr.pipeline stands higher"),
        ("errors.py", "import edge_alpr.types", "edge_alpr.types is a neighbour"),
        ("camera/gst/__init__.py", "from edge_alpr.infer import Session", "edge_alpr.infer is a neighbour"),
        ("stages/read.py", "from edge_alpr.stages import track", "edge_alpr.stages.track is a neighbour"),
        ("stages/read.py", "from .track import Tracker", "edge_alpr.stages.track is a neighbour"),
        ("stages/read/beam.py", "from edge_alpr.stages.track import Tracker", "edge_alpr.stages.track is a neighbour"),
        ("stages/__init__.py", "from edge_alpr.stages.track import Tracker", "edge_alpr.stages.track is a neighbour"),
        ("__init__.py", "from edge_alpr.types import Frame", "edge_alpr.types stands higher"),
        ("geometry.py", "def late():\n    from edge_alpr.cli import main", "edge_alpr.cli stands higher"),
        ("geometry.py", "if TYPE_CHECKING:\n    from edge_alpr.cli import main", "edge_alpr.cli stands higher"),
        ("geometry.py", "importlib.import_module('edge_alpr.cli')", "edge_alpr.cli stands higher"),
        ("pipeline.py", "import gi", "gi is only for camera"),
        ("infer/gpu.py", "from gi.repository import Gst", "gi.repository is only for camera"),
        ("stages/read.py", "import onnxruntime as ort", "onnxruntime is only for infer"),
        ("sinks/board.py", "from cuda.bindings import driver", "cuda.bindings is only for camera, infer"),
        ("cli.py", "def late():\n    import sqlite3", "sqlite3 is only for sinks"),
        ("infer/rungs.py", "import torch.nn", "torch.nn is only for nobody"),
        ("helpers.py", "", "no row"),
        ("utils/__init__.py", "", "no row"),
    ],
)
def test_an_import_that_breaks_the_table_is_named(file: str, text: str, reason: str, tmp_path: Path):
    found = violations(_tree(tmp_path, {file: text}))

    line = f":{text.count(chr(10)) + 1}" if text else ""
    assert found == [f"{PACKAGE}/{file}{line}: {reason}"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("__init__.py", "__version__ = '1'"),
        ("cli.py", "from edge_alpr import __version__, pipeline\nfrom edge_alpr.stages import read, track"),
        ("stages/read.py", "from edge_alpr.types import Read\nfrom edge_alpr import geometry\nimport numpy"),
        ("stages/read/decode.py", "from edge_alpr.stages.read import beam\nfrom . import beam"),
        ("camera/gst/__init__.py", "import gi\nfrom edge_alpr.camera.table import OPEN\nfrom ..table import OPEN"),
        ("infer/gpu.py", "import tensorrt, onnxruntime\nfrom cuda.bindings import driver"),
        ("sinks/store.py", "import sqlite3\nfrom edge_alpr.config import StoreConfig"),
        ("pipeline.py", "importlib.import_module(name)\nfrom edge_alpr import camera, infer, sinks"),
    ],
)
def test_an_import_that_keeps_the_table_is_not(file: str, text: str, tmp_path: Path):
    assert violations(_tree(tmp_path, {file: text})) == []
