"""Arms by name, and arms of one's own: the recipe with other settings."""

import json

import pytest

from terse.errors import DataError, RecipeError, RunError
from terse.proof.arms import Arm, arm_recipe, parse_arms
from terse.proof.prove import arms_to_run, prove
from terse.recipe import load_recipe
from terse.sources.run_data import run_data

SMALL = (
    "cycles=1", "data.train=200", "data.val=30", "data.test=40", "pretrain.epochs=1", "fine_tune.epochs=1",
    "pool.per_cycle=10", "pool.candidates=100", "hardness.above=0", "synthesis.steps=2", "synthesis.max_steps=2",
    "synthesis.statistics_pairs=64", "synthesis.harvest_from=1", "runtime.precision=float32",
)  # fmt: skip
NO_DROPOUT = "learned-no-dropout:synthesis.dropout=0"


def test_an_arm_is_typed_as_it_is_read():
    arm = Arm.parse("learned-no-d:synthesis.discriminator=false:objective.realism=0")
    assert arm == Arm("learned-no-d", ("synthesis.discriminator=false", "objective.realism=0"))
    assert Arm.parse(str(arm)) == arm
    assert Arm.parse("random") == Arm("random")
    assert parse_arms("none, a:poses={scale: [1, 1], shear: [0, 0]},b:synthesis.steps=2") == [
        "none", "a:poses={scale: [1, 1], shear: [0, 0]}", "b:synthesis.steps=2",
    ]  # fmt: skip
    assert Arm.parse("a:poses={scale: [1, 1]}:edges=null").overrides == ("poses={scale: [1, 1]}", "edges=null")


def test_a_kinds_name_chooses_it_and_any_other_keeps_the_recipes():
    recipe = load_recipe("quickstart")
    assert arm_recipe(recipe, Arm("random"), 3).synthesis.kind == "random"
    own = arm_recipe(recipe, Arm.parse(NO_DROPOUT), 3)
    assert (own.synthesis.kind, own.synthesis.dropout, own.seed) == ("learned", 0.0, 3)
    assert own.poses == recipe.poses


def test_rivals_keep_their_numbers_of_objects_unless_the_recipe_says_how_many():
    recipe = load_recipe("shapes")
    names = ("learned", "random", "cut_paste_learn", "context")
    assert [arm_recipe(recipe, Arm(name), 0).synthesis.objects for name in names] == [(1, 1), (1, 1), (1, 3), (1, 2)]
    several = load_recipe("shapes", ["synthesis.objects=[2, 8]", "synthesis.occluders=[0, 1]", "synthesis.base=random"])
    for name in names:
        synthesis = arm_recipe(several, Arm(name), 0).synthesis
        assert (synthesis.objects, synthesis.occluders) == ((2, 8), (0, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/b", "arms: expected a name of letters, digits, - and _, got 'a/b'"),
        ("own:cycles", "cycles: expected key=value, got no value; for example cycles=3 or data.root=mnist"),
        (
            "own:cycles=9",
            "arms: own:cycles=9: expected settings of synthesis, poses, edges, artefacts, objective, cleanup, "
            "fine_tune.real_per_synthetic, data.affnist_train, pool.passes_per_wanted, got cycles, which all arms share",
        ),
        (
            "own:fine_tune.epochs=9",
            "arms: own:fine_tune.epochs=9: expected settings of synthesis, poses, edges, artefacts, objective, cleanup, "
            "fine_tune.real_per_synthetic, data.affnist_train, pool.passes_per_wanted, got fine_tune.epochs, which all arms share",
        ),
        (
            "lernd",
            "arms: expected some of context, cut_paste_learn, learned, mined, none, random, got 'lernd'; "
            "did you mean 'learned'?",
        ),
    ],
)
def test_an_arm_that_cannot_be_run_is_refused(text, message):
    with pytest.raises(RecipeError) as error:
        arm_recipe(load_recipe("quickstart"), Arm.parse(text), 0)
    assert str(error.value) == message


def test_a_name_stands_for_one_arm(tmp_path):
    with pytest.raises(RecipeError) as error:
        prove("quickstart", SMALL, out=tmp_path / "p", arms=["own:synthesis.dropout=0", "own:synthesis.dropout=1"])
    assert str(error.value) == "arms: expected a name for each arm, got own twice; for example own-2:key=value"


def test_a_bound_that_is_given_twice_is_one_arm():
    recipe = load_recipe("quickstart", SMALL)
    names = [arm.name for arm in arms_to_run(recipe, ["none", "mined"], [2, 2.0, 4])]
    assert names == ["none", "mined", "mined-2-passes", "mined-4-passes"]
    with pytest.raises(RecipeError) as error:
        arms_to_run(recipe, ["none", "mined", "mined-2-passes:synthesis.steps=1"], [2])
    assert str(error.value) == (
        "arms: expected a name for each arm, got mined-2-passes twice; for example mined-2-passes-2:key=value"
    )


