import re

import numpy as np
import pytest

from terse.errors import RunError
from terse.page_figures import Realism, ShownFigures
from terse.pictures.gallery import BeforeAfter
from terse.pictures.page_folder import Shown
from terse.report.parts import words
from terse.report.run_page import _realism_table, train_page
from terse.results import Coverage, HardnessCounts
from terse.tasks.answers import Answer, Box


def test_the_title_and_the_summary_say_what_came_of_it(drawn):
    page = train_page(drawn.RECIPE, drawn.run(drawn.result()), name="quickstart")
    assert page.title == "Accuracy rose from 0.185 to 0.879"
    first, second = page.summary
    assert first == (
        "After 5 cycles and 2,500 synthetic images that the model found hard, accuracy on the test images is "
        "0.879; it was 0.185 at the start."
    )
    assert second == (
        "Of what was proposed, 92% was hard for the model in the first cycle and 41% in the last. The run took 52 s."
    )
    assert page.recipe == drawn.RECIPE


def test_an_arm_that_judges_nothing_finds_nothing_hard(drawn):
    result = drawn.result()
    for cycle in result["cycles"]:
        cycle["judging_passes"] = 0
    page = train_page("", drawn.run(result))
    assert page.summary[0].startswith("After 5 cycles and 2,500 synthetic images, accuracy")


def test_a_loss_is_called_a_loss(drawn):
    result = drawn.result()
    result["metrics"]["end"]["accuracy"] = 0.1
    page = train_page("", drawn.run(result))
    assert page.title == "Accuracy fell from 0.185 to 0.100"
    assert page.facts[0].tone == "bad"
    assert page.summary[1].startswith("The synthetic images did not help here.")


def test_the_charts_hold_the_numbers_of_the_result(drawn):
    result = drawn.result()
    charts = {chart.name: chart.figure for chart in train_page("", drawn.run(result)).charts}
    samples, forwards = (charts["curve-samples"].data[0], charts["curve-target-forwards"].data[0])
    assert list(samples.x) == [0, *(cycle["samples"] for cycle in result["cycles"])]
    assert list(samples.y) == [0.185, *(cycle["accuracy"] for cycle in result["cycles"])]
    assert forwards.x[-1] == sum(cycle["target_forwards"] for cycle in result["cycles"])
    assert list(charts["hard-rate"].data[0].y) == [cycle["hard_rate"] for cycle in result["cycles"]]
    assert "hardness" not in charts


def test_a_gain_that_no_reader_could_see_is_none(drawn):
    result = drawn.result()
    result["metrics"]["start"]["accuracy"], result["metrics"]["end"]["accuracy"] = 0.44801, 0.44833
    assert train_page("", drawn.run(result)).title == "Accuracy stayed at 0.448"


def test_a_run_that_has_no_cycle_yet_has_a_page(drawn):
    result = drawn.result(cycles=0)
    page = train_page("", drawn.run(result))
    assert page.title == "Accuracy stayed at 0.185"
    assert page.charts == []
    assert list(page.summary) == ["No cycle has ended yet: the numbers are those of the model as it came."]


def test_a_detector_shows_every_threshold_and_its_discriminator(drawn):
    result = drawn.result(2)
    ap = {
        "ap": 0.24,
        "ap50": 0.40,
        "ap60": 0.3,
        "ap70": 0.2,
        "ap80": 0.06,
        "images": 600,
        "objects": 1882,
        "by_size": {"small": {"ap50": 0.1}, "large": {"ap50": None}},
    }
    result |= {"primary": "ap50", "metrics": {"start": ap, "end": {**ap, "ap50": 0.42}}}
    for cycle in result["cycles"]:
        cycle |= {**ap, "discriminator_auc": 0.61, "seconds": 12.0}
    hardness = {"cycle 1": HardnessCounts(counts=[0] * 10 + [1] + [0] * 9, mean=0.5)}
    page = train_page("", drawn.run(result), shown=Shown(ShownFigures(hardness=hardness)))
    assert page.title == "AP at IoU 0.5 rose from 0.400 to 0.420"
    assert [row[0] for row in page.tables[0].rows] == [
        "AP, mean of IoU 0.5 to 0.8",
        "AP at IoU 0.5",
        "AP at IoU 0.6",
        "AP at IoU 0.7",
        "AP at IoU 0.8",
        "AP at IoU 0.5, small objects",
        "AP at IoU 0.5, large objects",
    ]
    assert page.tables[0].rows[-1][1:] == ("", "", "")
    assert page.tables[0].caption == "On 600 test images with 1,882 objects."
    assert [chart.name for chart in page.charts] == [
        "curve-samples",
        "curve-target-forwards",
        "hard-rate",
        "hardness",
        "discriminator",
        "seconds",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(52.4, "52 s"), (150, "2 min"), (5399, "90 min"), (7000, "1 h 57 min")])
def test_times_are_written_for_readers(drawn, seconds, text):
    page = train_page("", drawn.run({**drawn.result(), "seconds": seconds}))
    assert page.facts[-1].value == (text if text != "90 min" else "1 h 30 min")


def test_a_folder_with_a_blank_can_be_typed_again(drawn):
    page = train_page("", drawn.run({**drawn.result(), "out": "my runs/a"}))
    assert page.commands[2].line == "terse report 'my runs/a'"


@pytest.mark.parametrize(
    ("best", "sentence"),
    [(3, "Kept is the target of cycle 3."), (0, "Kept is the start: no cycle was better on the validation images.")],
)
def test_another_target_than_the_last_is_named(drawn, best, sentence):
    assert train_page("", drawn.run({**drawn.result(), "best_cycle": best})).summary[-1] == sentence
    assert sentence not in train_page("", drawn.run({**drawn.result(), "best_cycle": 5})).summary


