"""The measures of a mask, worked out by hand."""

import math

import numpy as np
import pytest

from terse.masks.score import Scores, expected_iou, grown, measure, shifted

BOX = (20.0, 20.0, 60.0, 40.0)
GREY = np.full((60, 80, 3), 128, np.uint8)


def rectangle(x0, y0, x1, y1):
    mask = np.zeros((60, 80), np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def test_boxes_are_shifted_and_grown_by_shares_of_their_sides():
    assert shifted(BOX) == (22.0, 21.0, 62.0, 41.0)
    assert grown(BOX) == (16.0, 18.0, 64.0, 42.0)


def test_a_filled_box_has_all_but_contrast():
    mask = rectangle(20, 20, 60, 40)
    assert measure(GREY, mask, mask, BOX).to_json() == Scores(1.0, 1.0, 1.0, 0.0, 1.0).to_json()


def test_an_empty_mask_has_nothing():
    empty = rectangle(0, 0, 0, 0)
    assert measure(GREY, empty, rectangle(20, 20, 60, 40), BOX) == Scores(0.0, 0.0, 0.0, 0.0, 0.0)


def test_agreement_and_coverage_are_ious():
    scores = measure(GREY, rectangle(20, 20, 40, 40), rectangle(30, 20, 50, 40), BOX)
    assert scores.agreement == pytest.approx(1 / 3)
    assert scores.coverage == 0.5


def test_contact_with_the_grown_border_is_the_most_of_its_sides():
    half = rectangle(10, 18, 64, 30)  # crosses the left side in its upper half, and lies on all of the upper one
    assert measure(GREY, half, half, BOX).border == 0.0
    left = rectangle(10, 20, 60, 32)  # 12 of the 24 pixels of the left side
    assert measure(GREY, left, left, BOX).border == 0.5


def test_the_images_own_border_is_no_contact():
    at_the_edge = rectangle(0, 20, 40, 40)
    assert measure(GREY, at_the_edge, at_the_edge, (0.0, 20.0, 40.0, 40.0)).border == 1.0


def test_a_mask_in_another_colour_than_its_surroundings_has_contrast():
    mask = rectangle(20, 20, 60, 40)
    image = GREY.copy()
    image[mask] = (200, 30, 30)
    beside = rectangle(24, 24, 64, 44)
    scores = measure(image, mask, mask, BOX)
    assert scores.contrast > 0.7
    assert scores.contrast > measure(image, beside, beside, BOX).contrast + 0.1


def test_the_score_lies_between_0_and_1_and_rises_with_every_measure_that_counts():
    assert 0 <= expected_iou(Scores(0.0, 0.0, 0.0, 0.0, 0.0)) < expected_iou(Scores(1.0, 1.0, 1.0, 1.0, 1.0)) <= 1
    poor = expected_iou(Scores(0.9, 0.9, 1.0, 0.5, 0.2))
    assert expected_iou(Scores(0.9, 0.9, 1.0, 0.5, 0.9)) > poor
    assert expected_iou(Scores(0.9, 0.9, 0.5, 0.5, 0.9)) == pytest.approx(
        expected_iou(Scores(0.9, 0.9, 1.0, 0.5, 0.9)) / 2
    )


@pytest.mark.parametrize("box", [(79.7, 20.0, 80.0, 40.0), (0.0, 20.0, 0.3, 40.0), (20.0, 59.7, 40.0, 60.0)])
def test_a_sliver_of_a_box_at_the_border_is_measured(box):
    x0, y0, x1, y1 = box
    mask = rectangle(int(x0), int(y0), math.ceil(x1), math.ceil(y1))
    assert measure(GREY, mask, mask, box).border == pytest.approx(1 - 20 / 24)
