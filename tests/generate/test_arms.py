"""A set is what the recipe's arm proposes, within the arm's limits; a setting that is given wins."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from drawn_sets import files_of
from terse.errors import RecipeError
from terse.generate import GenerateSettings, generate
from terse.progress import Observer
from terse.recipe import Recipe
from terse.synthesis.cut_paste_learn.config import CutPasteLearnConfig
from terse.synthesis.learned.config import LearnedConfig
from terse.synthesis.random import NoneConfig


@pytest.fixture
def thrown(plain: Recipe) -> Recipe:
    arm = CutPasteLearnConfig(objects=(1, 2), rotation_deg=(-23.0, -13.0), blends=("alpha", "gaussian", "box"))
    return plain.model_copy(update={"synthesis": arm})


def test_the_arms_limits_are_those_of_its_sets(thrown: Recipe, tmp_path: Path) -> None:
    generate(thrown, GenerateSettings(count=30), tmp_path / "set", workers=0)
    rows = pq.read_table(tmp_path / "set" / "placements.parquet").to_pylist()
    assert all(-23 <= row["0.affine.rotation_deg"] <= -13 for row in rows)
    blends = [image["blend"] for image in json.loads((tmp_path / "set" / "annotations.json").read_text())["images"]]
    assert blends == ["alpha", "gaussian", "box"] * 10  # every scene once in each
    pastes = [sum(row["image"] == image for row in rows) for image in range(0, 30, 3)]
    assert set(pastes) == {1, 2}
    limits = json.loads((tmp_path / "set" / "manifest.json").read_text())["limits"]
    assert (limits["objects"], limits["all_blends"], limits["max_truncation"]) == ([1, 2], True, 0.25)


def test_a_setting_that_is_given_wins_over_the_arms(thrown: Recipe, tmp_path: Path) -> None:
    asked = GenerateSettings(count=9, objects=(3, 3), blends=("none",), all_blends=False)
    generate(thrown, asked, tmp_path / "set", workers=0)
    rows = pq.read_table(tmp_path / "set" / "placements.parquet").to_pylist()
    assert len(rows) == 27
    assert {row["blend"] for row in rows} == {"none"}
    assert all(-23 <= row["0.affine.rotation_deg"] <= -13 for row in rows)


def test_the_arms_set_is_the_same_for_any_number_of_workers(thrown: Recipe, tmp_path: Path) -> None:
    for workers in (0, 2):
        asked = GenerateSettings(count=12, shard_images=6)
        generate(thrown, asked, tmp_path / str(workers), workers=workers)
    assert files_of(tmp_path / "0") == files_of(tmp_path / "2")


def test_the_arm_that_pastes_nothing_is_refused(plain: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        generate(plain.model_copy(update={"synthesis": NoneConfig()}), GenerateSettings(count=3), tmp_path / "set")
    assert str(error.value) == (
        "synthesis: expected an arm that proposes composites, got none; take another, such as random"
    )
    assert not (tmp_path / "set").exists()


def test_an_arm_that_must_learn_first_proposes_random_poses_and_says_so(plain: Recipe, tmp_path: Path) -> None:
    said: list[str] = []

    class Watching(Observer):
        def say(self, message: str) -> None:
            said.append(message)

    untaught = plain.model_copy(update={"synthesis": LearnedConfig()})
    for name, recipe in (("learned", untaught), ("random", plain)):
        generate(recipe, GenerateSettings(count=3), tmp_path / name, workers=0, observer=Watching())
    assert said == ["synthesis: the learned arm learns in a run; poses are uniform without one"]
    assert files_of(tmp_path / "learned")["annotations.json"] == files_of(tmp_path / "random")["annotations.json"]
