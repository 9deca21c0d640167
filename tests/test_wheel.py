"""The wheel holds all that a drive needs, and works from a clean environment far from the repository."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_PAIR_BYTES, MOST_ONNX_BYTES = 6_000_000, 9_000_000
"""Of the networks that run together in one precision, and of all."""
MOST_WHEEL_BYTES = 11_000_000
FROM_EXTRAS = {  # imported only where they are used: module -> distribution
    "cryptography": "cryptography", "matplotlib": "matplotlib", "starlette": "starlette", "uvicorn": "uvicorn",
    "gpiod": "gpiod", "logging_journald": "logging-journald", "paho": "paho-mqtt", "tenacity": "tenacity",
    "prometheus_client": "prometheus-client", "re2": "google-re2", "sdnotify": "sdnotify", "urllib3": "urllib3",
    "packaging": "packaging", "tuf": "tuf",
}  # fmt: skip
NOT_FROM_PIP = {"gi", "tensorrt", "cuda"}  # the distribution's or JetPack's; imported only where they are used


@pytest.fixture(scope="module")
def wheel(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built with the tools of the test extra."""
    folder = tmp_path_factory.mktemp("wheel")
    _python("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(repo))
    (built,) = folder.glob("edge_alpr-*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment `venv` that holds the wheel; what it depends on is lent by this one, not fetched."""
    folder = tmp_path_factory.mktemp("elsewhere")
    _python("-m", "venv", "--system-site-packages", str(folder / "venv"))
    _inside(folder, "python", "-m", "pip", "install", "--no-deps", "--no-index", str(wheel))
    (site,) = folder.glob("venv/lib/python*/site-packages")
    # The lent folder's own .pth files, the editable install of this tree among them, have no effect there.
    (site / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder


def _python(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _inside(folder: Path, command: str, *arguments: str) -> str:
    """What a command of the environment prints; it must succeed, and it sees neither the repository nor this home."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_", "EDGE_ALPR"))}
    done = subprocess.run(
        [folder / "venv" / "bin" / command, *arguments],
        cwd=folder,
        env={**clean, "HOME": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{command} {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def _names(wheel: Path) -> dict[PurePosixPath, int]:
    """Files of the wheel and their sizes in bytes."""
    with zipfile.ZipFile(wheel) as archive:
        return {PurePosixPath(entry.filename): entry.file_size for entry in archive.infolist()}


def test_it_holds_the_package_and_nothing_else(wheel: Path):
    tops = {name.parts[0] for name in _names(wheel)}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"edge_alpr"}
    assert PurePosixPath("edge_alpr/py.typed") in _names(wheel)


def test_it_holds_the_detectors_and_a_reader_each_with_its_card(wheel: Path):
    models = {name for name in _names(wheel) if name.suffix == ".onnx"}
    with zipfile.ZipFile(wheel) as archive:
        cards = [tomllib.loads(archive.read(str(name.with_suffix(".toml"))).decode()) for name in models]

    kinds = [card["kind"] if "variant" not in card else f"{card['kind']} int8" for card in cards]
    assert (kinds.count("reader"), kinds.count("reader int8")) == (1, 1)
    detectors = [card for card in cards if card["kind"] == "detector"]
    tiers = sorted((card["detector"].get("tier", "large"), "variant" in card) for card in detectors)
    assert tiers == [(tier, variant) for tier in ("large", "near", "small") for variant in (False, True)]


def test_it_holds_the_sample_drive(wheel: Path):
    samples = [name for name in _names(wheel) if name.parent.name == "samples"]

    assert [name for name in samples if name.suffix in {".mp4", ".mkv"}], f"no recording among {samples}"


def test_it_holds_the_tables_of_plate_formats(wheel: Path):
    tables = {name.name for name in _names(wheel) if name.parent.name == "formats" and name.suffix == ".toml"}

    assert tables == {"americas.toml", "europe.toml", "world.toml"}


def test_it_holds_the_recipes_and_nothing_that_was_built(wheel: Path):
    engines = {name.name for name in _names(wheel) if name.parts[:2] == ("edge_alpr", "engines")}

    assert engines == {"agx-orin.toml", "desktop.toml", "orin-nano.toml", "orin-nx.toml", "thor.toml"}


def test_it_is_small(wheel: Path):
    onnx = {name.stem: size for name, size in _names(wheel).items() if name.suffix == ".onnx"}

    assert sum(size for name, size in onnx.items() if not name.endswith("-int8")) <= MOST_PAIR_BYTES
    assert sum(onnx.values()) <= MOST_ONNX_BYTES
    assert wheel.stat().st_size <= MOST_WHEEL_BYTES


def test_it_declares_all_that_it_imports(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        sources = [archive.read(str(name)) for name in _names(wheel) if name.suffix == ".py"]
        metadata = next(archive.read(str(name)).decode() for name in _names(wheel) if name.name == "METADATA")
    imported = {top for source in sources for top in _imported(source)} - sys.stdlib_module_names - {"edge_alpr"}
    requires = re.findall(r"^Requires-Dist: ([\w.-]+)(.*)$", metadata, re.MULTILINE)
    declared = {_plain(name) for name, rest in requires if "extra ==" not in rest}
    assert {_plain(name) for name, _ in requires} >= set(FROM_EXTRAS.values())
    comes_with = packages_distributions()

    elsewhere = NOT_FROM_PIP | FROM_EXTRAS.keys()
    undeclared = {
        top for top in imported - elsewhere if not declared & {_plain(name) for name in comes_with.get(top, [top])}
    }
    assert not undeclared


def _imported(source: bytes) -> set[str]:
    """First parts of the names of all modules that a source file imports."""
    nodes = list(ast.walk(ast.parse(source)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in plain | {n.module or "" for n in nodes if _is_absolute(n)}}


def _is_absolute(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and not node.level


def _plain(name: str) -> str:
    """A distribution's name as the registry compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_installed_it_is_the_wheel_that_runs(elsewhere: Path):
    package = _inside(elsewhere, "python", "-c", "import edge_alpr; print(edge_alpr.__file__)")

    assert Path(package.strip()).is_relative_to(elsewhere)


def test_installed_it_tells_its_version(elsewhere: Path, wheel: Path):
    assert _inside(elsewhere, "edge-alpr", "--version").split()[-1] == wheel.name.split("-")[1]


def test_installed_it_finds_the_recipes(elsewhere: Path):
    ask = "from edge_alpr.infer.recipe import load_recipes, recipes_folder; print(*load_recipes(), recipes_folder())"
    said = _inside(elsewhere, "python", "-c", ask).split()

    assert said[:-1] == ["agx-orin", "desktop", "orin-nano", "orin-nx", "thor"]
    assert Path(said[-1]).is_relative_to(elsewhere)


def test_installed_the_doctor_finds_nothing_missing(elsewhere: Path):
    assert _inside(elsewhere, "edge-alpr", "doctor")


def test_installed_it_reads_the_sample_drive(elsewhere: Path):
    drive = ("--source", "sample://drive", "--limit", "3", "--no-display", "--events", "plates.jsonl")

    assert "fps" in _inside(elsewhere, "edge-alpr", "run", *drive)
    assert (elsewhere / "plates.jsonl").is_file()
