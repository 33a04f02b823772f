"""SSD's own augmentation: boxes stay on their objects, draws are the generator's, and other draws stay as they were."""

import pytest
import torch

from terse.errors import RecipeError
from terse.recipe import load_recipe
from terse.training.augment import augmented, ssd_augmentation
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
