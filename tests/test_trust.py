"""Code that a recipe names runs only where the user trusts it, whoever typed the recipe's path."""

import pytest

from terse.cli.main import main
from terse.errors import RecipeError
from terse.run import open_run, train
from terse.trust import require_trust, trusted, trusting

REFUSED = "expected --trust (Python: trust=True) before code that a recipe names is imported"
SHELL = """
base: quickstart
target: {{kind: user, factory: "os:system", settings: {{command: "touch {mark}"}}}}
"""
MODEL = """
from pathlib import Path

import torch
from torch import nn

Path("imported").touch()


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(1600, 10))
"""


def said(capfd, *arguments):
    """The exit status and what was printed."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in arguments])
    out = capfd.readouterr()
    return ended.value.code, out.out + out.err


@pytest.mark.parametrize("command", ["check", "train", "evaluate", "preview", "generate", "prove"])
def test_a_recipe_is_no_shell_command(command, tmp_path, monkeypatch, capfd, small):
    monkeypatch.chdir(tmp_path)
    mark, weights = tmp_path / "mark", tmp_path / "weights.pth"
    weights.touch()
    (tmp_path / "r.yaml").write_text(SHELL.format(mark=mark))
    options = {"evaluate": ["--checkpoint", weights], "generate": ["--count", "1", "--workers", "0", "--out", "out"]}
    extra = {"prove": ["--arms", "none,random", "--workers", "1"], "preview": ["--count", "1"]}
    sized = small if command != "generate" else []
    code, text = said(capfd, command, "r.yaml", *sized, *options.get(command, []), *extra.get(command, []))
    assert not mark.exists()
    if command in ("preview", "generate"):  # they need no model
        assert code == 0
    else:
        assert code == 2
        assert REFUSED in text


@pytest.fixture
def run(tmp_path, monkeypatch, small):
    """A run with a model of one's own, in a folder that holds its module too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "stranger_model.py").write_text(MODEL)
    plain = [item for item in small if not item.startswith("synthesis.")]
    overrides = [*plain, "target={kind: user, factory: stranger_model:make}", "synthesis.kind=mined", "cycles=1"]
    train("quickstart", overrides, out="run", trust=True)
    (tmp_path / "imported").unlink()
    monkeypatch.delitem(__import__("sys").modules, "stranger_model")
    return tmp_path / "run"


def test_a_strangers_run_runs_nothing_until_it_is_trusted(run, capfd):
    mark = run.parent / "imported"
    code, text = said(capfd, "generate", run, "--count", "2", "--workers", "0", "--out", "set")
    assert (code, REFUSED in text, mark.exists()) == (2, True, False)
    assert said(capfd, "report", run)[0] == 0
    code, text = said(capfd, "report", run, "--compute")
    assert (code, REFUSED in text, mark.exists()) == (2, True, False)
    with pytest.raises(RecipeError, match="--trust"):
        open_run(run)
    # Trusted, it is imported in this process and in workers.
    code, text = said(capfd, "generate", run, "--count", "2", "--workers", "1", "--out", "set", "--trust", "--no-page")
    assert code == 0, text
    assert mark.exists()
    assert not trusted()


def test_trust_is_granted_inside_the_block_alone():
    with trusting(False), pytest.raises(RecipeError) as caught:
        require_trust("target.factory", "a:b")
    assert str(caught.value) == (
        "target.factory: expected --trust (Python: trust=True) before code that a recipe names is imported, got none for "
        "a:b; read that code first, it can do whatever you can"
    )
    with trusting(), trusting(False):
        require_trust("target.factory", "a:b")
    assert not trusted()
