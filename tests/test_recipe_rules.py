"""Settings that do not go together are refused before anything is read."""

from pathlib import Path

import pytest

from terse.errors import RecipeError
from terse.recipe import load_recipe


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["pool.per_cycle=null"], "recipe: pool: expected per_class or per_cycle, got neither"),
        (["pool.per_class=5"], "recipe: pool: expected per_class or per_cycle, got both"),
        (
            ["alternation=batch", "pool.refresh=1"],
            "recipe: alternation: expected phase where pool.refresh is set, got batch",
        ),
        (
            ["alternation=batch", "pool.choose=farthest"],
            "recipe: alternation: expected phase where pool.mix or pool.choose is set, got batch",
        ),
        (
            ["alternation=batch", "pool.mix=[0.5, 0.5]", "synthesis.harvest=after"],
            "recipe: alternation: expected phase where pool.mix or pool.choose is set, got batch",
        ),
        (
            ["alternation=batch", "pool.passes_per_wanted=2", "synthesis.harvest=after"],
            "recipe: alternation: expected phase where pool.passes_per_wanted is set, got batch",
        ),
        (
            ["train.class_folders=mine"],
            "recipe: train: expected nothing beside data: digits, which brings its own, got both; "
            "for images of your own set data: null",
        ),
        (["judged=['3']"], "recipe: judged: expected nothing beside data: digits"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", overrides)
    assert str(caught.value).startswith(said)


def test_each_of_them_alone_is_not() -> None:
    for overrides in (["alternation=batch"], ["pool.refresh=1"], ["pool.choose=farthest", "synthesis.harvest=after"]):
        load_recipe("quickstart", overrides)


def test_a_start_takes_from_fine_tuning_what_it_does_not_name(tmp_path: Path) -> None:
    untrained = tmp_path / "untrained.yaml"
    untrained.write_text("base: shapes\npretrain: null\n", "utf-8")
    assert load_recipe(untrained).pretrain is None
    recipe = load_recipe(untrained, ["fine_tune.photometric=true", "pretrain.steps=600"])
    assert recipe.pretrain is not None
    for key in ("batch_size", "optimizer", "augment", "photometric"):
        assert getattr(recipe.pretrain, key) == getattr(recipe.fine_tune, key), key
    assert recipe.pretrain.optimizer.momentum == 0.9
    recipe = load_recipe(untrained, ["pretrain={steps: 600, augment: false, optimizer: {lr: 0.5}}"])
    assert recipe.pretrain is not None
    assert (recipe.pretrain.augment, recipe.pretrain.optimizer.lr) == (False, 0.5)
    assert (
        load_recipe("shapes").pretrain == load_recipe("shapes", ["fine_tune.optimizer.lr=0.7"]).pretrain
    )  # names its own
