"""Mask and box: what is dropped, and the sentence that says why."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from terse.sources.cleanup import CleanupLimits, clean_up, examine, solidity
from terse.sources.coco import read_coco


def square(x0, y0, x1, y1):
    return [x0, y0, x1, y0, x1, y1, x0, y1]


@pytest.fixture
def cleaned(coco, note):
    """The reasons for dropping objects of a 200x100 image: one of these parts, and others."""

    def reasons(*others, **parts):
        notes = read_coco(*coco((200, 100), annotations=[note(**parts), *others]))
        result = clean_up(notes)
        assert len(result.kept.labels) == 1 + len(others) - len(result.dropped)
        return [verdict.reasons for verdict in result.dropped]

    return reasons


def test_a_sound_foreground_is_kept(cleaned):
    assert cleaned(bbox=[50, 20, 40, 60], segmentation=[square(50, 20, 90, 80)]) == []


def test_box_and_mask_must_agree(cleaned):
    assert cleaned(bbox=[50, 20, 80, 60], segmentation=[square(50, 20, 90, 80)]) == [
        ("box and mask's box overlap by 0.50, less than 0.7",)
    ]


def test_a_speck_is_dropped(cleaned):
    assert cleaned(bbox=[50, 20, 10, 30], segmentation=[square(50, 20, 60, 50)]) == [
        ("10x30 px, its longer side less than 32",)
    ]


def test_scraps_are_dropped(cleaned):
    frame = [square(50, 20, 110, 24), square(50, 20, 54, 80), square(50, 76, 110, 80)]
    assert cleaned(bbox=[50, 20, 60, 60], segmentation=frame) == [
        ("the mask fills 0.19 of its hull, less than 0.33",),
    ]


def test_a_mask_in_pieces_is_dropped(cleaned):
    assert cleaned(bbox=[50, 20, 60, 60], segmentation=[square(50, 20, 75, 80), square(85, 20, 110, 80)]) == [
        ("the largest part is 0.50 of the mask, less than 0.7",)
    ]


def test_an_object_that_is_annotated_twice_is_kept(cleaned, note):
    person = {"bbox": [50, 20, 40, 60], "segmentation": [square(50, 20, 90, 80)]}
    assert cleaned(note(id=2, **person), **person) == []


def test_a_mask_of_two_people_is_dropped(cleaned, note):
    behind = note(id=2, bbox=[70, 20, 20, 60], segmentation=None)
    assert cleaned(behind, bbox=[50, 20, 40, 60], segmentation=[square(50, 20, 90, 80)]) == [
        ("the mask covers 1.00 of another object's box, more than 0.75",)
    ]


def test_a_neighbour_of_another_class_may_be_covered(cleaned, note):
    tie = note(id=2, category_id=2, bbox=[70, 20, 20, 60], segmentation=None)
    assert cleaned(tie, bbox=[50, 20, 40, 60], segmentation=[square(50, 20, 90, 80)]) == []


def test_what_fills_the_image_is_dropped_and_what_leaves_it_on_one_side_is_not(cleaned):
    assert cleaned(bbox=[0, 0, 200, 100], segmentation=[square(0, 0, 200, 100)]) == [
        ("the image's border cuts 1.00 of its outline, more than 0.45",)
    ]
    assert cleaned(bbox=[0, 20, 40, 60], segmentation=[square(0, 20, 40, 80)]) == []


@given(arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.integers(0, 1)))
def test_solidity_by_the_ends_of_rows_is_that_by_all_pixels(mask):
    mask[-1, -1] = 1
    hull = cv2.convexHull(cv2.findNonZero(mask))
    filled = cv2.fillConvexPoly(np.zeros(mask.shape, dtype=np.uint8), hull, 1)
    assert solidity(mask) == float(mask.sum()) / float(filled.sum())


def test_an_empty_mask_is_dropped(cleaned):
    assert cleaned(bbox=[50, 20, 40, 60], segmentation=[[50.2, 20, 50.2, 80, 50.2, 20]]) == [("the mask is empty",)]


def test_every_reason_is_given_and_limits_can_be_set(coco, note):
    notes = read_coco(*coco(annotations=[note(bbox=[10, 5, 20, 20]), note(id=2, image_id=8)]))
    first, second = examine(notes)
    assert first.reasons == (
        "box and mask's box overlap by 0.50, less than 0.7",
        "10x20 px, its longer side less than 32",
    )
    assert (first.key, first.box_iou, first.solidity, first.largest_share) == ("set:a.png:1", 0.5, 1.0, 1.0)
    assert second.box_iou == 1.0
    assert [v.reasons for v in examine(notes, CleanupLimits(min_side_px=8, min_box_iou=0.4), workers=2)] == [(), ()]


def test_a_mask_file_that_is_gone_is_a_reason(coco, note):
    from dataclasses import replace

    from terse.sources.masks import FileMask

    notes = replace(read_coco(*coco()), masks=(FileMask("gone.png", "value", 1),))
    (verdict,) = examine(notes)
    assert verdict.reasons == (
        f"gone.png: expected an image file, got nothing at {notes.root / 'gone.png'}; restore it or leave it out",
    )


def test_objects_without_masks_and_crowds_are_not_judged(coco, note):
    notes = read_coco(*coco(annotations=[note(segmentation=None), note(id=2, iscrowd=1)]))
    result = clean_up(notes)
    assert len(result.kept.labels) == 2
    assert np.array_equal(result.kept.boxes_px, notes.boxes_px)
