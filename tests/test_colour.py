"""Light and colour: neutral values change nothing, others change what they name and nothing else."""

import math
from dataclasses import replace

import torch
from torch.nn import functional

from terse.colour import Light, blurred, relit


def neutral(count, channels=3):
    one = torch.ones(count)
    return Light(one, torch.ones(count, channels), one, one, one, torch.zeros(count))


def images(count=2, channels=3):
    return torch.rand(count, channels, 9, 7, generator=torch.Generator().manual_seed(3))


def test_neutral_values_change_no_bit():
    for channels in (1, 3):
        some = images(channels=channels)
        assert torch.equal(relit(some, neutral(2, channels)), some)
        assert torch.equal(blurred(some, torch.zeros(2)), some)


def test_an_image_keeps_its_zeros_beside_one_of_another_gamma():
    some = torch.zeros(2, 3, 4, 4)
    out = relit(some, replace(neutral(2), gamma=torch.tensor([1.0, 2.0])))
    assert torch.equal(out[0], some[0])


def test_each_image_has_its_own_exposure():
    some = 0.3 * images()
    out = relit(some, replace(neutral(2), exposure=torch.tensor([1.0, 2.0])))
    torch.testing.assert_close(out, some * torch.tensor([1.0, 2.0])[:, None, None, None])


def test_grey_has_equal_channels_and_keeps_the_luminance():
    some = images()
    out = relit(some, replace(neutral(2), saturation=torch.tensor([0.0, 1.0])))
    grey = (some[0] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    torch.testing.assert_close(out[0], grey.expand(3, -1, -1))
    torch.testing.assert_close(out[1], some[1])


def test_contrast_turns_about_the_mean():
    some = 0.4 + 0.2 * images(1)
    out = relit(some, replace(neutral(1), contrast=torch.tensor([0.5])))
    torch.testing.assert_close(out, some.mean() + 0.5 * (some - some.mean()))


def test_gamma_is_a_power_and_what_is_too_bright_is_clipped():
    some = images()
    out = relit(some, replace(neutral(2), gamma=torch.tensor([2.0, 2.0])))
    torch.testing.assert_close(out, some**2)
    assert relit(some, replace(neutral(2), exposure=torch.tensor([9.0, 9.0]))).max() == 1


def test_a_vignette_darkens_corners_and_leaves_the_middle():
    out = relit(torch.ones(1, 3, 9, 9), replace(neutral(1), vignette=torch.tensor([0.3])))
    assert out[0, 0, 4, 4] == 1
    assert math.isclose(float(out[0, 0, 0, 0]), 0.7, rel_tol=1e-6)


def test_blur_keeps_even_areas_and_spreads_a_point_by_its_own_width():
    torch.testing.assert_close(
        blurred(torch.full((2, 1, 9, 9), 0.3), torch.tensor([1.0, 0.5])), torch.full((2, 1, 9, 9), 0.3)
    )
    point = torch.zeros(2, 1, 15, 15)
    point[:, :, 7, 7] = 1
    out = blurred(point, torch.tensor([1.2, 0.6]))
    torch.testing.assert_close(out.sum((1, 2, 3)), torch.ones(2))
    assert out[0, 0, 7, 7] < out[1, 0, 7, 7] < 1


def test_blur_is_a_normalised_gaussian_over_three_sigmas():
    some, sigma = images(3), torch.tensor([0.4, 1.7, 3.9])
    out = blurred(some, sigma)
    for k, wide in enumerate(sigma.tolist()):
        radius = max(1, round(3 * wide))
        bell = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / wide) ** 2)
        bell = bell / bell.sum()
        padded = functional.pad(some[k : k + 1], [radius] * 4, mode="replicate").transpose(0, 1)
        expected = functional.conv2d(functional.conv2d(padded, bell[None, None, None]), bell[None, None, :, None])
        torch.testing.assert_close(out[k : k + 1], expected.transpose(0, 1), atol=2e-6, rtol=0)


def test_blur_has_the_same_bits_alone_and_in_a_batch():
    some, sigma = images(3), torch.tensor([0.4, 0.0, 2.1])
    out = blurred(some, sigma)
    for k in range(3):
        assert torch.equal(blurred(some[k : k + 1], sigma[k : k + 1])[0], out[k])


def test_blur_is_differentiable_in_pixels_and_sigma():
    some = images(2).double().requires_grad_()
    sigma = torch.tensor([0.6, 1.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(blurred, (some, sigma))


def test_light_is_differentiable_in_pixels_and_parameters():
    some = images(1).double().requires_grad_()
    factor = torch.full((1,), 1.1, dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, dtype=torch.float64)
    tint = torch.ones(1, 3, dtype=torch.float64)

    def light(pixels, value):
        return relit(0.2 + 0.3 * pixels, Light(value, tint, value, value, one, 0.1 * one))

    assert torch.autograd.gradcheck(light, (some, factor))
