"""Alpha blending and the boxes that follow from masks."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn import noise
from terse.compositing import blend, boxes_of_masks


def test_alpha_1_is_the_foreground_and_alpha_0_the_background_bit_for_bit() -> None:
    background, colour = noise(0, 2, 3, 5, 5), noise(1, 2, 3, 5, 5)
    assert torch.equal(blend(background, colour, torch.ones(2, 1, 5, 5)), colour)
    assert torch.equal(blend(background, torch.zeros_like(colour), torch.zeros(2, 1, 5, 5)), background)
    half = blend(background, colour * 0.5, torch.full((2, 1, 5, 5), 0.5))
    torch.testing.assert_close(half, (background + colour) / 2)


def test_gradcheck() -> None:
    tensors = tuple(noise(i, 2, c, 3, 4).double().requires_grad_() for i, c in enumerate((3, 3, 1)))
    assert torch.autograd.gradcheck(blend, tensors)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12))
def test_a_box_is_tight_and_half_open(seed: int, height: int, width: int) -> None:
    masks = noise(seed, 3, height, width) > 0.9
    for mask, box in zip(masks, boxes_of_masks(masks), strict=True):
        points = mask.nonzero()
        if len(points):
            (y0, x0), (y1, x1) = points.min(dim=0).values.tolist(), (points.max(dim=0).values + 1).tolist()
            assert box.tolist() == [x0, y0, x1, y1]
        else:
            assert box.tolist() == [0, 0, 0, 0]
