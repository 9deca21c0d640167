"""Recipes per board: strict, found in a source tree, and each for the boards it says."""

from __future__ import annotations

import re

import pytest

from edge_alpr.errors import BuildError, ConfigError
from edge_alpr.infer.recipe import board_of, load_recipe, load_recipes, parse_recipe, recipe_text, recipes_folder

GOOD = recipe_text("orin-nx")


def test_the_boards_have_recipes(repo):
    recipes = load_recipes()
    assert set(recipes) == {"agx-orin", "desktop", "orin-nano", "orin-nx", "thor"}
    assert recipes_folder() == repo / "engines"
    assert {recipe.reader.profiles for recipe in recipes.values()} == {(1, 2, 4, 8)}
    assert {recipe.detector.precision for recipe in recipes.values()} == {"fp16"}
    assert [name for name, recipe in recipes.items() if recipe.board.dla_cores] == ["agx-orin", "orin-nx"]


@pytest.mark.parametrize(
    ("module", "board"),
    [
        ("NVIDIA Jetson Orin Nano Developer Kit", "orin-nano"),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "orin-nano"),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", "orin-nx"),
        ("Jetson AGX Orin Developer Kit", "agx-orin"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "agx-orin"),
        ("NVIDIA Jetson AGX Thor Developer Kit", "thor"),
        ("NVIDIA Jetson Xavier NX Developer Kit", None),
        ("reComputer J4012", None),
        ("", None),
    ],
)
def test_a_jetson_is_known_by_its_name(module, board):
    assert board_of(module, True, load_recipes()) == board


def test_what_is_no_jetson_is_a_desktop():
    assert board_of("ASUS PRIME", False, load_recipes()) == "desktop"
    assert board_of("Orin Nano", False, load_recipes()) == "desktop"


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("workspace_mb = 1024", "workspace = 1024", "unknown field 'workspace'"),
        ("workspace_mb = 1024", "workspace_mb = 1", "Expected `int` >= 16"),
        ("optimization_level = 3", "optimization_level = 6", "Expected `int` <= 5"),
        ('precision = "fp16"\nprofiles', 'precision = "bf16"\nprofiles', "Invalid enum value 'bf16'"),
        ("profiles = [1, 2, 4, 8]", "", "missing required field 'profiles'"),
        ("profiles = [1, 2, 4, 8]", "profiles = []", "length >= 1"),
        ("profiles = [1, 2, 4, 8]", "profiles = [8, 1]", "profiles = [8, 1] do not rise"),
        ("profiles = [1, 2, 4, 8]", "profiles = [1, 1]", "do not rise"),
        ("profiles = [1, 2, 4, 8]", "profiles = [0, 1]", "Expected `int` >= 1"),
        ("dla_cores = 2", "dla_cores = 0\n", "[board] says"),
        ("[reader]", "dla_core = 2\n[reader]", "Expected `int` <= 1"),
        ('sm = ["8.7"]', 'sm = ["87"]', "matching regex"),
        ("[build]", "[built]", "unknown field 'built'"),
        ("[build]", "[build", "not valid TOML"),
    ],
)
def test_a_recipe_that_does_not_hold_names_the_line(line, instead, said):
    assert line in GOOD
    text = GOOD.replace("# dla_core = 0", "dla_core = 0" if "[board]" in said else "#").replace(line, instead)
    with pytest.raises(ConfigError) as raised:
        parse_recipe(text, "my.toml")
    assert str(raised.value).startswith("my.toml: ")
    assert said.replace("`", "'") in str(raised.value)
    assert str(raised.value).endswith("mend that line")


def test_the_lines_left_as_comments_hold():
    recipe = parse_recipe(re.sub(r"# (dla_core = 0)", r"\1", GOOD), "orin-nx")
    assert (recipe.detector.dla_core, recipe.detector.dla_fallback) == (0, True)
    assert parse_recipe(GOOD, "orin-nx").detector.dla_core is None


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(BuildError, match=r"no recipe for 'nano'; known: agx-orin, desktop, orin-nano, orin-nx, thor"):
        recipe_text("nano")
    with pytest.raises(ConfigError, match="no recipe lies there"):
        load_recipes(tmp_path)
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path / "x.toml")
