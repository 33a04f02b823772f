import json
from pathlib import Path

import pytest

from terse.errors import RunError
from terse.report.beside import beside_table, differences
from terse.results import FORMAT

RECIPE = {
    "name": "a",
    "cycles": 2,
    "runtime": {"device": "cpu"},
    "synthesis": {"kind": "learned", "discriminator": True},
}


def test_only_what_differs_is_named():
    other = {**RECIPE, "name": "b", "runtime": {}, "synthesis": {"kind": "learned", "discriminator": False}}
    assert differences([RECIPE, other]) == ["synthesis.discriminator=true", "synthesis.discriminator=false"]
    assert differences([RECIPE, RECIPE]) == ["", ""]


def test_a_setting_of_one_alone_stands_with_that_one():
    other = {**RECIPE, "synthesis": {"kind": "random"}}
    assert differences([RECIPE, other]) == [
        'synthesis.kind="learned", synthesis.discriminator=true', 'synthesis.kind="random"',
    ]  # fmt: skip


def test_a_run_without_a_figure_has_none_and_a_folder_its_name_wherever_one_stands(tmp_path, monkeypatch, drawn):
    folder = tmp_path / "here"
    folder.mkdir()
    result = drawn.result()
    result["metrics"]["start"]["accuracy"] = None
    (folder / "result.json").write_text(json.dumps({"format": FORMAT, **result}))
    (folder / "recipe.yaml").write_text("cycles: 2\n")
    monkeypatch.chdir(folder)
    (row,) = beside_table([Path()]).rows
    assert row[:4] == ("here", "", "", "0.8790")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError) as error:
        beside_table([tmp_path])
    assert str(error.value) == (
        f"{tmp_path}: expected a finished run with result.json, got none; give the folder of a run"
    )
