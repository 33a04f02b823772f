"""Banks of photographs: what is fetched, in which shape, and that threads and limits change nothing."""

import numpy as np
import pytest
import torch

from terse.errors import DataError
from terse.protocols import BackgroundBank, ForegroundBank, RealImages
from terse.sources.banks import PhotoBackgrounds, PhotoImages
from terse.sources.coco import read_coco
from terse.sources.photo_foregrounds import PhotoForegrounds


def test_a_foreground_fills_its_patch_by_its_longer_side(coco):
    bank = PhotoForegrounds(read_coco(*coco()), ["person"], patch_px=64, squash=False)
    cut = bank.fetch(np.array([0]))
    assert cut.images.shape == (1, 3, 64, 64)
    inside = cut.alpha[0, 0] == 1
    assert set(cut.alpha.unique().tolist()) == {0.0, 1.0}
    rows, columns = torch.nonzero(inside.any(1)).flatten(), torch.nonzero(inside.any(0)).flatten()
    assert (int(rows[0]), int(rows[-1]) + 1) == (0, 64)  # 20 px high, the longer side
    assert (int(columns[0]), int(columns[-1]) + 1) == (16, 48)  # 10 px wide, centred
    assert not cut.images[0][:, ~inside].any()


def test_squash_gives_the_foreground_the_shape_it_has_in_its_squashed_image(coco):
    bank = PhotoForegrounds(read_coco(*coco()), ["person"], patch_px=60)
    inside = bank.fetch(np.array([0])).alpha[0, 0] == 1
    # 10/40 by 20/30 of its image: 3 to 8.
    assert (int(inside.any(1).sum()), int(inside.any(0).sum())) == (60, 22)


def test_a_foreground_has_the_colours_of_its_photograph(coco, save, tmp_path):
    file, images = coco()
    pixels = save(images / "a.png", seed=5)
    cut = PhotoForegrounds(read_coco(file, images), patch_px=20, squash=False, classes=["person"]).fetch(np.array([0]))
    expected = torch.from_numpy(pixels[5:25, 10:20].copy()).permute(2, 0, 1).float() / 255
    assert torch.equal(cut.images[0, :, :, 5:15], expected)


def test_no_colour_from_outside_the_mask_bleeds_in(coco, tmp_path):
    from PIL import Image

    file, images = coco()
    pixels = np.full((30, 40, 3), 255, dtype=np.uint8)
    pixels[5:25, 10:20] = (200, 20, 40)
    Image.fromarray(pixels).save(images / "a.png")
    for side in (7, 13, 90):
        cut = PhotoForegrounds(read_coco(file, images), ["person"], patch_px=side).fetch(np.array([0]))
        seen = cut.images[0].permute(1, 2, 0)[cut.alpha[0, 0] == 1]
        assert torch.allclose(seen * 255, torch.tensor([200.0, 20.0, 40.0]), atol=1)


def test_images_and_their_truth_are_squashed_alike(coco, note):
    crowd = note(id=2, iscrowd=1, bbox=[0, 0, 40, 15], segmentation=None)
    dog = note(id=3, image_id=8, category_id=2, bbox=[20, 15, 10, 15], segmentation=None)
    bank = PhotoImages(read_coco(*coco(annotations=[note(), crowd, dog])), ["dog", "person"], canvas_px=120)
    images, truth = bank.fetch(np.array([1, 0]))
    assert images.shape == (2, 3, 120, 120)
    assert truth.boxes_px.tolist() == [[60, 60, 90, 120], [30, 20, 60, 100], [0, 0, 120, 60]]
    assert truth.labels.tolist() == [0, 1, 1]
    assert truth.image_index.tolist() == [0, 1, 1]
    assert truth.ignore.tolist() == [False, False, True]
    assert not truth.pasted.any()


