"""Areas of boxes by hand."""

import numpy as np

from terse.boxes import areas, iou, shared_areas

BOXES = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 20, 30]])


def test_areas_and_what_boxes_share():
    assert areas(BOXES).tolist() == [100, 100, 0]
    assert shared_areas(BOXES[:2], BOXES).tolist() == [[100, 50, 0], [50, 100, 0]]


def test_iou():
    assert np.allclose(iou(BOXES[:2], BOXES), [[1, 1 / 3, 0], [1 / 3, 1, 0]])
    assert iou(BOXES[2:], BOXES[2:]).tolist() == [[0]]  # an empty box shares nothing, not even with itself
    endless = np.array([[0.0, 0, np.inf, np.inf], [np.nan, 0, 1, 1]])
    assert iou(endless, endless).tolist() == [[0, 0], [0, 0]]
    assert iou(BOXES[:0], BOXES).shape == (0, 3)
