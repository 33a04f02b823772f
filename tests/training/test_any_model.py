"""Models of other libraries start from nothing on drawn scenes, learn them, and gain by what they fail; minutes each."""

from pathlib import Path

import pytest

from terse.recipe import load_recipe
from terse.run import open_session, train

RECIPES = Path(__file__).parents[2] / "benchmarks" / "any_model"  # docs/results/any-model.md has what they give


def test_every_kind_of_model_has_a_recipe() -> None:
    assert {file.stem: load_recipe(file).task for file in sorted(RECIPES.iterdir())} == {
        "regression": "regression",
        "segmentation": "segmentation",
        "timm": "classification",
        "transformers": "detection",
    }


@pytest.mark.parametrize("name", ["regression", "segmentation", "timm", "transformers"])
def test_its_library_builds_it_without_a_warning(name: str) -> None:
    open_session(load_recipe(RECIPES / f"{name}.yaml", ["data.train=8", "data.val=4", "data.test=4"]), None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["regression", "segmentation", "timm", "transformers"])
def test_it_starts_at_three_tenths_and_ends_better(name: str, seed: int) -> None:
    result = train(load_recipe(RECIPES / f"{name}.yaml", [f"seed={seed}", "runtime.threads=1"]))
    start, end = (result["metrics"][when][result["primary"]] for when in ("start", "end"))
    assert start >= 0.3
    assert end >= start + 0.05
