"""What a model fails, in numbers worked out by hand."""

import numpy as np
import pytest
import torch

from terse.evaluation.failures import Clusters, Shapes, pair_entropy
from terse.evaluation.matching import NOTHING, false_alarms, said
from terse.types import Truth


def truth_of(*boxes, labels=None):
    return Truth.of_images(
        torch.tensor(labels or [0] * len(boxes)), torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    )


def test_the_shape_of_an_object_is_its_size_its_aspect_and_whether_the_border_cuts_it():
    shapes = Shapes.of(truth_of([10, 10, 30, 60], [80, 0, 100, 20]), 100)
    assert shapes.size.tolist() == pytest.approx([np.sqrt(1000) / 100, 0.2])
    assert shapes.aspect.tolist() == pytest.approx([0.4, 1.0])
    assert shapes.cut.tolist() == [False, True]
    told = shapes.summary()
    assert (told.objects, told.cut, told.distance) == (2, 0.5, {})


def test_distances_are_of_distribution_functions():
    small = Shapes(np.array([0.1, 0.2, 0.3, 0.4]), np.ones(4), np.array([True, True, False, False]))
    large = Shapes(np.array([0.3, 0.4, 0.5, 0.6]), np.ones(4), np.zeros(4, dtype=bool))
    told = large.summary(small)
    assert told.distance == pytest.approx({"size": 0.5, "aspect": 0.0, "cut": 0.5})
    assert told.by_chance == pytest.approx(1.358 * np.sqrt(8 / 16), abs=1e-3)
    assert small.summary(small).distance == {"size": 0, "aspect": 0, "cut": 0}


def test_objects_without_boxes_are_only_counted():
    told = Shapes.of(Truth.of_images(torch.tensor([1, 2])), 40).summary()
    assert told.to_json() == {"objects": 2}
    assert Shapes.join([]).summary().objects == 0


def test_one_confusion_is_one_mode():
    true = np.array([1, 1, 1, 5, 5])
    assert pair_entropy(true, np.array([7, 7, 7, 5, 5])) == (0.0, 1)
    assert pair_entropy(true, np.array([7, 7, 3, 3, 5])) == (pytest.approx(1.5), 3)
    assert pair_entropy(true, true) == (0.0, 0)


def test_composites_fill_as_many_clusters_as_they_are_spread_over():
    random = np.random.default_rng(0)
    centres = random.normal(size=(4, 3)) * 100
    base = (centres[:, None] + random.normal(size=(4, 50, 3))).reshape(-1, 3)
    clusters = Clusters(base, 4)
    assert clusters.filled(base) == pytest.approx(4, abs=0.01)
    assert clusters.filled(base[:50]) == pytest.approx(1)
    assert clusters.filled(base[:100]) == pytest.approx(2)


ANSWER = {
    "boxes": torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40], [70, 70, 90, 90], [50, 50, 60, 60]]),
    "labels": torch.tensor([0, 1, 0, 1]),
    "scores": torch.tensor([0.9, 0.8, 0.7, 0.4]),
}


def one_image(truth):
    return Truth(truth.labels, truth.boxes_px, torch.zeros(len(truth.labels)).long(), truth.pasted, truth.ignore, 1)


def test_a_missed_object_is_taken_for_what_stands_in_its_place():
    truth = one_image(truth_of([0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 60, 60], labels=[0, 0, 1]))
    assert said(ANSWER, truth).tolist() == [0, 1, NOTHING]  # found, another class, not sure enough
    nobody = {name: value[:0] for name, value in ANSWER.items()}
    assert said(nobody, truth).tolist() == [NOTHING] * 3


def test_a_false_alarm_is_a_sure_detection_that_finds_nothing():
    truth = one_image(truth_of([0, 0, 10, 10], [20, 20, 40, 40], labels=[0, 0]))
    assert false_alarms(ANSWER, truth).tolist() == [[20, 20, 40, 40], [70, 70, 90, 90]]
