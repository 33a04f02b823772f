"""docs/paper-map.md is what the code's `Source:` lines say, and every public name of the method has one."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def tool():
    spec = importlib.util.spec_from_file_location("paper_map", ROOT / "tools" / "paper_map.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_of_the_method_names_its_source():
    entries = list(tool().entries())
    assert len(entries) > 40
    assert [name for name, _, source in entries if source is None] == []


def test_the_page_is_up_to_date():
    made = tool().page()
    assert (ROOT / "docs" / "paper-map.md").read_text("utf-8") == made, "run: uv run python tools/paper_map.py"
