"""A run's pool at a URL: the shards of its folder, drawn again from there."""

import pytest

from at_urls import files_at
from drawn_sets import files_of
from terse.errors import RecipeError, RunError
from terse.generate import render
from terse.recipe import load_recipe
from terse.run import train

URL = "memory://bucket/pool"


pytestmark = pytest.mark.usefixtures("own_storage")


@pytest.fixture
def overrides(small):
    """A run of two cycles that learns nothing."""
    return [*(word for word in small if not word.startswith("synthesis.")), "synthesis.kind=random"]


def test_a_pool_at_a_url_is_that_of_the_folder(overrides, tmp_path):
    train("quickstart", [*overrides, f"runtime.publish={URL}"], out=tmp_path / "run")
    assert files_at(URL) == files_of(tmp_path / "run" / "pool")
    assert set(files_at(URL)) == {"cycle-0001.parquet", "cycle-0002.parquet"}
    for name in ("", "/cycle-0002.parquet"):
        here, there = tmp_path / f"here{len(name)}", tmp_path / f"there{len(name)}"
        render(f"{tmp_path}/run/pool{name}", here, workers=0)
        render(URL + name, there, workers=0)
        assert files_of(there) == files_of(here)


def test_a_recipe_alone_publishes_nothing(overrides, tmp_path):
    (tmp_path / "recipe.yaml").write_text(f"base: quickstart\nruntime: {{publish: {URL}}}\n", "utf-8")
    with pytest.raises(RecipeError, match=r"^runtime.publish: expected --trust .* got none for memory://bucket/pool;"):
        train(tmp_path / "recipe.yaml", overrides, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunError, match=r"^runtime.publish: expected a folder for the run, got none beside memory:"):
        train("quickstart", [*overrides, f"runtime.publish={URL}"])
    with pytest.raises(RecipeError, match=r"^runtime.publish: expected a URL such as s3://bucket/pool, got /a;"):
        load_recipe("quickstart", ["runtime.publish=/a"])
