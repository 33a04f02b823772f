"""Mean IoU against a count by hand, and its pseudo-values against their mean."""

import numpy as np
import pytest
import torch

from terse.evaluation.miou import class_ious, confusions, miou_pseudo_values, miou_scores

KNOWN = torch.tensor([[[0, 0, 1, 1], [0, 2, 2, -1]]])
GUESS = torch.tensor([[[0, 1, 1, 1], [0, 2, 0, 1]]])


def test_by_hand() -> None:
    counts = confusions(GUESS, KNOWN, 3)
    assert counts.sum() == 7  # one pixel counts neither as right nor as wrong
    assert class_ious(counts[0])[:3].tolist() == pytest.approx([2 / 4, 2 / 3, 1 / 2])
    scores = miou_scores(counts, ("a", "b", "c"))
    assert scores["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores["miou_background"] == pytest.approx((2 / 4 + 2 / 3 + 1 / 2) / 3)
    assert scores["pixel_accuracy"] == pytest.approx(5 / 7)
    assert scores["by_class"]["c"] == {"miou": None}  # nowhere, and guessed nowhere


def test_pseudo_values_of_equal_images_are_the_whole() -> None:
    counts = confusions(GUESS.expand(6, 2, 4), KNOWN.expand(6, 2, 4), 2)
    assert miou_pseudo_values(counts) == pytest.approx([miou_scores(counts, ("a", "b"))["miou"]] * 6)


def test_no_object_at_all_has_no_figure() -> None:
    none = confusions(torch.zeros(2, 2, 2, dtype=torch.int64), torch.zeros(2, 2, 2, dtype=torch.int64), 1)
    assert miou_scores(none, ("a",))["miou"] is None
    assert np.isnan(miou_pseudo_values(none)).all()