def test_backgrounds_keep_their_own_objects_and_masks(coco, note):
    boxed = note(id=2, bbox=[0, 0, 4, 3], segmentation=None)
    bank = PhotoBackgrounds(read_coco(*coco(annotations=[note(), boxed])), ["person"], canvas_px=60)
    drawn = bank.fetch(np.array([0]))
    assert drawn.truth.masks.shape == (2, 60, 60)
    expected = torch.zeros(2, 60, 60, dtype=torch.bool)
    expected[0, 10:50, 15:30] = True
    expected[1, 0:6, 0:6] = True  # no mask: the filled box
    assert torch.equal(drawn.truth.masks, expected)
    assert drawn.truth.boxes_px.tolist() == [[15, 10, 30, 50], [0, 0, 6, 6]]


def test_without_squash_the_middle_square_is_taken(coco, note):
    edge = note(id=2, bbox=[0, 0, 3, 30], segmentation=None)
    bank = PhotoBackgrounds(read_coco(*coco(annotations=[note(), edge])), ["person"], canvas_px=30, squash=False)
    drawn = bank.fetch(np.array([0]))
    assert drawn.truth.boxes_px.tolist() == [[5, 5, 15, 25]]  # 5 px are cut off on the left, the edge's box with them
    assert drawn.truth.masks[0, 5:25, 5:15].all()
    assert int(drawn.truth.masks.sum()) == 200


def test_an_object_thinner_than_half_a_pixel_of_the_canvas_has_a_mask(coco, note):
    tiny = {"bbox": [13, 9, 1, 1], "segmentation": [[13, 9, 14, 9, 14, 10, 13, 10]]}
    bank = PhotoBackgrounds(read_coco(*coco(annotations=[note(**tiny)])), ["person"], canvas_px=10)
    (mask,) = bank.fetch(np.array([0])).truth.masks
    assert mask.nonzero().tolist() == [[3, 3]]


def test_an_object_whose_mask_has_no_pixel_is_its_box_and_ignored_where_masks_are_learned(coco, note):
    empty = {"bbox": [8, 6, 8, 6], "segmentation": {"size": [30, 40], "counts": [1200]}}
    annotations = read_coco(*coco(annotations=[note(), note(id=2, **empty)]))
    for needed in (False, True):
        bank = PhotoBackgrounds(annotations, ["person"], canvas_px=60, masks=needed)
        truth = bank.fetch(np.array([0])).truth
        assert truth.masks[1, 12:24, 12:24].all()
        assert int(truth.masks[1].sum()) == 12 * 12
        assert truth.ignore.tolist() == [False, needed]
    _, truth = PhotoImages(annotations, ["person"], canvas_px=60, masks=True).fetch(np.array([0]))
    assert truth.ignore.tolist() == [False, True]


def test_objects_of_other_classes_are_dropped_and_masks_are_none_without_any(coco, note):
    file, images = coco(annotations=[note(category_id=2)])
    drawn = PhotoBackgrounds(read_coco(file, images), ["person"], canvas_px=30).fetch(np.array([0, 1]))
    assert drawn.truth.masks is None
    assert len(drawn.truth.labels) == 0
    assert drawn.truth.batch_size == 2


def test_workers_and_the_limit_change_nothing(coco, note):
    notes = read_coco(*coco(annotations=[note(id=i, bbox=[i, 2, 9, 9 + i]) for i in range(9)]))
    notes = notes.with_classes(["person"])
    order = np.array([3, 1, 1, 8, 0, 3, 7])
    plain = PhotoForegrounds(notes, patch_px=33, keep_bytes=0).fetch(order)
    threaded = PhotoForegrounds(notes, patch_px=33, workers=3)
    threaded.prefetch(np.arange(9))
    for _ in range(2):
        again = threaded.fetch(order)
        assert torch.equal(plain.images, again.images)
        assert torch.equal(plain.alpha, again.alpha)
        assert torch.equal(plain.hull, again.hull)


