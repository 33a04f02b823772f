"""Labels after pasting, against a painter that fills pixels one object after the other."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from terse.compositing.truth import Layer, truth_of_layers
from terse.types import Backgrounds, Truth

_SIDE = 16


def _background(
    count: int, boxes: list[list[float]], index: list[int], ignore: list[bool] | None = None
) -> Backgrounds:
    n = len(boxes)
    truth = Truth(
        torch.full((n,), 7),
        torch.tensor(boxes, dtype=torch.float32).view(n, 4),
        torch.tensor(index, dtype=torch.int64),
        torch.zeros(n, dtype=torch.bool),
        torch.tensor(ignore or [False] * n, dtype=torch.bool),
        count,
    )
    return Backgrounds(torch.zeros(count, 3, _SIDE, _SIDE), truth)


def _alpha(box: list[int]) -> torch.Tensor:
    x0, y0, x1, y1 = box
    alpha = torch.zeros(1, 1, _SIDE, _SIDE)
    alpha[..., y0:y1, x0:x1] = 1
    return alpha


def _layer(boxes: list[list[int]], rows: list[int] | None = None, labelled: bool = True) -> Layer:
    alpha = torch.cat([_alpha(box) for box in boxes])
    where = None if rows is None else torch.tensor(rows)
    labels = torch.arange(len(boxes)) + 1
    return Layer(where, labels, alpha, alpha.sum(dim=(1, 2, 3)), labelled)


def test_one_object_an_image() -> None:
    seen = truth_of_layers(_background(2, [], []), [_layer([[1, 2, 5, 9], [0, 0, 16, 16]])])
    assert seen.truth.boxes_px.tolist() == [[1, 2, 5, 9], [0, 0, 16, 16]]
    assert seen.truth.labels.tolist() == [1, 2]
    assert seen.truth.image_index.tolist() == [0, 1]
    assert seen.truth.pasted.all()
    assert not seen.truth.ignore.any()
    assert seen.fraction.tolist() == [1, 1]


def test_half_opaque_is_outside_and_what_the_border_cuts_counts_as_hidden() -> None:
    layer = _layer([[0, 0, 8, 8]])
    alpha = layer.alpha.clone()
    alpha[..., 8, 8] = 0.5
    seen = truth_of_layers(_background(1, [], []), [Layer(None, layer.labels, alpha, torch.tensor([256.0]))], 0.3)
    assert seen.truth.boxes_px.tolist() == [[0, 0, 8, 8]]
    assert seen.fraction.tolist() == [0.25]
    assert seen.truth.ignore.tolist() == [True]  # below the floor


def test_an_unlabelled_paste_covers_and_is_not_listed() -> None:
    background = _background(1, [[0, 0, 10, 10]], [0])
    seen = truth_of_layers(background, [_layer([[0, 0, 10, 4]], labelled=False)])
    assert seen.truth.boxes_px.tolist() == [[0, 4, 10, 10]]
    assert seen.truth.pasted.tolist() == [False]
    assert seen.fraction.tolist() == [0.6000000238418579]


def test_what_is_hidden_or_ignored_already_is_ignored() -> None:
    background = _background(2, [[2, 2, 6, 6], [0, 0, 3, 3]], [0, 1], [False, True])
    seen = truth_of_layers(background, [_layer([[0, 0, 16, 16]], rows=[0])])
    assert seen.truth.image_index.tolist() == [0, 0, 1]
    assert seen.truth.ignore.tolist() == [True, False, True]
    assert seen.truth.boxes_px[0].tolist() == [0, 0, 0, 0]
    assert seen.amodal[0].sum() == 16
    assert not seen.modal[0].any()


def test_no_layer_leaves_the_backgrounds_own_objects() -> None:
    seen = truth_of_layers(_background(2, [[2, 2, 6, 6]], [1]), [])
    assert seen.truth.boxes_px.tolist() == [[2, 2, 6, 6]]
    assert seen.truth.batch_size == 2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_a_painter_agrees(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 4))

    def boxes(n: int) -> list[list[int]]:
        corners = np.sort(random.integers(0, _SIDE + 1, (n, 2, 2)), axis=1)
        return [[int(v) for v in (*low, *high)] for low, high in corners]

    own_index = sorted(random.integers(0, count, int(random.integers(0, 4))).tolist())
    background = _background(count, [[float(v) for v in box] for box in boxes(len(own_index))], own_index)
    layers, painted = [], []
    for box, image in zip(background.truth.boxes_px.tolist(), own_index, strict=True):
        painted.append((image, 7, _alpha([int(v) for v in box])[0, 0] > 0.5, True))
    for _ in range(int(random.integers(1, 4))):
        rows = sorted(random.choice(count, int(random.integers(1, count + 1)), replace=False).tolist())
        layer = _layer(boxes(len(rows)), rows, bool(random.integers(2)))
        layers.append(layer)
        for k, image in enumerate(rows):
            painted.append((image, int(layer.labels[k]), layer.alpha[k, 0] > 0.5, layer.labelled))
    first_paste = len(own_index)
    canvas = np.full((count, _SIDE, _SIDE), -1)
    for number, (image, _, mask, _) in enumerate(painted):
        if number >= first_paste:  # a data set's masks are modal already: its objects do not hide one another
            canvas[image][mask.numpy()] = number
    expected = []
    for number, (image, label, mask, labelled) in enumerate(painted):
        if labelled:
            top = torch.from_numpy(canvas[image])
            expected.append((image, label, mask & (top < first_paste if number < first_paste else top == number), mask))
    expected.sort(key=lambda item: item[0])
    seen = truth_of_layers(background, layers)
    assert seen.truth.image_index.tolist() == [image for image, _, _, _ in expected]
    assert seen.truth.labels.tolist() == [label for _, label, _, _ in expected]
    for (_, _, modal, amodal), found, whole, share in zip(
        expected, seen.modal, seen.amodal, seen.fraction.tolist(), strict=True
    ):
        assert torch.equal(found, modal)
        assert torch.equal(whole, amodal)
        assert abs(share - modal.sum().item() / max(1, amodal.sum().item())) < 1e-6


def test_masks_are_what_is_seen_and_an_own_object_without_one_is_ignored() -> None:
    background = _background(1, [[0, 0, 10, 10]], [0])
    layer = _layer([[0, 0, 10, 4]])
    seen = truth_of_layers(background, [layer], fields=("masks",))
    assert torch.equal(seen.truth.masks, seen.modal)
    assert seen.truth.ignore.tolist() == [True, False]
    known = Backgrounds(background.images, replace(background.truth, masks=_alpha([0, 0, 8, 8])[0] > 0))
    seen = truth_of_layers(known, [layer], fields=("masks",))
    assert seen.truth.ignore.tolist() == [False, False]
    assert seen.truth.masks.sum(dim=(1, 2)).tolist() == [8 * 4, 10 * 4]
    assert truth_of_layers(known, [layer]).truth.masks is None


def test_a_keypoint_that_a_later_paste_covers_is_hidden() -> None:
    own = torch.tensor([[[1.0, 1.0, 2.0], [9.0, 9.0, 2.0]]])
    background = _background(2, [[0, 0, 10, 10]], [1])
    background = Backgrounds(background.images, replace(background.truth, keypoints=own))
    first = replace(
        _layer([[2, 2, 8, 8], [8, 8, 12, 12]]),
        keypoints=torch.tensor([[[3.0, 3.0, 2.0], [7.0, 7.0, 2.0]], [[9.0, 9.0, 2.0], [0.0, 0.0, 0.0]]]),
    )
    second = _layer([[6, 6, 9, 9]], rows=[0])  # without keypoints of its own
    seen = truth_of_layers(background, [first, second], fields=("keypoints",))
    assert seen.truth.image_index.tolist() == [0, 0, 1, 1]
    points = seen.truth.keypoints
    assert points[0].tolist() == [[3, 3, 2], [7, 7, 1]]
    assert points[1].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert points[2].tolist() == [[1, 1, 2], [9, 9, 1]]
    assert points[3].tolist() == [[9, 9, 2], [0, 0, 0]]
    assert truth_of_layers(background, [first]).truth.keypoints is None