def test_a_bound_that_an_arm_cannot_keep_is_refused_before_the_runs():
    recipe = load_recipe("quickstart", [*SMALL, "synthesis.harvest=during"])
    with pytest.raises(RecipeError) as error:
        arms_to_run(recipe, ["none", "learned"], [2])
    assert str(error.value) == (
        "recipe: pool.passes_per_wanted: expected synthesis.harvest: after, got during, which judges all batches of training"
    )


def test_learned_is_no_default_arm_of_a_recipe_that_does_not_say_how_it_learns(monkeypatch, tmp_path):
    mined, learned = load_recipe("shapes", ["synthesis={kind: mined}"]), load_recipe("shapes")
    names = ["none", "random", "mined", "cut_paste_learn", "context"]
    assert [arm.name for arm in arms_to_run(mined, None)] == names
    assert [arm.name for arm in arms_to_run(learned, None)] == [*names, "learned"]

    def stop(names, treatment, reference):
        raise RunError(f"{treatment} over {reference}")

    monkeypatch.setattr("terse.proof.prove.comparison", stop)
    for choice, question in (
        ({}, "mined over None"),
        ({"treatment": "random"}, "random over None"),
        ({"reference": "mined"}, "None over mined"),
        ({"arms": ["none", "random"]}, "None over None"),
    ):
        with pytest.raises(RunError) as caught:
            prove(mined, out=tmp_path / "out", **choice)
        assert str(caught.value) == question


def test_an_arm_of_ones_own_is_proved_beside_the_others(tmp_path):
    folder = tmp_path / "p"
    result = prove("quickstart", SMALL, out=folder, arms=["none", NO_DROPOUT], seeds=1, workers=1)
    assert (result["treatment"], result["reference"]) == ("learned-no-dropout", "none")
    assert result["arm_overrides"] == {"none": [], "learned-no-dropout": ["synthesis.dropout=0"]}
    assert "dropout: 0.0" in (folder / "arms" / "learned-no-dropout" / "seed-0" / "recipe.yaml").read_text()
    assert list(json.loads((folder / "coverage.json").read_text())) == ["learned-no-dropout"]
    with pytest.raises(RunError) as error:
        prove("quickstart", SMALL, out=folder, arms=["none", "learned-no-dropout:synthesis.dropout=1"], resume=True)
    assert str(error.value) == (
        f"arms: expected {NO_DROPOUT}, as {folder} was begun with, got learned-no-dropout:synthesis.dropout=1; "
        "give the arm another name"
    )


def test_an_arm_with_sources_of_its_own_reads_them(tmp_path, monkeypatch):
    missing = tmp_path / "training.mat"
    affnist = f"affnist:synthesis.kind=random:data.affnist_train={missing}"
    with pytest.raises(DataError) as error:
        prove("quickstart", SMALL, out=tmp_path / "p", arms=["random", affnist], seeds=1, workers=1)
    assert str(missing) in str(error.value)
    recipe = load_recipe("quickstart", SMALL)
    with pytest.raises(RecipeError) as refused:
        prove(recipe, out=tmp_path / "q", arms=["random", affnist], seeds=1, data=run_data(recipe))
    assert str(refused.value) == (
        f"arms: {affnist}: expected neither cleanup nor data.affnist_train beside data that you made, which all arms share"
    )
    assert not (tmp_path / "q").exists()


def test_an_arm_that_is_cleaned_up_otherwise_pastes_what_its_own_cleanup_leaves(tmp_path, monkeypatch):
    cleaned = []

    def read(recipe, observer=None):
        cleaned.append(recipe.cleanup)
        return run_data(recipe, observer)

    monkeypatch.setattr("terse.proof.arms.run_data", read)
    arms = [
        "random",
        "dirty:synthesis.kind=random:cleanup=false",
        "mined",
        "as-dirty:synthesis.kind=mined:cleanup=false",
    ]
    prove("quickstart", SMALL, out=tmp_path / "p", arms=arms, seeds=1, workers=1)
    assert cleaned == [True, False] * 2  # once each for the runs, once each for the page


def test_an_arm_of_another_pose_family_is_drawn_under_it(tmp_path):
    arms = ["random", "bent:synthesis.kind=random:poses={kind: perspective}"]
    folder = tmp_path / "p"
    result = prove("quickstart", SMALL, out=folder, arms=arms, seeds=1, workers=1)
    assert result["costs"]["bent"]["samples"] == 10
    sheets = json.loads((folder / "page" / "page.json").read_text())["sheets"]
    assert [sheet["heading"] for sheet in sheets] == ["random", "bent"]
