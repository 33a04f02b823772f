"""What the test images' own fields say is counted by every task, and refused where it cannot be."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scripted_models import Images, Says, truth
from terse.errors import RecipeError
from terse.evaluation.ap import ap_of, ap_pseudo_values
from terse.recipe import load_recipe
from terse.recipe_parts import GroupsConfig
from terse.run import open_session
from terse.sources.run_data import run_data
from terse.tasks.detection import predict_all
from terse.tasks.groups import half_samples
from terse.tasks.task import Metric, Task, task
from terse.types import Truth

BOTH = GroupsConfig(by=("weather",), clusters="video")
BOX = (4, 4, 12, 12)


class Filmed(Images):
    """Four images: two videos, three of the images in some weather."""

    def field(self, name):
        return {"weather": ("dry", "wet", "dry", None), "video": ("a", "b", "a", "b")}.get(name, (None,) * 4)


def halves_of(found):
    assert len(found.halves) == 128
    return {round(value, 6) for value in found.halves}


def test_accuracy():
    model = Says([torch.tensor(row) for row in ((0.9, 0.1), (0.2, 0.8), (0.6, 0.4), (0.7, 0.3))])
    images = Filmed([truth(0), truth(0), truth(0), truth(0)])
    found = task("classification").details(model, images, "cpu", BOTH)
    assert found.units == [1, 0, 1, 1]
    assert found.groups == {"weather": {"dry": {"accuracy": 1.0, "images": 2}, "wet": {"accuracy": 0.0, "images": 1}}}
    assert halves_of(found) == {1.0, 0.5}  # either video stands for both


def test_a_task_with_a_figure_of_its_own_counts_that():
    class ErrorRate(type(task("classification"))):
        primary = Metric("error", "Error", "error", larger_is_better=False)

        def units(self, target, images, device):
            return [1 - right for right in super().units(target, images, device)]

    model = Says([torch.tensor(row) for row in ((0.9, 0.1), (0.2, 0.8), (0.6, 0.4), (0.7, 0.3))])
    found = ErrorRate().details(model, Filmed([truth(0)] * 4), "cpu", BOTH)
    assert found.units == [0, 1, 0, 0]
    assert found.groups["weather"]["wet"] == {"error": 1.0, "images": 1}
    assert halves_of(found) == {0.0, 0.5}


def test_mean_iou():
    masks = torch.zeros(1, 16, 16, dtype=torch.bool)
    masks[0, :, :8] = True
    right, wrong = torch.zeros(2, 16, 16), torch.zeros(2, 16, 16)
    right[1, :, :8], right[0, :, 8:] = 1, 1
    wrong[1, :, :4], wrong[0, :, 4:] = 1, 1  # half of the object
    images = Filmed([replace(truth(0, [0, 0, 8, 16]), masks=masks)] * 4)
    found = task("segmentation").details(Says([right, wrong] * 2), images, "cpu", BOTH)
    assert found.groups["weather"] == {
        "dry": {"miou": 1.0, "pixel_accuracy": 1.0, "images": 2},
        "wet": {"miou": 0.5, "pixel_accuracy": 0.75, "images": 1},
    }
    assert halves_of(found) == {1.0, 0.5}
    assert found.units == task("segmentation").units(Says([right, wrong] * 2), images, "cpu")


def test_mean_error():
    """Centres at (0.5, 0.5); one of the second video's is 0.25 too far to the right."""
    model = Says([torch.tensor([[x, 0.5]]) for x in (0.5, 0.75, 0.5, 0.5)])
    images = Filmed([truth(0, BOX)] * 4)
    found = task("regression").details(model, images, "cpu", BOTH)
    assert found.units == [0, 0.25, 0, 0]
    assert found.groups["weather"] == {
        "dry": {"mean_error": 0.0, "within": 1.0, "images": 2},
        "wet": {"mean_error": 0.25, "within": 0.0, "images": 1},
    }
    assert halves_of(found) == {0.0, 0.125}


def test_the_primary_metric_is_among_the_figures():
    by_another = task("detection")
    by_another.primary = next(one for one in by_another.metrics if one.name == "voc07_ap60")
    said = {"boxes": torch.tensor([[4.0, 4, 12, 12]]), "labels": torch.tensor([0]), "scores": torch.tensor([0.9])}
    found = by_another.details(Says([said] * 4), Filmed([truth(0, BOX)] * 4), "cpu", BOTH)
    assert found.groups["weather"]["dry"] == {"voc07_ap60": 1.0, "ap50": 1.0, "ap": 1.0, "objects": 2}


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7])
def test_the_spread_over_half_samples_is_the_standard_error_of_any_number_of_clusters(count):
    values = torch.randn(count, generator=torch.Generator().manual_seed(count), dtype=torch.float64).numpy()
    images = Truth.of_images(torch.zeros(count, dtype=torch.int64))
    names = [f"video {k}" for k in range(count)]
    found = np.array(half_samples(lambda rows: float(values[rows].mean()), images, names, count=4000))
    assert found.std() == pytest.approx(values.std(ddof=1) / count**0.5, rel=0.05)


def test_half_samples_of_boxes_are_as_before():
    said = [
        {
            "boxes": torch.tensor([[4.0, 4, 12, 12 - k]]),
            "labels": torch.tensor([0]),
            "scores": torch.tensor([0.9 - k / 9]),
        }
        for k in range(4)
    ]
    images = Filmed([truth(0, BOX)] * 4)
    found = task("detection").details(Says(said), images, "cpu", GroupsConfig(clusters="video"))
    both = predict_all(Says(said), images, "cpu")
    assert found.halves == half_samples(ap_of(*both, [0.5], voc=False), both[1], images.field("video"))
    assert found.units == ap_pseudo_values(*both)


@pytest.mark.parametrize("kind", ["classification", "detection", "instances", "segmentation", "regression"])
def test_a_field_that_no_test_image_has_is_refused_before_anything_is_measured(kind):
    for groups in (GroupsConfig(by=("weather", "nope")), GroupsConfig(clusters="nope")):
        with pytest.raises(RecipeError) as caught:
            task(kind).details(None, Filmed([truth(0, BOX)] * 4), "cpu", groups)
        assert (
            str(caught.value) == "test_groups: expected a field of the test images, got 'nope', which none of them has"
        )


def test_a_task_that_counts_no_groups_refuses_them():
    class Counting(Task):
        def measure(self, target, images, device):
            return {}

        def units(self, target, images, device):
            return [1.0]

        def image_confidence(self, predicted, labels):
            return []

        def answers(self, before, after, images, classes):
            return None

    assert Counting().details(None, Filmed([]), "cpu", GroupsConfig()).units == [1.0]
    with pytest.raises(RecipeError) as caught:
        Counting().details(None, Filmed([]), "cpu", BOTH)
    assert str(caught.value) == (
        "test_groups: expected none with the task Counting, which counts neither groups nor clusters, got weather, video"
    )


def test_a_run_is_refused_at_its_start(small):
    recipe = load_recipe("quickstart", [*small, "test_groups.clusters=video"])
    with pytest.raises(RecipeError) as caught:
        open_session(recipe, None, data=run_data(recipe))
    assert str(caught.value) == "test_groups: expected a field of the test images, got 'video', which none of them has"