def test_keys_files_and_images_say_where_a_foreground_is_from(coco, note):
    file, images = coco(annotations=[note(), note(id=2), note(id=3, image_id=8), note(id=4, segmentation=None)])
    bank = PhotoForegrounds(read_coco(file, images), ["person"], patch_px=20)
    assert bank.keys == ("set:a.png:1", "set:a.png:2", "set:b.png:3")
    assert bank.image_of.tolist() == [0, 0, 1]
    assert bank.files == (str(images / "a.png"), str(images / "a.png"), str(images / "b.png"))
    assert bank.labels.tolist() == [0, 0, 0]


def test_no_masks_at_all_is_an_error(coco, note):
    notes = read_coco(*coco(annotations=[note(segmentation=None), note(id=2, iscrowd=1)]))
    with pytest.raises(DataError) as error:
        PhotoForegrounds(notes, patch_px=20)
    assert str(error.value) == (
        "foregrounds: expected objects with masks in set, got 2 objects, none with a mask that can be cut out; "
        "make masks of the boxes by `terse masks`, or use annotations with polygons, run lengths or mask files"
    )


def test_a_class_without_a_foreground_is_an_error(coco):
    with pytest.raises(DataError) as error:
        PhotoForegrounds(read_coco(*coco()), patch_px=20)
    assert str(error.value) == (
        "foregrounds: expected an object with a mask of each class in set, got none of dog; "
        "name the classes to paste in foregrounds.classes"
    )


def test_a_file_that_changed_since_it_was_indexed_is_named(coco, save):
    file, images = coco()
    bank = PhotoImages(read_coco(file, images), canvas_px=20)
    save(images / "a.png", 50, 30)
    with pytest.raises(DataError) as error:
        bank.fetch(np.array([1, 0]))
    assert str(error.value) == (
        "a.png: expected 40x30 as when it was indexed, got 50x30; the file was changed: start again"
    )


def test_banks_are_what_the_players_expect(coco):
    notes = read_coco(*coco())
    foregrounds: ForegroundBank = PhotoForegrounds(notes, ["person"], patch_px=20)
    backgrounds: BackgroundBank = PhotoBackgrounds(notes, canvas_px=20)
    images: RealImages = PhotoImages(notes, canvas_px=20)
    assert (len(foregrounds), len(backgrounds), len(images)) == (1, 2, 2)
    assert len(foregrounds.fetch(np.zeros(0, dtype=np.int64))) == 0
    assert len(backgrounds.fetch(np.zeros(0, dtype=np.int64))) == 0


def test_real_images_without_an_object_of_the_task_are_an_error(coco):
    with pytest.raises(DataError) as error:
        PhotoImages(read_coco(*coco()), ["dog"], canvas_px=20)
    assert str(error.value) == (
        "set: expected objects of dog in its 2 images, got none; name the task's classes by classes, or give it labels"
    )


def test_keypoints_move_with_their_image(coco, note):
    points = note(keypoints=[10, 15, 2, 0, 0, 0])
    _, truth = PhotoImages(read_coco(*coco(annotations=[points])), canvas_px=80).fetch(np.array([0, 1]))
    assert truth.keypoints.tolist() == [[[20, 40, 2], [0, 0, 0]]]
    assert PhotoImages(read_coco(*coco()), canvas_px=80).fetch(np.array([0]))[1].keypoints is None


def test_where_the_task_learns_from_masks_an_object_without_one_is_ignored(coco, note):
    dog = note(id=2, category_id=2, bbox=[20, 15, 10, 15], segmentation=None)
    index = read_coco(*coco(annotations=[note(), dog]))
    _, truth = PhotoImages(index, canvas_px=120, masks=True).fetch(np.array([0]))
    assert truth.ignore.tolist() == [False, True]
    assert truth.masks[0].any()
    assert not truth.masks[0][:, :30].any()
    assert PhotoImages(index, canvas_px=120).fetch(np.array([0]))[1].masks is None
    with pytest.raises(DataError) as caught:
        PhotoImages(read_coco(*coco(annotations=[dog])), canvas_px=120, masks=True)
    assert str(caught.value) == (
        "set: expected objects with masks, which the task learns from, got 1 with boxes alone; make masks of the "
        "boxes by `terse masks`, or train a detector (task: detection)"
    )
