"""`Paste` on small batches whose outcome can be worked out by hand, in torchvision's conventions."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from terse.errors import RecipeError, ShapeError
from terse.poses import AffinePoses
from terse.transforms import Paste


def sample(value: int, boxes: list[tuple[int, int, int, int]], size: int = 20, dtype: torch.dtype = torch.uint8):
    masks = torch.zeros(len(boxes), size, size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    image = torch.full((3, size, size), value, dtype=torch.uint8)
    image = image if dtype == torch.uint8 else image.to(dtype) / 255
    target = {
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), format="XYXY", canvas_size=(size, size)
        ),
        "masks": tv_tensors.Mask(masks),
        "labels": torch.arange(len(boxes)) + value,
        "area": masks.flatten(1).sum(dim=1).float(),
        "iscrowd": torch.zeros(len(boxes), dtype=torch.int64),
        "image_id": value,
    }
    return tv_tensors.Image(image), target


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_square_is_pasted_where_it_stood(dtype: torch.dtype) -> None:
    # The donor of the second image is the first: its square (4..10) covers the right half of the second's (0..8).
    first, second = (
        sample(10, [(4, 2, 10, 12)], dtype=dtype),
        sample(200, [(0, 0, 8, 20), (15, 15, 18, 18)], dtype=dtype),
    )
    paste = Paste(blur_sigma_px=0)
    images, targets = paste([first[0], second[0]], [first[1], second[1]])
    new, target = images[1], targets[1]
    expected = second[0].clone()
    expected[:, 2:12, 4:10] = first[0][:, 2:12, 4:10]
    assert torch.equal(new, expected)
    assert isinstance(new, tv_tensors.Image)
    assert target["labels"].tolist() == [200, 201, 10]
    assert target["boxes"].tolist() == [[0, 0, 8, 20], [15, 15, 18, 18], [4, 2, 10, 12]]
    assert target["area"].tolist() == [160 - 40, 9, 60]
    assert target["masks"].flatten(1).sum(dim=1).tolist() == [120, 9, 60]
    assert isinstance(target["boxes"], tv_tensors.BoundingBoxes)
    assert isinstance(target["masks"], tv_tensors.Mask)
    assert target["masks"].dtype == torch.bool
    assert target["image_id"] == 200


def test_inputs_are_not_changed() -> None:
    batch = [sample(10, [(4, 2, 10, 12)]), sample(200, [(0, 0, 8, 20)])]
    before = [image.clone() for image, _ in batch], [{k: _copy(v) for k, v in t.items()} for _, t in batch]
    Paste(poses=None)([image for image, _ in batch], [target for _, target in batch])
    for (image, target), old, kept in zip(batch, *before, strict=True):
        assert torch.equal(image, old)
        assert all(_same(target[key], kept[key]) for key in kept)


def _copy(value: object) -> object:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _same(a: object, b: object) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b


def test_boxes_shrink_to_what_is_left_and_hidden_objects_go() -> None:
    donor = sample(1, [(0, 0, 20, 10)])
    below = sample(2, [(5, 5, 15, 15), (2, 2, 6, 6), (0, 8, 4, 18)])
    _, targets = Paste(blur_sigma_px=0)([donor[0], below[0]], [donor[1], below[1]])
    assert targets[1]["boxes"].tolist() == [[5, 10, 15, 15], [0, 10, 4, 18], [0, 0, 20, 10]]
    assert targets[1]["labels"].tolist() == [2, 4, 1]
    _, targets = Paste(blur_sigma_px=0, min_visible=0.7)([donor[0], below[0]], [donor[1], below[1]])
    assert targets[1]["labels"].tolist() == [4, 1]  # a half is left of the first, four fifths of the third


def test_later_pastes_hide_earlier_ones() -> None:
    donor, empty = sample(1, [(0, 0, 10, 10), (0, 5, 10, 15)]), sample(2, [])
    _, targets = Paste(objects=(2, 2))([donor[0], empty[0]], [donor[1], empty[1]])
    assert targets[1]["boxes"].tolist() == [[0, 0, 10, 5], [0, 5, 10, 15]]


def test_a_donor_without_objects_changes_nothing() -> None:
    donor, below = sample(1, []), sample(2, [(1, 1, 5, 5)])
    images, targets = Paste()([donor[0], below[0]], [donor[1], below[1]])
    assert torch.equal(images[1], below[0])
    assert targets[1]["labels"].tolist() == [2]
    assert len(targets[0]["labels"]) == 1  # and the other way round


def test_sizes_may_differ_and_batches_may_be_tensors() -> None:
    donor, below = sample(10, [(10, 10, 20, 20)], size=40), sample(200, [(0, 0, 2, 2)])
    images, targets = Paste(blur_sigma_px=0)([donor[0], below[0]], [donor[1], below[1]])
    assert targets[1]["boxes"].tolist()[1] == [5, 5, 10, 10]
    assert (images[1][:, 5:10, 5:10] == 10).all()
    first, second = sample(1, [(1, 1, 4, 4)]), sample(2, [(1, 1, 4, 4)])
    stacked, _ = Paste()(torch.stack([first[0], second[0]]), [first[1], second[1]])
    assert stacked.shape == (2, 3, 20, 20)


def test_other_box_formats_stay() -> None:
    first, second = sample(1, [(1, 2, 4, 6)]), sample(2, [])
    for _, target in (first, second):
        target["boxes"] = v2.functional.convert_bounding_box_format(target["boxes"], new_format="XYWH")
    _, targets = Paste()([first[0], second[0]], [first[1], second[1]])
    assert targets[1]["boxes"].format.name == "XYWH"
    assert targets[1]["boxes"].tolist() == [[1, 2, 3, 4]]


def test_the_border_is_soft() -> None:
    donor, below = sample(0, [(5, 5, 15, 15)]), sample(200, [])
    images, targets = Paste(blur_sigma_px=1.0)([donor[0], below[0]], [donor[1], below[1]])
    row = images[1][0, 10].tolist()
    assert row[:2] == [200, 200]
    assert row[9:11] == [0, 0]
    assert 0 < row[5] < row[4] < row[3] <= 200
    assert targets[1]["boxes"].tolist() == [[5, 5, 15, 15]]


def test_random_poses_move_objects_and_labels_follow() -> None:
    torch.manual_seed(0)
    donor, below = sample(255, [(10, 10, 30, 30)], size=60), sample(0, [], size=60)
    poses = AffinePoses((-45, 45), (-1, 1), (0, 0), (0.2, 0.6), stretch=(1, 1), min_visible=1.0)
    places = []
    for _ in range(5):
        images, targets = Paste(poses, blur_sigma_px=0)([donor[0], below[0]], [donor[1], below[1]])
        drawn = images[1][0] >= 128
        rows, columns = torch.nonzero(drawn).T
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert targets[1]["boxes"].tolist() == [[int(edge) for edge in box]]
        assert torch.equal(targets[1]["masks"][0], drawn)
        places.append(tuple(targets[1]["boxes"].tolist()[0]))
    assert len(set(places)) == 5


def test_the_same_seed_is_the_same_batch() -> None:
    batch = [sample(k, [(k, k, k + 6, k + 9), (1, 1, 5, 5)]) for k in range(6)]
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        images, targets = Paste(objects=(1, 1), p=0.7)([i for i, _ in batch], [t for _, t in batch])
        results.append((torch.stack(list(images)), torch.cat([t["labels"] for t in targets])))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not (torch.equal(results[0][0], results[2][0]) and torch.equal(results[0][1], results[2][1]))


def test_mistakes_are_sentences() -> None:
    image, target = sample(1, [(1, 1, 4, 4)])
    with pytest.raises(ShapeError) as error:
        Paste()([image], [])
    assert str(error.value) == "targets: expected one an image, 1, got 0"
    with pytest.raises(ShapeError) as error:
        Paste()([image], [{"boxes": target["boxes"]}])
    assert str(error.value) == "targets[0]: expected masks, boxes and labels, got none named masks, labels"
    with pytest.raises(ShapeError) as error:
        Paste()([image], [{**target, "masks": target["masks"][:, :10]}])
    assert str(error.value) == (
        "targets[0].masks: expected the shape (1, 20, 20) of its boxes and image, got (1, 10, 20)"
    )


def test_what_is_the_images_stays_its_own() -> None:
    """Though it has as many rows as the image has objects."""
    batch = [sample(10, [(4, 2, 10, 12), (1, 1, 3, 3)]), sample(200, [(0, 0, 8, 20), (15, 15, 18, 18)])]
    for _, target in batch:
        target["orig_size"] = torch.tensor([480, 640])
        target["scores"] = torch.tensor([0.5, 0.7])
    one = [sample(10, [(4, 2, 10, 12)]), sample(200, [(0, 0, 4, 4)])]
    for k, (_, target) in enumerate(one):
        target["image_id"] = torch.tensor([k])
    _, targets = Paste(objects=(2, 2))(*zip(*batch, strict=True))
    assert [target["orig_size"].tolist() for target in targets] == [[480, 640], [480, 640]]
    assert [len(target["scores"]) for target in targets] == [len(target["labels"]) for target in targets]
    _, targets = Paste()(*zip(*one, strict=True))
    assert [target["image_id"].tolist() for target in targets] == [[0], [1]]
    batch[1][1]["boxes"], batch[1][1]["masks"] = batch[1][1]["boxes"][:1], batch[1][1]["masks"][:1]
    for key in ("labels", "area", "iscrowd"):
        batch[1][1][key] = batch[1][1][key][:1]
    batch[0][1]["ratio"], batch[1][1]["ratio"] = torch.ones(2), torch.ones(2)  # one row an object of the first alone
    _, targets = Paste()(*zip(*batch, strict=True))
    assert [len(target["ratio"]) for target in targets] == [2, 2]


ANYWHERE = AffinePoses((-45, 45), (-1, 1), (0, 0), (0.2, 0.6))


def test_keypoints_stay_right_or_are_refused() -> None:
    batch = [sample(10, [(4, 2, 10, 12)]), sample(200, [(12, 12, 16, 16)])]
    for _, target in batch:
        target["keypoints"] = torch.tensor([[[5.0, 5.0, 1.0]]])
    _, targets = Paste()(*zip(*batch, strict=True))
    assert targets[1]["keypoints"].tolist() == [[[5, 5, 1]], [[5, 5, 1]]]
    message = (
        "targets[0].keypoints: expected none where objects are moved or scaled, got some; only masks and boxes follow"
    )
    with pytest.raises(ShapeError) as told:
        Paste(ANYWHERE)(*zip(*batch, strict=True))
    assert str(told.value) == message
    larger = sample(10, [(4, 2, 10, 12)], size=40)
    larger[1]["keypoints"] = torch.tensor([[[5.0, 5.0, 1.0]]])
    with pytest.raises(ShapeError) as told:
        Paste()(*zip(larger, batch[1], strict=True))
    assert str(told.value) == message


def test_normalised_images_are_pasted_in_place_and_refused_under_poses() -> None:
    batch = [sample(0, [(4, 2, 10, 12)], dtype=torch.float32), sample(255, [(0, 0, 4, 4)], dtype=torch.float32)]
    images = [4 * image - 2 for image, _ in batch]
    targets = [target for _, target in batch]
    found, _ = Paste(blur_sigma_px=0)(images, targets)
    assert found[1].unique().tolist() == [-2, 2]
    with pytest.raises(ShapeError) as told:
        Paste(ANYWHERE)(images, targets)
    assert str(told.value) == (
        "images[0]: expected floats in [0, 1] with poses, got -2 to -2; paste before images are normalised"
    )


def test_an_empty_batch_stays_empty() -> None:
    images, targets = Paste()(torch.zeros(0, 3, 4, 4), [])
    assert (tuple(images.shape), targets) == ((0, 3, 4, 4), [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, t: (i.numpy(), t), "images[1]: expected a tensor, got ndarray"),
        (lambda i, t: (i.to("meta"), t), "images[1]: expected a tensor on the CPU, got one on meta; paste before it goes there"),
        (lambda i, t: (i.int(), t), "images[1]: expected uint8 or float, the same in the whole batch, got torch.int32"),
        (lambda i, t: (i / 255, t), "images[1]: expected uint8 or float, the same in the whole batch, got torch.float32"),
        (lambda i, t: (i, {**t, "masks": t["masks"].numpy()}), "targets[1].masks: expected a tensor, got ndarray"),
        (lambda i, t: (i, {**t, "labels": t["labels"].tolist()}), "targets[1].labels: expected a tensor, got list"),
        (lambda i, t: (i, {**t, "labels": torch.zeros(3)}), "targets[1].labels: expected one a box, 1, got the shape (3,)"),
        (
            lambda i, t: (i, {key: t[key] for key in t if key != "area"}),
            "targets[1]: expected area as targets[0] has it, got none",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_pasted_is_named(change, message: str) -> None:
    first, second = sample(10, [(4, 2, 10, 12)]), change(*sample(200, [(0, 0, 8, 20)]))
    with pytest.raises(ShapeError) as told:
        Paste()(*zip(first, second, strict=True))
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objects": (5, 2)}, "objects: expected the fewest and the most, integers >= 0, got (5, 2)"),
        ({"objects": 3}, "objects: expected the fewest and the most, integers >= 0, got 3"),
        ({"blur_sigma_px": -1}, "blur_sigma_px: expected a number >= 0, got -1"),
        ({"p": 50}, "p: expected a number from 0 to 1, got 50"),
        ({"min_visible": 1.5}, "min_visible: expected a number from 0 to 1, got 1.5"),
        ({"poses": "affine"}, "poses: expected a pose family such as AffinePoses(...), or None, got 'affine'"),
    ],
)
def test_numbers_out_of_range_are_named(settings: dict, message: str) -> None:
    with pytest.raises(RecipeError) as told:
        Paste(**settings)
    assert str(told.value) == message
