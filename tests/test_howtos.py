"""The how-tos: every kind has its line, and each snippet is one that a recipe takes."""

import re
from pathlib import Path

import pytest

from terse import registry
from terse.recipe import load_recipe
from terse.validation import validate
from terse.yaml_text import read_yaml

HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"


def snippets(name):
    """The recipes' words in a page's table, `{...}` each."""
    text = (HOW_TO / name).read_text("utf-8")
    return [words for line in text.splitlines() if line.startswith("| ") for words in re.findall(r"`(\{.*?\})`", line)]


@pytest.mark.parametrize(("page", "family"), [("sources.md", "source"), ("targets.md", "target"), ("poses.md", "pose")])
def test_every_kind_has_a_line_that_can_be_read(page, family, tmp_path):
    found = set()
    for words in snippets(page):
        settings = read_yaml(words, page)
        kind = settings.get("kind") or next(key for key in settings if key in registry.kinds(family))
        if "kind" in settings or family == "source":
            validate(registry.lookup(family, kind), {"kind": kind, **settings}, tmp_path)
            found.add(kind)
    assert found == set(registry.kinds(family))


@pytest.mark.parametrize("page", sorted(HOW_TO.glob("*.md")), ids=lambda page: page.stem)
def test_recipes_in_the_pages_can_be_read(page, tmp_path):
    for text in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        words = text if "base:" in text else f"base: paste\n{text}"
        (tmp_path / "recipe.yaml").write_text(words)
        load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("page", sorted(HOW_TO.glob("*.md")), ids=lambda page: page.stem)
def test_files_and_tests_that_a_page_names_are_there(page):
    text = page.read_text("utf-8")
    root = HOW_TO.parents[1]
    for name in re.findall(r"`((?:examples|tests)/[\w/]+\.py)`", text):
        assert (root / name).is_file(), name
    for name in re.findall(r"literalinclude\} (\S+)", text):
        assert (HOW_TO / name).is_file(), name
    for group in re.findall(r'entry-points\."terse\.(\w+)"', text):
        assert group in registry.families()
