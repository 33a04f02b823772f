"""The site: its generated parts name everything that the code has, and its pages all are in it."""

import importlib.util
import re
from pathlib import Path
from typing import get_args

import pytest

from terse import registry
from terse.cli.main import _COMMANDS
from terse.paper_numbers import PaperName, paper_numbers
from terse.recipe import Recipe
from terse.recipe_files import builtin_recipes
from terse.recipe_parts import OptimizerConfig, PoolConfig

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "tools" / "reference_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(text, key):
    """The cells of a setting's first row."""
    line = next(line for line in text.splitlines() if line.startswith(f"| `{key}` |"))
    return [part.strip() for part in line.strip("|").split("|")]


def test_every_setting_of_a_recipe_has_a_row(pages):
    text = pages.recipe_settings()
    for key in Recipe.model_fields:
        assert row(text, key)[0] == f"`{key}`"
    for prefix, model in (("pool", PoolConfig), ("fine_tune.optimizer", OptimizerConfig)):
        for key in model.model_fields:
            row(text, f"{prefix}.{key}")
    assert row(text, "pool.per_cycle")[1:4] == ["integer >= 1, or null", "`500`", "`500`"]
    assert row(text, "val")[1] == "a kind of `source` or a fraction, or null"
    assert row(text, "target")[1:3] == ["a kind of `target`", "required"]


def test_every_setting_says_what_it_is_in_the_words_of_a_recipe(pages):
    lines = [line for line in pages.recipe_settings().splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert {len(row) for row in rows} == {5}
    assert [key for key, *_, what in rows if not what] == []
    assert not [key for key, *_, what in rows if re.search(r"\b(None|True|False)\b", what)]
    assert pages.in_yaml("None takes all; Nones do not") == "`null` takes all; Nones do not"


def test_every_kind_that_a_recipe_names_has_a_heading(pages):
    text = pages.recipe_settings()
    for family in pages.RECIPE_FAMILIES:
        for kind in registry.kinds(family):
            assert f"### `{family}` `{kind}`\n" in text
    assert set(pages.RECIPE_FAMILIES) == set(registry.families()) - {"exporter", "executor"}


def test_every_command_and_built_in_recipe_is_shown(pages):
    text = pages.commands()
    assert re.findall(r"^## `terse (\w+)`", text, re.MULTILINE) == list(_COMMANDS)
    assert text.count("Usage: terse ") == len(_COMMANDS)
    files = pages.recipe_files()
    assert re.findall(r"^## `(.+)`$", files, re.MULTILINE) == list(builtin_recipes())


def test_the_papers_numbers_stand_beside_ours(pages):
    text = pages.paper_tables()
    for name in get_args(PaperName):
        assert f"## {paper_numbers(name).title}\n" in text
    assert "| 5,000 | 0.826 | 0.880 | 0.868 |" in text
    assert "| samples to 0.8 | 2,500 | 2,750 | 2,250 |" in text
    assert "| 6: discriminator | 79.53 | 32.22 |" in text


def test_a_marker_that_a_page_has_is_one_that_is_filled(pages):
    marked = {
        name
        for page in DOCS.rglob("*.md")
        for name in re.findall(r"^<!-- (.+) -->$", page.read_text("utf-8"), re.MULTILINE)
    }
    assert marked == set(pages.PARTS)
