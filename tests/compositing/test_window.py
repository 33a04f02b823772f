"""No paste touches a pixel outside its window."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn import PHOTO_POSES, ellipse, noise
from terse.compositing import support_points, warp
from terse.compositing.warp import Window, canvas_window, content_windows, paste, shrink_levels, window_of_paste


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 90), st.integers(8, 90), st.integers(4, 80), st.integers(0, 4))
def test_a_warped_mask_lies_in_its_window(seed: int, height: int, width: int, patch: int, margin: int) -> None:
    mask = ellipse(patch, 0.5, 0.9).roll(patch // 5, dims=3).repeat(3, 1, 1, 1)
    pose = PHOTO_POSES.random(3, torch.Generator().manual_seed(seed))
    matrix = PHOTO_POSES.matrix(pose, support_points(mask), (height, width))
    levels = shrink_levels(matrix, mask.shape[-2:], (height, width)).tolist()
    contents = content_windows(mask)
    windows = [
        window_of_paste(rows, content, level, (patch, patch), (height, width), margin)
        for rows, content, level in zip(matrix.tolist(), contents, levels, strict=True)
    ]
    around = canvas_window((height, width), margin)
    drawn = warp(mask, matrix, (height, width), around)
    for window, alpha in zip(windows, drawn[:, 0], strict=True):
        on_canvas = window.on_canvas(height, width)
        assert on_canvas.x0 < on_canvas.x1
        assert on_canvas.y0 < on_canvas.y1
        assert (around.x0, around.y0) <= (window.x0, window.y0)
        assert window.x1 <= around.x1
        assert window.y1 <= around.y1
        outside = alpha.clone()
        inner = window.inside(around)
        outside[inner.y0 : inner.y1, inner.x0 : inner.x1] = 0
        assert not outside.any()


def test_a_small_object_has_a_small_window() -> None:
    (content,) = content_windows(ellipse(300, 0.4, 0.75))
    window = window_of_paste([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0]], content, 2, (300, 300), (300, 300), 3)
    # 24 x 45 px of object, a halved pixel's reach (6 of 300 px, a fifth of that here) and four to each side.
    assert window.x1 - window.x0 <= 24 + 2 * (1.2 + 5)
    assert window.y1 - window.y0 <= 45 + 2 * (1.2 + 5)


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_a_broken_matrix_gets_the_whole_canvas(value: float) -> None:
    window = window_of_paste([[value] * 3] * 2, Window(0, 0, 20, 20), 0, (20, 20), (30, 40), 2)
    assert window == Window(-2, -2, 42, 32)


def test_content_is_tight_and_widened_to_multiples() -> None:
    masks = torch.zeros(3, 1, 50, 70)
    masks[0, 0, 33:40, 5:69] = 0.5
    masks[1, 0, 0, 0] = 1
    assert content_windows(masks) == [Window(5, 33, 69, 40), Window(0, 0, 1, 1), Window(0, 0, 0, 0)]
    widened = [window.widened(32, 50, 70) for window in content_windows(masks)]
    assert widened == [Window(0, 32, 70, 50), Window(0, 0, 32, 32), Window(0, 0, 32, 32)]


def test_paste_is_assignment_with_its_gradient() -> None:
    canvas = noise(0, 4, 2, 6, 7).double().requires_grad_()
    parts = [noise(1, 2, 2, 3, 2).double().requires_grad_(), noise(2, 2, 2, 2, 7).double().requires_grad_()]
    windows = [Window(1, 2, 3, 5), Window(0, 4, 7, 6)]
    expected = canvas.detach().clone()
    expected[:2, :, 2:5, 1:3] = parts[0]
    expected[2:, :, 4:6, 0:7] = parts[1]
    assert torch.equal(paste(canvas, windows, parts), expected)
    assert torch.autograd.gradcheck(lambda c, *p: paste(c, windows, p), (canvas, *parts))
