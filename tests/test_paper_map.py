"""docs/paper-map.md is what its parts and the code's `Source:` lines say; what it names exists, and nothing of the paper is missing."""

import ast
import importlib.util
from pathlib import Path

import pytest

from terse.recipe_files import builtin_recipes

ROOT = Path(__file__).parents[1]
SECTIONS = ("3.1", "3.2", "3.3", "3.4", "4.1", "4.2", "4.2.1", "4.2.2", "4.3", "5", "A.1", "A.2", "A.3")
EQUATIONS = ("Eq. 1", "Eq. 2", "Eq. 3")
TABLES = ("Table 1", "Table 2", "Table 3", "Table 4")
FIGURES = ("Fig. 1, 9, 12 to 15", "Fig. 2", "Fig. 3", "Fig. 4, 11", "Fig. 5", "Fig. 6", "Fig. 7", "Fig. 8", "Fig. 10")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("paper_map", ROOT / "tools" / "paper_map.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(tool):
    return [row for rows in tool.parts().values() for row in rows]


def names_in(path):
    """Functions and classes at the top of a file."""
    return {
        node.name
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def missing(places, root):
    """Those of `file::name` that are not there."""
    found = []
    for place in places:
        file, _, name = place.partition("::")
        if not (root / file).is_file() or (name and name not in names_in(root / file)):
            found.append(place)
    return found


def test_every_public_name_of_the_method_names_its_source(tool):
    entries = list(tool.entries())
    assert len(entries) > 40
    assert [name for name, _, source in entries if source is None] == []


def test_the_page_is_up_to_date(tool):
    made = tool.page()
    assert (ROOT / "docs" / "paper-map.md").read_text("utf-8") == made, "run: uv run python tools/paper_map.py"


def test_every_section_equation_table_and_figure_has_a_row(tool):
    found = list(tool.parts())
    numbers = [part.split()[0] for part in found]
    assert [one for one in SECTIONS if one not in numbers] == []
    assert [one for one in (*EQUATIONS, *TABLES, *FIGURES) if one not in found] == []


def test_what_a_row_names_is_there(tool):
    rows = rows_of(tool)
    assert missing([place for row in rows for place in row.get("code", [])], ROOT / "src" / "terse") == []
    assert missing([test for row in rows for test in row["test"]], ROOT / "tests") == []
    assert {name for row in rows for name in row.get("recipe", [])} <= set(builtin_recipes())
    assert all(row.keys() <= {"what", "code", "recipe", "test", "deviation"} for row in rows)


def test_a_name_that_is_gone_is_found(tool):
    assert missing(["pool.py::Pool", "pool.py::Gone", "gone.py"], ROOT / "src" / "terse") == [
        "pool.py::Gone",
        "gone.py",
    ]


@pytest.mark.parametrize(
    "place", ["targets/", "sources/", "poses/", "pool.py", "proof/", "synthesis/", "training/", "masks/"]
)
def test_the_whole_package_has_rows(tool, place):
    assert any(code.startswith(place) for row in rows_of(tool) for code in row.get("code", []))


def test_the_recipes_of_the_paper_have_rows(tool):
    named = {name for row in rows_of(tool) for name in row.get("recipe", [])}
    assert {"affnist-accuracy", "affnist-efficiency", "voc-person", "gmu"} <= named
