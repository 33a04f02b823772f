"""A task of somebody else's: one registered class, whose metric is an error, through a run, its page and a verdict."""

import json

import pytest

from terse import registry
from terse.errors import RecipeError
from terse.proof.verdict import judge
from terse.recipe import load_recipe
from terse.report.run_page import run_page
from terse.run import train
from terse.tasks.classification import Classification
from terse.tasks.task import Metric, metric_of, task, task_of


@pytest.fixture
def error_rate():
    @registry.register("task", "error_rate")
    class ErrorRate(Classification):
        primary = Metric("error", "Error", "error", larger_is_better=False)
        metrics = (primary,)
        progress = ("error",)

        def measure(self, target, images, device):
            return {"error": 1 - super().measure(target, images, device)["accuracy"]}

        def units(self, target, images, device):
            return [1 - right for right in super().units(target, images, device)]

    yield ErrorRate
    del registry._members["task"]["error_rate"]


def test_an_unknown_task_is_answered_with_the_nearest():
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["task=detectoin"])
    assert str(caught.value) == (
        "task: expected one of classification, detection, instances, regression, segmentation, got 'detectoin'; did you mean 'detection'?"
    )


def test_the_arms_of_a_proof():
    assert task("detection").default_arms == (
        "none",
        "random",
        "mined",
        "cut_paste_learn",
        "context",
        "learned",
    )
    assert task("classification").default_arms == ("none", "random", "mined", "learned")


def test_a_metric_that_no_task_declares_keeps_its_name():
    assert metric_of("top_5") == Metric("top_5", "top 5", "top 5")
    assert metric_of("ap50").heading == "AP at IoU 0.5"


def test_the_kept_cycle_has_the_smallest_error(small, error_rate, tmp_path, monkeypatch):
    figures = iter([0.5, 0.5, 0.25, 0.25, 0.375, 0.375])  # validation and test of the start and of two cycles
    monkeypatch.setattr(error_rate, "measure", lambda *_: {"error": next(figures)})
    result = train(load_recipe("quickstart", [*small, "task=error_rate"]), out=tmp_path / "run")
    assert (result["primary"], result["best_cycle"]) == ("error", 1)
    assert result["metrics"] == {"start": {"error": 0.5}, "end": {"error": 0.25}}
    assert [row["val_error"] for row in json.loads((tmp_path / "run" / "result.json").read_text())["cycles"]] == [
        0.25,
        0.375,
    ]
    page = run_page(tmp_path / "run")
    assert page.title == "Error fell from 0.500 to 0.250"
    assert (page.facts[0].name, page.facts[0].tone) == ("Error", "good")
    assert not any("did not help" in sentence for sentence in page.summary)


def test_a_verdict_on_an_error_counts_what_it_lost():
    runs = {"none": dict.fromkeys(range(5), 0.5), "learned": dict(enumerate([0.40, 0.38, 0.39, 0.41, 0.37]))}
    units = {arm: {seed: [0.0, 2 * value] for seed, value in of.items()} for arm, of in runs.items()}
    verdict = judge(runs, units=units, metric="error", larger_is_better=False)
    assert verdict.verdict == "undecided"
    assert verdict.gain.mean == pytest.approx(0.11)
    assert verdict.gain.images.mean == pytest.approx(0.11)
    assert verdict.arms["learned"].mean == pytest.approx(0.39)
    assert judge(runs, metric="error", larger_is_better=False).reason == (
        "learned over none: error +0.110, 95% interval +0.090 to +0.130 over 5 seeds, which is above zero."
    )


def test_a_recipe_names_the_metric_that_counts():
    assert task_of(load_recipe("shapes")).primary.name == "ap50"
    own = task_of(load_recipe("shapes", ["primary=voc07_ap"]))
    assert (own.primary.short, own.progress) == ("VOC07's AP", ("voc07_ap", "ap50", "ap"))
    assert task("detection").primary.name == "ap50"  # another's is its own
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["primary=accurracy"])
    assert str(caught.value) == "recipe: primary: expected one of accuracy, got 'accurracy'; did you mean 'accuracy'?"
