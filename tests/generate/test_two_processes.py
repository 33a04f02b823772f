"""Two processes that fill one folder: the second is refused."""

import pytest

from terse.errors import RunError
from terse.folders import locked
from terse.generate import generate, render
from terse.generate.settings import GenerateSettings


def test_a_set_that_another_process_writes_is_refused(labelled, tmp_path):
    recipe, out = labelled, tmp_path / "set"
    settings = GenerateSettings(count=2)
    with (
        locked(out),
        pytest.raises(RunError, match=r"set: expected a folder that no other process writes in, got one in use"),
    ):
        generate(recipe, settings, out, workers=0)
    generate(recipe, settings, out, workers=0)
    drawn = tmp_path / "drawn"
    with locked(drawn), pytest.raises(RunError, match=r"drawn: expected a folder that no other process writes in"):
        render(out / "placements.parquet", drawn, workers=0)