def test_classes_have_a_table_where_there_are_several(drawn):
    result = drawn.result(1)
    both = {
        "accuracy": 0.5,
        "by_class": {"cat": {"accuracy": 0.4, "objects": 3}, "dog": {"accuracy": None, "objects": 0}},
    }
    result["metrics"] = {"start": both, "end": both}
    table = train_page("", drawn.run(result)).tables[1]
    assert table.rows == [("cat", "3", "0.4000", "0.4000", "+0.0000"), ("dog", "0", "", "", "")]


def test_classes_whose_objects_nobody_counts_have_a_table(drawn):
    result = drawn.result(1)
    both = {"accuracy": 0.5, "by_class": {"cat": {"accuracy": 0.4}, "dog": {"accuracy": None}}}
    result["metrics"] = {"start": both, "end": both}
    table = train_page("", drawn.run(result)).tables[1]
    assert table.columns == ("Class", "Start", "End", "Change")
    assert table.rows == [("cat", "0.4000", "0.4000", "+0.0000"), ("dog", "", "", "")]


def test_a_metric_without_a_value_is_an_error_in_words(drawn):
    result = drawn.result(1)
    result["metrics"]["start"]["accuracy"] = None
    with pytest.raises(RunError) as error:
        train_page("", drawn.run(result))
    assert str(error.value) == (
        "test: expected images with objects to find, got none, so that accuracy has no value at the start; "
        "give the recipe other test images"
    )


def test_the_discriminators_auc_has_a_table():
    table = _realism_table(Realism(composites_auc=0.613, backgrounds_auc=0.5))
    assert table.rows == [
        ("Composites against real images", "0.61"),
        ("Untouched backgrounds against real images", "0.50"),
    ]


SOURCES = "train: {kind: coco}\nval: 0.2\ntest: null\nsynthesis: {kind: mined}\n"
CHOSEN = (
    "The validation images also chose the kept cycle, so the figure flatters a little: the recipe names no test images."
)


def shown_answers():
    answer = Answer("1 of 1 found", [Box((0, 0, 2, 2), "cat")])
    pair = BeforeAfter(np.zeros((4, 4, 3), np.uint8), answer, answer, "a test image of a street")
    return Shown(pairs=[pair], pairs_note="On the validation images. Of 19 objects in 9 images, 3 were found.")


def test_where_val_stands_for_test_the_page_says_so(drawn):
    result = drawn.run({**drawn.result(), "best_cycle": 5})
    page = train_page(SOURCES, result, shown=shown_answers())
    assert "accuracy on the validation images is 0.879; it was 0.185 at the start." in page.summary[0]
    assert page.summary[1] == CHOSEN
    assert page.tables[0].caption == "On the validation images."
    assert page.shown.pairs_note == shown_answers().pairs_note
    assert page.shown.pairs[0].name == "a test image of a street"
    assert not re.search("test image", f"{page.summary} {page.tables}".replace(CHOSEN, ""))


@pytest.mark.parametrize("last", ["keep: last\n", ""])
def test_that_they_chose_is_said_of_a_choice_alone(drawn, last):
    result = drawn.result(cycles=5 if last else 0)
    assert CHOSEN not in train_page(SOURCES + last, drawn.run(result)).summary


@pytest.mark.parametrize("named", ["test: 0.2", "test: null\ndata: {kind: digits}"])
def test_test_images_are_called_so(drawn, named):
    page = train_page(SOURCES.replace("test: null", named), drawn.run(drawn.result()), shown=shown_answers())
    assert "on the test images" in page.summary[0]
    assert page.tables[0].caption == "On the test images."
    assert "held" not in f"{page.summary} {page.tables}"
    assert CHOSEN not in page.summary


def test_validation_images_without_a_figure_are_named_in_the_error(drawn):
    result = drawn.result(1)
    result["metrics"]["start"]["accuracy"] = None
    with pytest.raises(RunError) as error:
        train_page(SOURCES, drawn.run(result))
    assert str(error.value) == (
        "val: expected images with objects to find, got none, so that accuracy has no value at the start; "
        "give the recipe other validation images"
    )


def test_the_curves_are_the_arms(drawn):
    numbers = {"images": 4, "objects": 4, "foregrounds": 2, "backgrounds": 2, "duplicates": 0.0, "near_duplicates": 0.0}
    poses = {"cycle 5": Coverage(**numbers, entropy=1.0, poses={}, position=[[1, 2], [3, 4]])}
    page = train_page(SOURCES, drawn.run(drawn.result()), shown=Shown(ShownFigures(coverage=poses)))
    charts = {chart.name: chart.figure for chart in page.charts}
    for name in ("curve-samples", "curve-target-forwards"):
        (trace,) = charts[name].data
        assert (trace.name, trace.meta["tone"]) == (words("mined"), "mined")
    assert charts["positions"].data[0].meta["tone"] == "mined"


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ("target: {kind: user, factory: 'my_models:black'}", " --trust"),
        ("target: {kind: onnx, weights: model.onnx}\ntrain: {kind: coco, coco: 's3:/bucket/a.json'}", " --trust"),
        ("target: {kind: onnx, weights: model.onnx}\ndescription: 'https://example.org tells more'", ""),
    ],
)
def test_a_recipe_that_names_code_or_urls_is_run_again_with_trust(drawn, settings, flag):
    page = train_page(settings, drawn.run({**drawn.result(), "out": "ro"}))
    assert [command.line for command in page.commands] == [
        f"terse train ro/recipe.yaml --out ro-again{flag}",
        f"terse generate ro --count 1000 --format coco --out dataset{flag}",
        "terse report ro",
    ]
