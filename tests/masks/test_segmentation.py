"""Instances from a class segmentation: which boxes get one, and how class numbers are found."""

import json

import numpy as np
import pytest
from PIL import Image

from drawn_boxes import SIZE_PX, blob, box_of, voc
from terse.masks.segmentation import (
    class_numbers,
    find_segmentation,
    instance,
    is_own,
    read_segmentation,
    segmentation_files,
)
from terse.sources.coco import read_coco
from terse.sources.voc import read_voc


def seen(annotations):
    found = segmentation_files(annotations, find_segmentation(annotations))
    values = read_segmentation(annotations, 0, found)
    numbers = class_numbers(annotations, lambda image: read_segmentation(annotations, image, found))
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
    found = segmentation_files(annotations, folder)
    Image.new("L", (10, 10)).save(folder / "a.png")
    assert read_segmentation(annotations, 0, found) is None
    (folder / "a.png").unlink()
    assert read_segmentation(annotations, 0, found) is None
    assert class_numbers(annotations, lambda image: read_segmentation(annotations, image, found)) == {}
    assert segmentation_files(annotations, folder).files == {}


def photographs(root, *names):
    """Annotations of photographs that are there, and have no objects."""
    width, height = SIZE_PX
    for name in names:
        (root / "D" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE_PX).save(root / "D" / name)
    images = [{"id": i, "file_name": name, "width": width, "height": height} for i, name in enumerate(names)]
    (root / "all.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return read_coco(root / "all.json", root / "D")


@pytest.mark.parametrize(
    ("names", "there", "found", "shared"),
    [
        (["0.jpg", "1.jpg"], ["0", "1"], {0: "0", 1: "1"}, ()),
        (["a/0.jpg", "b/1.jpg"], ["0", "1"], {0: "0", 1: "1"}, ()),
        (["a/0.jpg", "b/0.jpg"], ["0"], {}, (0, 1)),
        (["a/0.jpg", "b/0.jpg"], ["0", "a/0", "b/0"], {0: "a/0", 1: "b/0"}, ()),
        (["a/0.jpg", "b/0.jpg", "c/1.jpg"], ["0", "b/0", "1"], {1: "b/0", 2: "1"}, (0,)),
        (["0.jpg", "a/0.jpg"], ["0"], {0: "0"}, (1,)),
        (["images/a/0.jpg", "images/b/0.jpg"], ["a/0", "b/0"], {0: "a/0", 1: "b/0"}, ()),
        (["x/a/0.jpg", "a/0.jpg"], ["a/0"], {1: "a/0"}, (0,)),
        (["0.jpg", "0.png"], ["0"], {}, (0, 1)),
        (["0.jpg", "0.jpg"], ["0"], {0: "0", 1: "0"}, ()),
        (["a.b.jpg"], ["a.b", "a"], {0: "a.b"}, ()),
    ],
)
def test_a_file_is_an_images_by_its_path_or_by_an_end_of_it_that_no_other_has(tmp_path, names, there, found, shared):
    folder = tmp_path / "SegmentationClass"
    for name in there:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SIZE_PX).save(folder / f"{name}.png")
    annotations = photographs(tmp_path, *names)
    assert [*annotations.paths] == names
    seen = segmentation_files(annotations, folder)
    assert seen.files == {image: folder / f"{name}.png" for image, name in found.items()}
    assert seen.shared == shared
    assert not is_own(annotations, folder)


def test_each_year_of_a_devkit_has_its_own_files_and_a_folder_from_elsewhere_is_taken_instead(tmp_path):
    cat = blob((30, 40), (20, 25))
    for year in ("VOC2007", "VOC2012"):
        voc(tmp_path / "kit" / year, [("cat", 8, cat, box_of(cat))])
    annotations = read_voc(tmp_path / "kit", ("VOC2007", "VOC2012"))
    own = find_segmentation(annotations)
    assert is_own(annotations, own)
    years = {i: tmp_path / "kit" / year / "SegmentationClass/a.png" for i, year in enumerate(("VOC2007", "VOC2012"))}
    assert segmentation_files(annotations, own).files == years
    other = tmp_path / "SegmentationClass"
    (other / "VOC2007/JPEGImages").mkdir(parents=True)
    Image.new("L", SIZE_PX).save(other / "VOC2007/JPEGImages/a.png")
    assert segmentation_files(annotations, other).files == {0: other / "VOC2007/JPEGImages/a.png"}
