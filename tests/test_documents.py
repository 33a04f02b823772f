"""What README and examples show works as written."""

import re
import runpy
from pathlib import Path

import pytest

from terse.recipe import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def test_quickstart_from_python_reaches_its_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = next(text for kind, text in BLOCKS if kind == "python" and "quickstart" in text)
    scope = {}
    exec(code, scope)
    result = scope["result"]
    assert 0.1 < result["metrics"]["start"]["accuracy"] < 0.3
    assert result["metrics"]["end"]["accuracy"] >= 0.80
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].split() == [
        str(result["cycles"][-1]["samples"]),
        str(result["cycles"][-1]["accuracy"]),
    ]


def test_compositing_from_python(capsys):
    code = next(text for kind, text in BLOCKS if kind == "python" and "terse.compose" in text)
    exec(code, {})
    assert capsys.readouterr().out.startswith("torch.Size([1, 3, 128, 128]) tensor(4096.")


def test_the_readmes_recipes_can_be_read(tmp_path):
    recipes = [text for kind, text in BLOCKS if kind == "yaml"]
    assert len(recipes) == 2
    for text in recipes:
        (tmp_path / "mine.yaml").write_text(text)
        load_recipe(tmp_path / "mine.yaml")


def test_links_in_the_documents_lead_somewhere():
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"


@pytest.mark.parametrize("example", sorted(p.name for p in (ROOT / "examples").glob("own_*.py")))
def test_examples_run(example, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    runpy.run_path(str(ROOT / "examples" / example), run_name="__main__")
    start, end = map(float, re.findall(r"\d\.\d+", capsys.readouterr().out)[-2:])
    assert end > start + 0.1
