from dataclasses import replace

import numpy as np
import pytest
import torch

from terse.errors import RecipeError
from terse.evaluation.hardness import Margin, Probability, ProbabilityWindow, Quantile, baseline_hardness
from terse.placements import Placements
from terse.recipe import load_recipe
from terse.types import Composites, Truth

IMAGES = torch.zeros(3, 1, 4, 4)


def truth_of(labels, image_index, batch_size=3, ignore=None):
    n = len(labels)
    return Truth(
        labels=torch.tensor(labels),
        boxes_px=torch.zeros(n, 4),
        image_index=torch.tensor(image_index),
        pasted=torch.ones(n, dtype=torch.bool),
        ignore=torch.zeros(n, dtype=torch.bool) if ignore is None else torch.tensor(ignore),
        batch_size=batch_size,
    )


class Says:
    """A black box with prepared answers."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def confidence(self, images, truth):
        return torch.tensor(self.answers.pop(0))

    def predict(self, images):
        return torch.tensor(self.answers.pop(0))


def test_the_margin_is_the_lead_of_the_best_wrong_class():
    target = Says([[0.50, 0.30, 0.20], [0.45, 0.50, 0.05], [0.2, 0.7, 0.1]])
    verdict = Margin(0.06).judge(target, IMAGES, truth_of([0, 0, 0], [0, 1, 2]))
    assert verdict.hard.tolist() == [False, False, True]
    assert verdict.hardness.tolist() == pytest.approx([0.5, 0.55, 0.8])


def test_the_margin_is_of_the_pasted_object_where_a_background_holds_one_too():
    target = Says([[0.50, 0.30, 0.20], [0.45, 0.50, 0.05], [0.2, 0.7, 0.1]])
    truth = truth_of([1, 0, 2, 0, 1, 0], [0, 0, 1, 1, 2, 2])
    verdict = Margin(0.06).judge(target, IMAGES, replace(truth, pasted=torch.tensor([False, True] * 3)))
    assert verdict.hardness.tolist() == pytest.approx([0.5, 0.55, 0.8])
    assert verdict.hard.tolist() == [False, False, True]


def test_of_several_pasted_objects_the_hardest_counts_and_none_is_not_hard():
    target = Says([0.9, 0.3, 0.6])
    verdict = Probability(0.5).judge(target, IMAGES, truth_of([0, 1, 0], [0, 0, 1]))
    assert verdict.hard.tolist() == [True, False, False]
    assert verdict.hardness.tolist() == pytest.approx([0.7, 0.4, 0.0])


def test_a_window_leaves_out_the_hopeless_and_what_holds_no_object():
    target = Says([0.9, 0.25, 0.05, 0.5])
    truth = truth_of([0, 1, 0, 0], [0, 0, 1, 2], batch_size=4)
    verdict = ProbabilityWindow(0.1, 0.5).judge(target, IMAGES, truth)
    assert verdict.hard.tolist() == [True, False, True, False]
    assert verdict.hardness.tolist() == pytest.approx([0.75, 0.95, 0.5, 0.0])
    assert not ProbabilityWindow(0.1, 1.0).judge(Says([0.5]), IMAGES, truth_of([0], [0])).hard[1:].any()


def test_a_window_is_a_setting_of_the_recipe():
    rule = load_recipe("quickstart", ["hardness={kind: window, low: 0.2, high: 0.7}"]).hardness.build()
    assert (rule.low, rule.high) == (0.2, 0.7)
    with pytest.raises(RecipeError) as refused:
        load_recipe("quickstart", ["hardness={kind: window, low: 0.7, high: 0.2}"])
    assert str(refused.value) == "hardness: low: expected a number below high, got 0.7 and 0.2"


class Real:
    """Images with one object each; the last is to be ignored."""

    def __init__(self, count):
        self.truth = truth_of([0] * count, list(range(count)), count, [False] * (count - 1) + [True])

    def __len__(self):
        return self.truth.batch_size

    def fetch(self, indices):
        return torch.zeros(len(indices), 1, 4, 4), self.truth.take(indices.tolist())


class Counts:
    """Confidences 0.00, 0.01, ... for the objects it is asked about, in turn."""

    def __init__(self):
        self.asked = 0

    def confidence(self, images, truth):
        first, self.asked = self.asked, self.asked + int(truth.pasted.sum())
        return torch.arange(first, self.asked) / 100

    def predict(self, images):
        raise AssertionError


def test_a_quantile_is_calibrated_on_real_objects_and_kept():
    rule, target = Quantile(0.5, images=21), Counts()
    rule.calibrate(target, Real(21), "cpu")
    assert target.asked == 20
    assert rule.state() == pytest.approx(0.095)
    again = Quantile(0.5, images=21)
    again.restore(rule.state())
    verdict = again.judge(Says([0.09, 0.1, 0.5]), IMAGES, truth_of([0, 0, 0], [0, 1, 2]))
    assert verdict.hard.tolist() == [True, False, False]


def test_a_quantile_is_of_images_of_all_classes_though_they_stand_in_the_order_of_these():
    class Second:
        """Sure of the first half of the images, not of the second."""

        def confidence(self, images, truth):
            return 1.0 - truth.labels.float()

    real = Real(101)
    real.truth = truth_of([0] * 50 + [1] * 51, list(range(101)), 101, [False] * 101)
    rule = Quantile(0.4, images=10)
    rule.calibrate(Second(), real, "cpu")
    assert rule.state() == 0.0  # of the first ten images it is 1


def test_a_quantile_without_real_objects_is_a_half():
    rule = Quantile(0.5, images=5)
    rule.calibrate(Counts(), Real(1), "cpu")
    assert rule.state() == 0.5


def test_the_hardness_of_a_pool_is_that_of_composites_spread_evenly_over_it():
    none = np.zeros(100, dtype=np.int64)
    placements = Placements.single(np.arange(100), none, np.zeros((100, 6)))
    drawn = []

    def render(some):
        drawn.extend(some.background.tolist())
        return Composites(
            torch.zeros(len(some), 1, 4, 4), truth_of([0] * len(some), list(range(len(some))), len(some)),
            torch.ones(len(some)),
        )  # fmt: skip

    class Sure:
        def predict(self, images):
            return torch.full((len(images), 2), 0.25)

    def first(answers, labels):
        return [float(row[of][0]) for row, of in zip(answers, labels, strict=True)]

    assert baseline_hardness(Sure(), placements, render, first, most=34) == [0.75] * 34
    assert drawn == list(range(0, 100, 3))
    assert baseline_hardness(Sure(), placements.take(none[:0]), render, first) == []
