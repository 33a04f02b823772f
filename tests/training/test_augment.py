"""SSD's own augmentation: boxes stay on their objects, draws are the generator's, and other draws stay as they were."""

from dataclasses import replace

import pytest
import torch

from terse.compositing.truth import boxes_of_masks
from terse.errors import RecipeError
from terse.recipe import load_recipe
from terse.training.augment import augmented, flip_and_crop, ssd_augmentation
from terse.types import Truth


def scenes(count, side=96):
    """Grey images with one red square each, at random places, and its box."""
    generator = torch.Generator().manual_seed(3)
    images = torch.full((count, 3, side, side), 0.5)
    corners = torch.randint(4, side - 44, (count, 2), generator=generator)
    boxes = torch.cat([corners, corners + 36], dim=1).float()
    for image, (x, y) in zip(images, corners.tolist(), strict=True):
        image[:, y : y + 36, x : x + 36] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    index = torch.arange(count)
    pasted, ignore = index % 2 == 0, index % 3 == 0
    return images, Truth(index.clone(), boxes, index, pasted, ignore, count)


def test_boxes_hold_what_they_held():
    images, truth = scenes(40)
    made, moved = ssd_augmentation(images, truth, torch.Generator().manual_seed(0))
    assert made.shape == images.shape
    assert moved.batch_size == 40
    sizes = (moved.boxes_px[:, 2:] - moved.boxes_px[:, :2]).prod(1).sqrt()
    assert sizes.min() < 24 < 60 < sizes.max()  # expanded and cropped
    agree = []
    for label, box, number in zip(moved.labels, moved.boxes_px, moved.image_index, strict=True):
        assert label == number  # each row kept what belongs to it
        image = made[number]
        # Distortion may swap channels and shift colours: the square is what differs from the image's other pixels.
        spread = image.amax(0) - image.amin(0)
        x0, y0, x1, y1 = box.round().int().tolist()
        inside = torch.zeros(96, 96, dtype=torch.bool)
        inside[y0:y1, x0:x1] = True
        agree.append(bool(spread[inside].mean() > spread[~inside].mean() + 0.1) if (~inside).any() else True)
    assert sum(agree) >= 0.9 * len(agree)
    assert torch.equal(moved.pasted, moved.labels % 2 == 0)
    assert torch.equal(moved.ignore, moved.labels % 3 == 0)


def test_draws_are_the_generators_alone():
    images, truth = scenes(6)
    torch.manual_seed(1)
    first = ssd_augmentation(images, truth, torch.Generator().manual_seed(7))
    after = torch.rand(1)
    torch.manual_seed(2)
    again = ssd_augmentation(images, truth, torch.Generator().manual_seed(7))
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)  # the global generator is where it was
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1].boxes_px, again[1].boxes_px)


def test_images_without_an_object_are_augmented_too():
    images, _ = scenes(3)
    made, moved = augmented("ssd", images, Truth.empty(3), torch.Generator().manual_seed(0))
    assert (len(moved.labels), moved.batch_size, made.shape) == (0, 3, images.shape)
    assert augmented(False, images, moved, torch.Generator())[0] is images


def test_a_recipe_names_it():
    assert load_recipe("shapes", ["fine_tune.augment=ssd"]).fine_tune.augment == "ssd"
    with pytest.raises(RecipeError, match="augment"):
        load_recipe("shapes", ["fine_tune.augment=sdd"])


def scene() -> tuple[torch.Tensor, Truth]:
    """A white box on black in each of 64 images."""
    masks = torch.zeros(64, 40, 40, dtype=torch.bool)
    masks[:, 8:28, 10:22] = True
    boxes = boxes_of_masks(masks)
    truth = replace(Truth.of_images(torch.zeros(64, dtype=torch.int64), boxes), masks=masks)
    return masks[:, None].float().expand(-1, 3, -1, -1), truth


def test_masks_follow_the_pixels() -> None:
    images, truth = scene()
    out, moved = flip_and_crop(images, truth, torch.Generator().manual_seed(0))
    assert moved.masks is not None
    assert torch.equal(moved.masks, out[:, 0] > 0.5)
    seen = ~moved.ignore
    assert (boxes_of_masks(moved.masks) - moved.boxes_px)[seen].abs().max() <= 1


def test_keypoints_follow_the_pixels_and_nothing_is_mirrored() -> None:
    images, truth = scene()
    points = torch.tensor([[10.0, 8.0, 2.0], [22.0, 28.0, 1.0], [0.0, 0.0, 0.0]]).expand(64, 3, 3)
    _, moved = flip_and_crop(images, replace(truth, keypoints=points), torch.Generator().manual_seed(0))
    assert moved.keypoints is not None
    assert not moved.keypoints[:, 2].any()
    corners = moved.keypoints[:, :2]
    whole = (corners[..., 2] > 0).all(dim=1)
    assert 30 < whole.sum() < 64
    assert torch.allclose(corners[whole][:, :, :2].flatten(1), moved.boxes_px[whole], atol=1e-3)
    assert moved.boxes_px[whole].ne(truth.boxes_px[whole]).any()
