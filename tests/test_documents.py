"""What README and examples show works as written."""

import re
import runpy
from pathlib import Path

import pytest

import terse
from terse.recipe import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def quickstart(tmp_path, monkeypatch, capsys):
    """What the README's call from Python finds; its last line is that of the last cycle."""

    def run():
        monkeypatch.chdir(tmp_path)
        scope = {}
        exec(next(text for kind, text in BLOCKS if kind == "python" and "quickstart" in text), scope)
        result = scope["result"]
        last = result["cycles"][-1]
        assert capsys.readouterr().out.splitlines()[-1].split() == [str(last["samples"]), str(last["accuracy"])]
        return result

    return run


def test_quickstart_from_python(quickstart, monkeypatch, small):
    def few(recipe, overrides, train=terse.train, **given):
        return train(recipe, [*overrides, *small], **given)

    monkeypatch.setattr(terse, "train", few)
    assert len(quickstart()["cycles"]) == 2


@pytest.mark.slow
def test_quickstart_from_python_reaches_its_figure(quickstart):
    metrics = quickstart()["metrics"]
    assert 0.1 < metrics["start"]["accuracy"] < 0.3
    assert metrics["end"]["accuracy"] >= 0.80


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


def test_the_readmes_path_through_the_code_is_one_of_imports():
    """Each file of the path is imported by one before it, so that a reader can follow the calls."""
    text = README.partition("One composite goes from there")[2].partition("## Citation")[0]
    path = [ROOT / "src/terse/training/cycle.py", *(ROOT / link for link in re.findall(r"\]\(([^)]+)\)", text))]
    assert len(path) == 7
    joined = [
        ROOT / "src/terse" / name for name in ("run.py", "synthesis/materials.py")
    ]  # the proposer, the renderer, the loop
    for number, file in enumerate(path[1:], start=1):
        module = ".".join(file.relative_to(ROOT / "src").with_suffix("").parts)
        assert any(module in text for text in (one.read_text("utf-8") for one in (*joined, *path[:number])))


SMALL_SCENES = (
    "data.train=16", "data.val=8", "data.test=8", "cycles=1", "pretrain.epochs=1", "pretrain.steps=2", "synthesis.steps=1",
    "synthesis.statistics_pairs=8", "pool.per_cycle=4", "pool.candidates=16", "fine_tune.epochs=1",
)  # fmt: skip
EXAMPLES = sorted((ROOT / "examples").glob("own_*.py"), key=lambda path: path.name)
every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


def figures_of(example, capsys, monkeypatch):
    """The accuracies that an example prints for the start and the end."""
    monkeypatch.syspath_prepend(str(example.parent))
    runpy.run_path(str(example), run_name="__main__")
    start, end = map(float, re.findall(r"\d\.\d+", capsys.readouterr().out)[-2:])
    return start, end


@every_example
def test_examples_run(example, capsys, monkeypatch, small):
    def few(base, overrides):
        return load_recipe(base, [*overrides, *(small if base == "quickstart" else SMALL_SCENES)])

    monkeypatch.setattr("terse.recipe.load_recipe", few)
    start, end = figures_of(example, capsys, monkeypatch)
    assert 0 <= start <= 1
    assert 0 <= end <= 1


@pytest.mark.slow
@every_example
def test_examples_reach_their_figures(example, capsys, monkeypatch):
    start, end = figures_of(example, capsys, monkeypatch)
    assert end > start + 0.1
