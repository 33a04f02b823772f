"""The paper's numbers: read from the data file, and consistent with themselves where the paper prints a sum twice."""

from typing import get_args

import pytest

from terse.paper_numbers import PaperName, arms_of, paper_numbers
from terse.proof.arms import Arm, arm_recipe
from terse.recipe import load_recipe


@pytest.fixture(autouse=True)
def _folders(monkeypatch, tmp_path):
    for name in ("TERSE_DATA", "VOC", "COCO"):
        monkeypatch.setenv(name, str(tmp_path))


def test_every_table_and_figure_is_there():
    assert [paper_numbers(name).title for name in get_args(PaperName)] == [
        "Table 1", "Table 2", "Table 3", "Table 4", "Fig. 7", "Fig. 8",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["table_1", "table_2", "table_3", "table_4"])
def test_a_row_has_a_number_for_each_column(name):
    table = paper_numbers(name)
    assert all(not row.values or list(row.values) == list(table.columns) for row in table.rows)


def test_the_means_of_table_3_are_those_of_its_classes():
    for row in paper_numbers("table_3").rows[:3]:
        classes = [value for column, value in row.values.items() if column != "mAP"]
        assert len(classes) == 11
        assert sum(classes) / 11 == pytest.approx(row.values["mAP"], abs=0.05)


def test_the_gains_of_table_4_are_those_that_it_prints():
    baseline, *_, without, with_d = (row.values for row in paper_numbers("table_4").rows)
    gains = [[round(own[iou] - baseline[iou], 2) for iou in baseline] for own in (without, with_d)]
    assert gains == [
        [0.68, 0.78, 0.74, 2.42],
        [0.60, 1.06, 1.53, 2.68],
    ]  # the 2.42 is printed as 2.44, over Table 2's 29.52


def test_table_2_ends_in_table_4():
    columns = [list(row.values.values()) for row in paper_numbers("table_2").rows]
    rows = [[row.values["0.5"], row.values["0.8"]] for row in paper_numbers("table_4").rows]
    assert columns[-2:] == rows[-2:]
    assert columns[0] == [78.93, 29.52]  # Table 4 prints 29.54


@pytest.mark.parametrize(
    ("name", "recipe"),
    [("table_2", "voc-person"), ("table_4", "voc-person"), ("table_3", "gmu"), ("table_4", "runway")],
)
def test_a_tables_arms_are_valid_overrides_of_the_recipe(name, recipe):
    recipes = {text: arm_recipe(load_recipe(recipe), Arm.parse(text), 0) for text in arms_of(name)}
    assert next(iter(recipes)) == "none"
    assert len({recipe.model_dump_json() for recipe in recipes.values()}) == len(recipes)


def test_what_is_no_table_has_no_arms():
    assert arms_of("figure_8") is None
    assert arms_of("random") is None


def test_an_arm_means_the_same_on_a_recipe_of_other_choices():
    runway = load_recipe("runway", ["synthesis.base=random"])  # a critic, no discriminator, no cleanup
    columns = [arm_recipe(runway, Arm.parse(text), 0) for text in arms_of("table_2")[1:]]
    assert [(c.synthesis.feedback, c.synthesis.base) for c in columns] == [("gradient", "centre")] * 6
    assert [c.cleanup for c in columns] == [False] + [True] * 5
    assert [c.synthesis.dropout_rate for c in columns] == [0, 0, 0.5, 0.5, 0.5, 0.5]
    assert [c.artefacts.count for c in columns] == [0, 0, 0, 1, 1, 1]
    assert [c.fine_tune.real_per_synthetic for c in columns] == ["all"] * 4 + [1, 1]
    assert [c.synthesis.discriminator for c in columns] == [False] * 5 + [True]
