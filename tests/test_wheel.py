"""The wheel, installed where nothing of the repository is: `tools/try_wheel.py`."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "try_wheel.py"


@pytest.fixture(autouse=True)
def builder():
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is missing: it builds the wheel; uv sync installs it")


def test_the_wheel_holds_all_that_the_first_commands_need():
    done = subprocess.run([sys.executable, str(TOOL), "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "terse train quickstart" in done.stdout
    assert "shapes: ready" in done.stdout


@pytest.mark.slow  # downloads torch
def test_the_wheel_gets_a_model_better_in_an_empty_environment():
    done = subprocess.run([sys.executable, str(TOOL)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
