"""Resampling against OpenCV, against averaging, and against itself; no paste touches a pixel outside its window."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from drawn import PHOTO_POSES, ellipse, matrices, noise, smooth, upright
from terse.compositing import support_points, warp
from terse.compositing.warp import Window, canvas_window, content_windows, paste, shrink_levels, window_of_paste
from terse.errors import ShapeError

_IDENTITY = torch.eye(3)[None, :2]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_the_identity_changes_nothing(height: int, width: int, seed: int) -> None:
    image = noise(seed, 1, 2, height, width)
    torch.testing.assert_close(warp(image, _IDENTITY, (height, width)), image, rtol=0, atol=1e-5)


def _opencv(image: Tensor, matrix: Tensor, size_px: tuple[int, int]) -> Tensor:
    """The same map by cv2.remap on float images with a border of zeros."""
    height, width = image.shape[-2:]
    xs = (2 * np.arange(size_px[1]) + 1) / size_px[1] - 1
    ys = (2 * np.arange(size_px[0])[:, None] + 1) / size_px[0] - 1
    (a, b, c), (d, e, f) = matrix[0].double().tolist()
    map_x = ((a * xs + b * ys + c + 1) * width - 1) / 2
    map_y = ((d * xs + e * ys + f + 1) * height - 1) / 2
    drawn = cv2.remap(
        image[0].permute(1, 2, 0).numpy(),
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return torch.from_numpy(drawn).permute(2, 0, 1)[None]


@pytest.mark.parametrize("seed", range(6))
def test_opencv_draws_the_same(seed: int) -> None:
    image, size_px = smooth(seed, 1, (60, 60)), (80, 90)
    matrix = matrices(seed, ellipse(60), size_px)
    scale = shrink_levels(matrix, (60, 60), size_px)
    matrix = matrix / 2 ** scale.float()[:, None, None]  # no halving, which OpenCV does not do
    # cv2.remap rounds coordinates to 1/32 px.
    torch.testing.assert_close(warp(image, matrix, size_px), _opencv(image, matrix, size_px), rtol=0, atol=0.04)


@pytest.mark.parametrize("scale", [0.11, 0.2, 0.35, 0.6])
def test_shrinking_comes_closer_to_averaging_than_plain_sampling(scale: float) -> None:
    image, size_px = noise(1, 1, 3, 130, 130), (100, 100)
    matrix = upright(scale)
    fine = functional.affine_grid(matrix, [1, 3, 1600, 1600], align_corners=False)
    exact = functional.avg_pool2d(functional.grid_sample(image, fine, align_corners=False), 16)
    grid = functional.affine_grid(matrix, [1, 3, *size_px], align_corners=False)
    plain = functional.grid_sample(image, grid, align_corners=False)
    ours = warp(image, matrix, size_px)
    assert (ours - exact).abs().mean() < 0.75 * (plain - exact).abs().mean()


@pytest.mark.parametrize("side", [96, 97, 75, 75 * 4 + 1])
def test_halving_moves_nothing(side: int) -> None:
    """The centre of mass of a small disc stays where the matrix puts it, odd sides included."""
    along = (2 * torch.arange(side) + 1) / side - 1
    disc = (((along - 0.5) ** 2 + (along[:, None] + 0.4) ** 2) < 0.05).float()[None, None]
    drawn = warp(disc, upright(0.15), (200, 200))[0, 0]
    centres = (2 * torch.arange(200) + 1) / 200 - 1
    x = (drawn.sum(0) * centres).sum() / drawn.sum() / 0.15
    y = (drawn.sum(1) * centres).sum() / drawn.sum() / 0.15
    true_x = (disc[0, 0].sum(0) * along).sum() / disc.sum()
    true_y = (disc[0, 0].sum(1) * along).sum() / disc.sum()
    assert abs(x - true_x) < 0.01
    assert abs(y - true_y) < 0.01
    assert drawn.sum() / 200**2 / 0.15**2 == pytest.approx(disc.sum().item() / side**2, rel=0.01)


def test_the_level_halves_until_a_step_is_about_a_pixel() -> None:
    scales = [2.0, 1.0, 0.75, 0.6, 0.3, 0.26, 0.13, 0.001]
    matrix = torch.cat([upright(scale) for scale in scales])
    assert shrink_levels(matrix, (64, 64), (64, 64)).tolist() == [0, 0, 0, 1, 2, 2, 3, 5]
    assert shrink_levels(matrix[-1:], (8, 8), (64, 64)).tolist() == [2]  # at least two pixels stay


@pytest.mark.parametrize("seed", range(8))
def test_a_window_a_batch_and_an_image_alone_have_the_same_bits(seed: int) -> None:
    size_px = (57, 83)
    image = noise(seed, 5, 4, 70, 70)
    matrix = matrices(seed, ellipse(70).repeat(5, 1, 1, 1), size_px)
    together = warp(image, matrix, size_px)
    assert torch.equal(warp(image, matrix, size_px, Window(11, 7, 52, 40)), together[:, :, 7:40, 11:52])
    around = warp(image, matrix, size_px, canvas_window(size_px, 3))
    assert torch.equal(around[:, :, 3:-3, 3:-3], together)
    for i in range(5):
        assert torch.equal(warp(image[i : i + 1], matrix[i : i + 1], size_px), together[i : i + 1])


def test_gradcheck_in_image_and_matrix() -> None:
    image = noise(0, 2, 2, 7, 9).double().requires_grad_()
    turned = torch.tensor([[[0.71, 0.313, 0.0537], [-0.217, 0.83, 0.1093]]], dtype=torch.float64)
    shrunk = turned * 1.9  # samples a halved image, whose odd width is padded
    matrix = torch.cat([turned, shrunk]).requires_grad_()
    assert shrink_levels(matrix, (7, 9), (5, 6)).tolist() == [0, 1]
    assert torch.autograd.gradcheck(lambda i, m: warp(i, m, (5, 6)), (image, matrix), eps=1e-7, atol=1e-5)


def test_misuse_is_told_in_one_sentence(unchecked: None) -> None:
    with pytest.raises(ShapeError) as caught:
        warp(noise(0, 2, 3, 8, 8), torch.zeros(1, 2, 3), (8, 8))
    assert str(caught.value) == "matrix: expected the shape (2, 2, 3) of the images' batch, got (1, 2, 3)"


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
