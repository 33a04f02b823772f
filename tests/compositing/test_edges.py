"""The rim step, its blur and its gradient (A.2)."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from drawn import ellipse, noise, smooth, upright
from terse.compositing import binary_edges, compose, warp
from terse.compositing.edges import _blur, gaussian_weights, keep_above


def _edges(warped: Tensor, sigma_px: float, threshold: float = 0.9999) -> tuple[Tensor, Tensor]:
    return binary_edges(warped, torch.full((len(warped),), threshold), sigma_px)


def test_a_hard_step_keeps_full_alpha_alone() -> None:
    alpha = torch.tensor([0.0, 0.3, 0.99, 0.9998, 0.99999, 1.0]).view(1, 1, 1, 6)
    colour, kept = _edges(torch.cat([alpha * 0.5, alpha], dim=1), 0.0)
    assert kept.flatten().tolist() == [0, 0, 0, 0, 1, 1]
    torch.testing.assert_close(colour.flatten(), torch.tensor([0, 0, 0, 0, 0.5, 0.5]), rtol=0, atol=1e-5)


def test_kept_colours_are_divided_by_their_alpha() -> None:
    warped = torch.tensor([0.3, 0.6]).view(1, 2, 1, 1)
    colour, alpha = _edges(warped, 0.0, 0.5625)
    assert (colour.item(), alpha.item()) == (0.5, 1.0)


def test_the_gradient_of_a_divided_colour_is_the_quotients_and_the_masks() -> None:
    warped = torch.tensor([0.3, 0.6]).view(1, 2, 1, 1).requires_grad_()
    colour, _ = _edges(warped, 0.0, 0.5625)
    (gradient,) = torch.autograd.grad(colour.sum(), warped)
    # d(c m) = m dc + c dm, with c = p / a and the step m moving as a does: dp / a - c da / a + c da.
    assert gradient.flatten().tolist() == pytest.approx([1 / 0.6, -0.5 / 0.6 + 0.5])


def test_the_threshold_takes_half_a_pixel_of_the_cut_out_at_every_level() -> None:
    assert keep_above(torch.tensor([0, 1, 2, 3])).tolist() == pytest.approx([0.9999, 0.75, 0.625, 0.5625])
    mask = ellipse(256, 0.5, 0.5)
    for scale in (0.95, 0.5, 0.25, 0.125):
        warped = warp(mask, upright(scale), (256, 256))
        level = round(-np.log2(scale))
        _, alpha = binary_edges(warped, keep_above(torch.tensor([level])), 1.0)
        radius_px = (alpha.sum() / np.pi).sqrt().item()
        assert radius_px == pytest.approx((64 - 0.5) * scale, abs=0.25)


@pytest.mark.parametrize("sigma_px", [0.4, 1.0, 2.5])
def test_the_blur_is_a_gaussian(sigma_px: float) -> None:
    weights = gaussian_weights(sigma_px)
    assert weights[0] + 2 * sum(weights[1:]) == pytest.approx(1)
    image = noise(0, 1, 1, 40, 50)
    radius = len(weights) - 1
    expected = ndimage.gaussian_filter(image[0, 0].numpy(), sigma_px, mode="constant", radius=radius)
    torch.testing.assert_close(_blur(image, weights)[0, 0], torch.from_numpy(expected), rtol=0, atol=1e-6)


def test_an_image_smaller_than_the_blur_is_blurred_too() -> None:
    assert _blur(torch.ones(1, 1, 1, 2), gaussian_weights(1.0)).shape == (1, 1, 1, 2)


def test_no_colour_from_outside_the_mask_shows() -> None:
    """A green cut-out on a red surrounding, pasted on blue: whatever the pose, no red."""
    mask = ellipse(64)
    green, red = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    colour = torch.where(mask > 0, green.view(1, 3, 1, 1), red.view(1, 3, 1, 1))
    blue = torch.zeros(1, 3, 80, 80)
    blue[:, 2] = 1
    for scale in (1.3, 0.9, 0.4, 0.2):
        drawn = compose(blue, colour, mask, upright(scale), binarise=True, blur_sigma_px=1.0)
        assert drawn.images[:, 0].max() == 0
        # Green and blue add up to white light everywhere: no dark rim.
        torch.testing.assert_close(drawn.images.sum(dim=1), torch.ones(1, 80, 80), rtol=0, atol=1e-5)


def test_a_cut_object_does_not_fade_at_the_border_of_the_canvas() -> None:
    mask, colour = ellipse(64, 0.9, 0.9), torch.ones(1, 3, 64, 64)
    drawn = compose(
        torch.zeros(1, 3, 40, 40), colour, mask, upright(1.0, shift_x=-0.5), binarise=True, blur_sigma_px=1.0
    )
    assert drawn.images[0, :, 18:22, 0].min() > 0.9999


@pytest.mark.parametrize("sigma_px", [0.0, 1.0])
def test_there_are_no_holes(sigma_px: float) -> None:
    mask, colour = torch.ones(4, 1, 61, 61), torch.ones(4, 3, 61, 61)
    matrix = torch.cat([upright(scale) for scale in (1.31, 0.77, 0.41, 0.23)])
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    matrix[:, :, :2] = turn @ matrix[:, :, :2]
    drawn = compose(torch.zeros(4, 3, 120, 120), colour, mask, matrix, binarise=True, blur_sigma_px=sigma_px)
    for alpha in drawn.alpha[:, 0] > 0.5:
        assert np.array_equal(ndimage.binary_fill_holes(alpha.numpy()), alpha.numpy())


def _loss(scale: Tensor, shift: Tensor, down: float = 0.0) -> Tensor:
    """How much light of a smooth spot right of the middle an object hides or adds."""
    mask, colour = ellipse(64, 0.5, 0.5), smooth(1, 1, (64, 64)) * 0.5
    matrix = torch.stack([torch.stack([1 / scale, scale * 0, -2 * shift / scale]),
                          torch.stack([scale * 0, 1 / scale, -2 * down / scale])])[None]  # fmt: skip
    along = torch.linspace(-1, 1, 96)
    spot = torch.exp(-((along - 0.3) ** 2 + along[:, None] ** 2) / 0.18)
    background = torch.ones(1, 3, 96, 96) * 0.9
    drawn = compose(background, colour, mask, matrix, binarise=True, blur_sigma_px=1.0)
    return (drawn.images[0].mean(dim=0) * spot).sum()


@pytest.mark.parametrize("scale", [1.1, 0.8, 0.5, 0.35, 0.2])
def test_a_finite_pose_step_changes_the_loss_as_predicted(scale: float) -> None:
    """The step function's own derivative is zero everywhere; the gradient passed through it must not be.

    Several places are looked at together: of one place, the step's jumps from pixel to pixel are the noise.
    """
    predicted, actual = [], []
    for shift, down in ((-0.11, 0.013), (-0.06, -0.046), (0.01, 0.031), (0.05, -0.022), (0.08, 0.057), (0.13, -0.004)):
        pose = torch.tensor([scale, shift], requires_grad=True)
        (gradient,) = torch.autograd.grad(_loss(pose[0], pose[1], down), pose)
        step = torch.diag(torch.tensor([0.06 * scale, 0.03]))
        with torch.no_grad():
            actual.append(torch.stack([_loss(*(pose + row), down) - _loss(*(pose - row), down) for row in step]))
        predicted.append(2 * step.diag() * gradient)
    said, seen = torch.stack(predicted), torch.stack(actual)
    assert (said * seen > 0).all()
    slope = (said * seen).sum(dim=0) / seen.square().sum(dim=0)
    assert slope.tolist() == pytest.approx([1, 1], abs=0.25)


def test_the_gradient_passes_colours_as_they_are_where_nothing_is_cut() -> None:
    """Of a fully kept region, colour's gradient is exact; only the step itself is exempt from gradcheck."""
    alpha = torch.ones(1, 1, 6, 6, dtype=torch.float64)
    colour = noise(2, 1, 3, 6, 6).double().requires_grad_()

    def drawn(image: Tensor) -> Tensor:
        return torch.cat(_edges(torch.cat([image, alpha], dim=1), 0.7), dim=1)

    assert torch.autograd.gradcheck(drawn, (colour,))
