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
            ["alternation=batch", "fine_tune.evaluate_every=2"],
            "recipe: alternation: expected phase where fine_tune.evaluate_every is set, got batch, which measures at the end of "
            "a cycle",
        ),
        (
            ["synthesis.noise_size=4"],
            "synthesis: noise_size: expected 0 with base: random, whose random pose is the network's noise, got 4; "
            "base: centre takes it",
        ),
        (
            ["train.class_folders=mine"],
            "recipe: train: expected nothing beside data: digits, which brings its own, got both; "
            "for images of your own set data: null",
        ),
        (["judged=['3']"], "recipe: judged: expected nothing beside data: digits"),
        (
            ["task=detection"],
            "recipe: task: expected classification, which target.kind mnist_classifier is for, got detection",
        ),
        (["canvas_px=10000000"], "canvas_px: expected an integer <= 16384, got 10000000"),
        (["poses.scale=5"], "poses.scale: expected a list, got 5; [0.8, 1.2] is the default"),
        (
            ["edges={binarise: false}"],  # the default blurs
            "edges.blur_sigma_px: expected 0 with binarise: false, got 1; the blur is of a binary mask",
        ),
        (
            ["seed=99999999999999999999"],
            "seed: expected an integer <= 9223372036854775807, got 99999999999999999999",
        ),
        (["pool.per_cycle=3000000000"], "pool.per_cycle: expected an integer <= 2147483647, got 3000000000"),
        (["poses.shift=[-1, 2]"], "poses.shift.1: expected a number <= 1, got 2"),
        (
            ["poses=[{kind: affine}, {kind: photometric, gamma: [0, 90]}]"],
            "poses.1.gamma.1: expected a number <= 10, got 90",
        ),
        (["fine_tune=3"], "fine_tune: expected settings by name, got 3"),
        (["seed=1e99"], "seed: expected an integer, got 1e+99; 0 is the default"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", overrides)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("recipe", "task"), [("quickstart", "classification"), ("shapes-segmentation", "segmentation")]
)
def test_ssds_augmentation_is_refused_where_more_than_boxes_would_have_to_move(recipe: str, task: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, ["fine_tune.augment=ssd"])
    assert str(caught.value) == (
        f"recipe: fine_tune.augment: expected true or false for {task}, got ssd, which is for boxes alone"
    )
    assert load_recipe("shapes", ["fine_tune.augment=ssd"]).fine_tune.augment == "ssd"


@pytest.mark.parametrize(
    ("hardness", "where"), [("{kind: margin}", "hardness"), ("{kind: learnable, of: {kind: margin}}", "hardness.of")]
)
def test_a_margin_is_refused_where_boxes_are_answered(hardness: str, where: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("shapes", [f"hardness={hardness}"])
    assert str(caught.value) == (
        f"recipe: {where}.kind: expected probability or quantile for detection, got margin, which is for classification"
    )
    load_recipe("quickstart", [f"hardness={hardness}"])


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
