"""Drawn scenes: the same for everybody, whatever is asked for first, with exact truth, harder to judge than to train."""

import numpy as np
import torch
from torch.nn import functional

from terse.compositing.truth import boxes_of_masks
from terse.sources.shapes.config import ShapesConfig
from terse.sources.shapes.scenes import CLASSES, EASY, HARD, SceneForegrounds, SceneImages, Scenes


def test_a_scene_is_a_function_of_its_seed_and_number():
    ahead, behind = (SceneImages(Scenes("train", 8, 48, EASY, 3)) for _ in range(2))
    first, truth = ahead.fetch(np.arange(8))
    assert all(torch.equal(behind.fetch(np.array([i]))[0][0], first[i]) for i in reversed(range(8)))
    assert not torch.equal(SceneImages(Scenes("val", 8, 48, EASY, 3)).fetch(np.arange(8))[0], first)
    assert not torch.equal(SceneImages(Scenes("train", 8, 48, EASY, 4)).fetch(np.arange(8))[0], first)
    assert truth.batch_size == 8
    assert (truth.image_index.diff() >= 0).all()


def test_boxes_are_tight_around_the_masks_and_objects_are_apart():
    for scene in Scenes("test", 40, 64, HARD, 0).fetch(np.arange(40)):
        assert 1 <= len(scene.labels) <= 3
        inked = np.stack(scene.masks) > 0
        assert inked.sum(axis=0).max() == 1
        for mask, box in zip(scene.masks, scene.boxes_px, strict=True):
            rows, columns = np.nonzero(mask > 127)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_foregrounds_go_round_the_classes_and_hold_no_background():
    scenes = Scenes("train", 9, 64, EASY, 1)
    bank = SceneForegrounds(scenes)
    cut = bank.fetch(np.array([4, 2]))
    assert bank.labels.tolist() == [0, 1, 2] * 3
    assert cut.labels.tolist() == [1, 2]
    assert [scene.labels[0] for scene in scenes.fetch(np.array([4, 2]))] == [1, 2]
    assert set(cut.alpha.unique().tolist()) == {0.0, 1.0}
    assert (cut.images * (1 - cut.alpha)).abs().max() == 0
    assert (cut.alpha[:, 0].any(dim=1).sum(dim=1) == 64).all()  # as wide as the patch
    # One colour and its shade: what is cut out varies little beside what is around it.
    assert cut.images[0][:, cut.alpha[0, 0] == 1].std(dim=1).max() < 0.1


def test_what_judges_is_smaller_turned_and_cut():
    def measured(style):
        _, truth = SceneImages(Scenes("x", 150, 96, style, 2)).fetch(np.arange(150))
        size = (truth.boxes_px[:, 2:] - truth.boxes_px[:, :2]).amax(dim=1)
        at_border = (truth.boxes_px[:, :2] <= 0).any(dim=1) | (truth.boxes_px[:, 2:] >= 96).any(dim=1)
        return size.median(), at_border.float().mean()

    (easy_size, easy_cut), (hard_size, hard_cut) = measured(EASY), measured(HARD)
    assert hard_size < 0.75 * easy_size
    assert hard_cut > easy_cut + 0.2


def test_the_recipe_builds_all_that_a_run_needs():
    data = ShapesConfig(train=4, val=3, test=2, backgrounds=5, canvas_px=40).build()
    assert data.classes == CLASSES
    assert [len(part) for part in (data.foregrounds, data.backgrounds, data.train, data.val, data.test)] == [
        4,
        5,
        4,
        3,
        2,
    ]
    drawn = data.backgrounds.fetch(np.array([3, 0]))
    assert drawn.images.shape == (2, 3, 40, 40)
    assert len(drawn.truth.labels) == 0
    assert drawn.truth.batch_size == 2


def test_masks_fill_the_boxes_and_join_batches_of_any_size():
    images = SceneImages(Scenes("test", 12, 64, HARD, 0))
    _, truth = images.fetch(np.arange(12))
    assert torch.equal(boxes_of_masks(truth.masks), truth.boxes_px)
    assert truth.keypoints is None
    assert images.fetch(np.zeros(0, dtype=np.int64))[1].masks.shape == (0, 64, 64)


def test_an_arrow_has_a_tip_and_a_tail_in_scenes_and_on_its_patch():
    scenes = Scenes("test", 30, 64, HARD, 3, ("arrow", "circle"))
    _, truth = SceneImages(scenes).fetch(np.arange(30))
    arrows = truth.labels == 0
    assert not truth.keypoints[~arrows].any()
    near = functional.max_pool2d(truth.masks[:, None].float(), 5, 1, 2)[:, 0] > 0
    for points, mask, box in zip(truth.keypoints[arrows], near[arrows], truth.boxes_px[arrows], strict=True):
        seen = points[points[:, 2] > 0]
        assert all(mask[int(y), int(x)] for x, y, _ in seen)
        if len(seen) == 2:  # as far apart as the arrow is long
            assert (seen[0] - seen[1]).norm() > 0.7 * (box[2:] - box[:2]).max()
    cut = SceneForegrounds(Scenes("train", 4, 64, EASY, 1, ("arrow",))).fetch(np.arange(4))
    assert torch.allclose(cut.keypoints[:, :, :2], torch.tensor([[0.0, -1.0], [0.0, 1.0]]), atol=0.08)
    assert SceneForegrounds(Scenes("train", 4, 64, EASY, 1)).fetch(np.arange(4)).keypoints is None
