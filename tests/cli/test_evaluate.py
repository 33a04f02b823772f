"""`terse evaluate` on paper: the figures of a classifier and of a detector."""

import torch

from terse.cli.evaluate import _table
from terse.evaluation.ap import detection_scores
from terse.types import Truth


def test_a_classifiers_figure():
    assert _table({"accuracy": 0.98765}, "accuracy") == "accuracy  0.9877"


def test_a_figure_that_classes_do_not_have():
    figures = {"miou": 0.25, "pixel_accuracy": 0.5, "by_class": {"cat": {"miou": 0.25}}}
    assert _table(figures, "miou").splitlines()[-1] == "miou cat        0.2500"
    assert _table(figures, "pixel_accuracy").splitlines()[-1] == "pixel_accuracy  0.5000"


def test_a_detectors_figures():
    boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0], [10.0, 10.0, 60.0, 60.0]])
    no = torch.zeros(2, dtype=torch.bool)
    truth = Truth(torch.tensor([0, 1]), boxes, torch.tensor([0, 1]), no, no, 2)
    nothing = {"boxes": boxes[:0], "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    found = [{"boxes": boxes[[0]], "labels": torch.tensor([0]), "scores": torch.tensor([0.9])}, nothing]
    lines = _table(detection_scores(found, truth, ["cat", "dog"]), "ap50").splitlines()
    assert lines[0] == "ap50         0.5000"  # the cat is found, the dog is not
    assert lines[-7:] == [
        "images       2",
        "objects      2",
        "ap50 small   1.0000",
        "ap50 medium  0.0000",
        "ap50 large   -",
        "ap50 cat     1.0000",
        "ap50 dog     0.0000",
    ]
