"""Instances from a class segmentation: which boxes get one, and how class numbers are found."""

import numpy as np
from PIL import Image

from drawn_boxes import blob, box_of, voc
from terse.masks.segmentation import class_numbers, find_segmentation, instance, read_segmentation
from terse.sources.voc import read_voc


def seen(annotations):
    folder = find_segmentation(annotations)
    values = read_segmentation(annotations, 0, folder)
    numbers = class_numbers(annotations, lambda image: read_segmentation(annotations, image, folder))
    return values, numbers


def test_boxes_that_share_no_pixels_get_their_instances(tmp_path):
    left, right = blob((30, 40), (20, 25)), blob((90, 50), (18, 22))
    annotations = read_voc(voc(tmp_path, [("cat", 8, left, box_of(left)), ("cat", 8, right, box_of(right))]))
    values, numbers = seen(annotations)
    assert numbers == {0: 8}
    np.testing.assert_array_equal(instance(annotations, 0, values, numbers), left)
    np.testing.assert_array_equal(instance(annotations, 1, values, numbers), right)


def test_boxes_of_a_class_that_share_its_pixels_get_none_and_other_classes_do_not_matter(tmp_path):
    one, two, other = blob((40, 45), (25, 25)), blob((60, 45), (25, 25)), blob((50, 20), (12, 12))
    objects = [("cat", 8, one, box_of(one)), ("cat", 8, two, box_of(two)), ("dog", 12, other, box_of(other))]
    annotations = read_voc(voc(tmp_path, objects))
    values, numbers = seen(annotations)
    assert numbers == {0: 8, 1: 12}
    assert instance(annotations, 0, values, numbers) is None
    assert instance(annotations, 1, values, numbers) is None
    np.testing.assert_array_equal(instance(annotations, 2, values, numbers), other)


def test_hardly_any_pixel_of_the_class_in_a_box_is_no_instance(tmp_path):
    cat = blob((30, 40), (20, 25))
    objects = [("cat", 8, cat, box_of(cat)), ("cat", 8, np.zeros_like(cat), (80.0, 20.0, 110.0, 80.0))]
    annotations = read_voc(voc(tmp_path, objects))
    values, numbers = seen(annotations)
    assert instance(annotations, 1, values, numbers) is None


def test_a_file_that_is_missing_or_of_another_size_tells_nothing(tmp_path):
    cat = blob((30, 40), (20, 25))
    annotations = read_voc(voc(tmp_path, [("cat", 8, cat, box_of(cat))]))
    folder = find_segmentation(annotations)
    Image.new("L", (10, 10)).save(folder / "a.png")
    assert read_segmentation(annotations, 0, folder) is None
    (folder / "a.png").unlink()
    assert read_segmentation(annotations, 0, folder) is None
    assert class_numbers(annotations, lambda image: read_segmentation(annotations, image, folder)) == {}
