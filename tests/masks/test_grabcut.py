"""Cutting by boxes: what is found, when the ellipse is taken, and that nothing depends on what was cut before."""

import cv2
import numpy as np

from drawn_boxes import blob, box_of, picture
from terse.masks.grabcut import GrabCut


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_an_object_of_another_colour_is_found():
    mask = blob((60, 45), (22, 30))
    mask[:45, 60:] = False  # three quarters of an ellipse, so that the ellipse itself would miss it
    found = GrabCut().cut(picture([mask]), [box_of(mask)])[0]
    assert found.dtype == np.bool_
    assert found.shape == (90, 120)
    assert iou(found, mask) > 0.93


def test_a_mask_is_the_same_at_every_call_whatever_was_cut_before():
    masks = [blob((35, 40), (20, 25)), blob((90, 50), (18, 22))]
    image = picture(masks)
    boxes = [box_of(mask) for mask in masks]
    both = GrabCut().cut(image, boxes)
    np.testing.assert_array_equal(GrabCut().cut(image, boxes[1:])[0], both[1])
    np.testing.assert_array_equal(GrabCut().cut(image, boxes[::-1])[0], both[1])


def test_nothing_to_tell_apart_gives_the_inscribed_ellipse():
    plain = np.full((90, 120, 3), 128, np.uint8)
    found = GrabCut().cut(plain, [(20.0, 10.0, 80.0, 70.0)])[0]
    assert iou(found, blob((50, 40), (30, 30))) > 0.97


def test_a_box_of_the_whole_image_and_one_that_sticks_out_are_cut():
    mask = blob((60, 45), (59, 44))
    whole, beyond = GrabCut().cut(picture([mask]), [(0.0, 0.0, 120.0, 90.0), (-20.0, -10.0, 130.0, 95.0)])
    assert iou(whole, mask) > 0.9
    assert beyond.any()


def test_a_box_below_a_pixel_is_cut_in_little_memory(monkeypatch):
    sizes, resize = [], cv2.resize
    monkeypatch.setattr(cv2, "resize", lambda image, size, **how: sizes.append(size) or resize(image, size, **how))
    image = picture([blob((60, 45), (22, 30))])
    tiny = [(10.0, 10.0, 10.001, 10.001), (10.2, 10.2, 10.6, 10.6), (119.5, 10.0, 120.0, 10.5)]
    assert [mask.shape for mask in GrabCut().cut(image, tiny)] == [(90, 120)] * 3
    assert max(max(size) for size in sizes) <= 3 * GrabCut().side_px
