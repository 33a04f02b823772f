"""The pool as images: the truth of an image is its own objects, however many there are of each."""

import numpy as np
import torch

from terse.training.pool_images import PoolImages
from terse.types import Truth


def test_as_many_objects_as_images_need_not_be_one_in_each():
    drawn = object.__new__(PoolImages)  # as if rendered: two objects in the first image, none in the second
    no = torch.zeros(2, dtype=torch.bool)
    drawn._images = torch.arange(2.0)[:, None, None, None]
    drawn._truth = Truth(torch.tensor([0, 1]), torch.zeros(2, 4), torch.tensor([0, 0]), ~no, no, 2)
    images, truth = drawn.fetch(np.array([1, 0]))
    assert images.flatten().tolist() == [1, 0]
    assert truth.labels.tolist() == [0, 1]
    assert truth.image_index.tolist() == [1, 1]
