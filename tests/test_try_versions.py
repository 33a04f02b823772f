"""`tools/try_versions.py` without an installation: what it would install, and a Python that is not there."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "try_versions.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("try_versions", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_tests_need_is_installed_and_linters_are_not(tool):
    needed = " ".join(tool.groups())
    assert "pytest" in needed
    assert "ruff" not in needed
    assert "torch==" in tool.pins()


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is missing")
def test_a_python_that_is_not_there_is_left_out_with_a_sentence(tool, capsys, monkeypatch):
    assert tool.attempt("3.99", []) == 0
    assert capsys.readouterr().out == "3.99: skipped, this machine has no Python 3.99\n"
    assert Path(tool.python_of(f"{sys.version_info.major}.{sys.version_info.minor}")).exists()


def test_a_word_that_it_does_not_know_is_refused(tool, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["try_versions.py", "3.9"])
    with pytest.raises(SystemExit, match=r"^expected one of lowest, highest, 3\.11, 3\.12, 3\.13, then tests"):
        tool.main()
