"""Truth: its columns stay together when batches are taken apart, joined and moved."""

from dataclasses import fields, replace

import pytest
import torch

from terse.errors import ShapeError
from terse.types import Truth


def _truth(images: list[int], batch_size: int, *, whole: bool = True) -> Truth:
    n = len(images)
    number = torch.arange(n)
    odd = number % 2 == 1
    return Truth(
        labels=number,
        boxes_px=number[:, None].float().expand(n, 4),
        image_index=torch.tensor(images, dtype=torch.int64),
        pasted=odd,
        ignore=~odd,
        batch_size=batch_size,
        masks=odd[:, None, None].expand(n, 2, 3) if whole else None,
        keypoints=number[:, None, None].float().expand(n, 2, 3) if whole else None,
        values=number[:, None].float() if whole else None,
    )


def test_take_keeps_every_column_of_the_chosen_images() -> None:
    some = _truth([0, 0, 2, 3, 3, 3], 5).take([3, 1, 0, 3])
    assert some.labels.tolist() == [3, 4, 5, 0, 1, 3, 4, 5]
    assert some.image_index.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert some.batch_size == 4
    for name in ("boxes_px", "keypoints", "values"):
        assert getattr(some, name).flatten(1)[:, 0].tolist() == some.labels.tolist()
    assert torch.equal(some.pasted, some.labels % 2 == 1)
    assert torch.equal(some.masks[:, 0, 0], some.pasted)
    assert torch.equal(some.ignore, ~some.pasted)


def test_batches_taken_apart_and_joined_are_equal() -> None:
    whole = _truth([0, 0, 2, 3, 3, 3], 5)
    again = Truth.join([whole.take([0, 1]), whole.take([]), whole.take([2, 3, 4])]).to("cpu")
    for field in fields(Truth):
        one, other = getattr(again, field.name), getattr(whole, field.name)
        assert one == other if isinstance(one, int) else torch.equal(one, other), field.name


def test_images_without_objects_join_with_any_others() -> None:
    joined = Truth.join([Truth.empty(2), _truth([0], 1)])
    assert joined.image_index.tolist() == [2]
    assert joined.masks.shape == (1, 2, 3)
    assert Truth.join([Truth.empty(2), Truth.empty(1)]).masks is None


def test_masks_are_not_dropped_without_a_word() -> None:
    with pytest.raises(ShapeError) as error:
        Truth.join([_truth([0], 1), _truth([0], 1, whole=False)])
    assert str(error.value) == (
        "masks: expected all parts of a batch to have them or none, got 1 with and 1 without; give them to every part"
    )


def test_parts_without_keypoints_join_as_not_annotated() -> None:
    some = replace(_truth([0], 1, whole=False), keypoints=torch.tensor([[[3.0, 4.0, 2.0]]]))
    joined = Truth.join([some, _truth([0, 0], 1, whole=False), Truth.empty(1)])
    assert joined.keypoints.tolist() == [[[3, 4, 2]], [[0, 0, 0]], [[0, 0, 0]]]
