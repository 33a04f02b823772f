"""One paste, end to end: what it may touch, what it must not, and that it replays bit for bit."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn import PHOTO_POSES, ellipse, matrices, noise, smooth, upright
from terse.compositing import Pasted, boxes_of_masks, compose, support_points
from terse.compositing.warp import canvas_window
from terse.errors import ShapeError

_EDGES = {"binarise": True, "blur_sigma_px": 1.0}
_WAYS = ({}, {"binarise": True}, _EDGES)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 70), st.integers(20, 70), st.sampled_from(_WAYS))
def test_alpha_0_keeps_the_background_bit_for_bit(seed: int, height: int, width: int, way: dict[str, float]) -> None:
    background, mask = noise(seed, 3, 3, height, width), ellipse(48, 0.3, 0.6).repeat(3, 1, 1, 1)
    drawn = compose(background, noise(seed + 1, 3, 3, 48, 48), mask, matrices(seed, mask, (height, width)), **way)
    untouched = drawn.alpha == 0
    assert torch.equal(drawn.images * untouched, background * untouched)
    assert drawn.images.min() >= 0
    assert drawn.images.max() <= 1 + 1e-6
    nothing = compose(background, noise(1, 3, 3, 48, 48), torch.zeros_like(mask), matrices(seed, mask, (40, 40)), **way)
    assert torch.equal(nothing.images, background)
    assert not nothing.alpha.any()


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 60), st.integers(0, 10**6), st.sampled_from(_WAYS[:2]))
def test_the_identity_pose_draws_the_cut_out_as_it_is(size: int, seed: int, way: dict[str, bool]) -> None:
    mask, colour, background = ellipse(size), noise(seed, 1, 3, size, size), noise(seed + 1, 1, 3, size, size)
    drawn = compose(background, colour, mask, upright(1.0), **way)
    torch.testing.assert_close(drawn.images, torch.where(mask > 0, colour, background), rtol=0, atol=2e-5)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.3, 1.2), st.integers(-20, 20), st.integers(-20, 20), st.sampled_from(_WAYS))
def test_a_moved_box_holds_the_moved_mask(scale: float, right: int, down: int, way: dict[str, float]) -> None:
    mask, colour, background = ellipse(40, 0.3, 0.4), torch.ones(1, 3, 40, 40), torch.zeros(1, 3, 128, 128)
    still = compose(background, colour, mask, upright(scale), **way)
    moved = compose(background, colour, mask, upright(scale, shift_x=right / 128, shift_y=down / 128), **way)
    torch.testing.assert_close(moved.alpha, still.alpha.roll((down, right), dims=(2, 3)), rtol=0, atol=2e-3)
    # Within half a pixel of rounding: a mask's edge may fall to either side of 0.5.
    before, after = (boxes_of_masks(drawn.alpha[:, 0] > 0.5) for drawn in (still, moved))
    offset = torch.tensor([right, down, right, down])
    assert (after - before - offset).abs().max() <= 1
    x0, y0, x1, y1 = after[0].int().tolist()
    inside = torch.zeros(128, 128, dtype=torch.bool)
    inside[y0:y1, x0:x1] = True
    assert not (moved.alpha[0, 0] > 0.5)[~inside].any()


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("seed", range(4))
def test_alone_and_in_a_batch_the_bits_are_the_same(seed: int, way: dict[str, float]) -> None:
    size_px = (121, 140) if seed % 2 else (61, 90)  # image by image, and all at once
    mask = ellipse(70, 0.5, 0.8).repeat(6, 1, 1, 1) * (noise(seed, 6, 1, 70, 70) > 0.01)
    background, colour, hull = noise(seed + 1, 6, 3, *size_px), noise(seed + 2, 6, 3, 70, 70), support_points(mask)
    pose = PHOTO_POSES.random(6, torch.Generator().manual_seed(seed))
    together = compose(background, colour, mask, PHOTO_POSES.matrix(pose, hull, size_px), **way)
    for i in range(6):
        one = slice(i, i + 1)
        matrix = PHOTO_POSES.matrix(pose[one], hull[one], size_px)
        alone = compose(background[one], colour[one], mask[one], matrix, **way)
        assert torch.equal(alone.images, together.images[one])
        assert torch.equal(alone.alpha, together.alpha[one])


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("seed", range(4))
def test_windows_change_neither_pixels_nor_gradients(
    seed: int, way: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image by image, each in its window or on the whole canvas: the same bits. All at once: the same to rounding."""
    size_px = (130, 141)
    mask = ellipse(100).repeat(5, 1, 1, 1)
    background, colour = noise(seed, 5, 3, *size_px), smooth(seed + 1, 5, (100, 100))
    matrix = matrices(seed, mask, size_px).requires_grad_()
    weight = smooth(seed + 2, 5, size_px)

    def drawn() -> tuple[Pasted, torch.Tensor]:
        pasted = compose(background, colour, mask, matrix, **way)
        (gradient,) = torch.autograd.grad((pasted.images * weight).sum() + pasted.alpha.square().sum(), matrix)
        return pasted, gradient

    module = sys.modules["terse.compositing.compose"]
    (windowed, first) = drawn()
    monkeypatch.setattr(module, "window_of_paste", lambda *args: canvas_window(args[4], args[5]))
    (each, second) = drawn()
    assert torch.equal(windowed.images, each.images)
    assert torch.equal(windowed.alpha, each.alpha)
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-3)
    monkeypatch.setattr(module, "_SMALL_PX", 10**9)
    (together, third) = drawn()
    assert (windowed.images - together.images).abs().mean() < 1e-5
    assert (windowed.alpha - together.alpha).abs().mean() < 1e-5
    torch.testing.assert_close(first, third, rtol=0.02, atol=1)


def test_a_constant_colour_is_a_patch_of_that_colour() -> None:
    mask, background = ellipse(40).repeat(2, 1, 1, 1), noise(0, 2, 3, 50, 50)
    colour, matrix = noise(1, 2, 3, 1, 1), matrices(2, mask, (50, 50))
    for way in _WAYS:
        short = compose(background, colour, mask, matrix, **way)
        long = compose(background, colour.expand(-1, -1, 40, 40), mask, matrix, **way)
        torch.testing.assert_close(short.images, long.images, rtol=0, atol=1e-6)


def test_gradcheck_in_everything() -> None:
    background = smooth(0, 2, (6, 7), torch.float64)[:, :1].clone().requires_grad_()
    colour = smooth(1, 2, (5, 5), torch.float64)[:, :1].clone().requires_grad_()
    mask = ellipse(5, dtype=torch.float64)
    mask = (mask * 0.9 + 0.05).repeat(2, 1, 1, 1).requires_grad_()
    matrix = torch.tensor(
        [[[0.913, 0.217, 0.1031], [-0.119, 1.107, 0.2017]], [[2.317, 0.413, 0.1303], [-0.307, 1.911, 0.0707]]],
        dtype=torch.float64,
        requires_grad=True,
    )
    assert torch.autograd.gradcheck(
        lambda *inputs: tuple(vars_of(compose(*inputs))), (background, colour, mask, matrix), eps=1e-7, atol=1e-4
    )


def vars_of(pasted: object) -> tuple[torch.Tensor, torch.Tensor]:
    return pasted.images, pasted.alpha  # type: ignore[attr-defined]


def test_a_second_paste_passes_gradients_to_the_first() -> None:
    mask, background = ellipse(40).repeat(2, 1, 1, 1), noise(0, 2, 3, 64, 64)
    first, second = upright(0.7, 2, 0.1).requires_grad_(), upright(0.5, 2, -0.1).requires_grad_()
    below = compose(background, noise(1, 2, 3, 40, 40), mask, first, **_EDGES)
    above = compose(below.images, noise(2, 2, 3, 40, 40), mask, second, **_EDGES)
    whole = torch.autograd.grad(above.images.sum(), first, retain_graph=True)[0]
    # Only what the second leaves visible counts: the same as masking the first one's picture by hand.
    below = compose(background, noise(1, 2, 3, 40, 40), mask, first, **_EDGES)
    by_hand = torch.autograd.grad((below.images * (1 - above.alpha.detach())).sum(), first)[0]
    torch.testing.assert_close(whole, by_hand, rtol=1e-4, atol=1e-4)
    assert whole.abs().max() > 1


def test_an_empty_batch_and_an_object_off_the_canvas_are_drawn() -> None:
    none = torch.zeros(0, 3, 20, 20)
    assert compose(none, none, none[:, :1], torch.zeros(0, 2, 3), **_EDGES).images.shape == (0, 3, 20, 20)
    background, matrix = noise(0, 1, 3, 20, 20), upright(1.0, shift_x=9.0).requires_grad_()
    drawn = compose(background, noise(1, 1, 3, 16, 16), ellipse(16), matrix, **_EDGES)
    assert torch.equal(drawn.images, background)
    drawn.images.sum().backward()
    assert matrix.grad is not None
    assert not matrix.grad.any()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"background": torch.zeros(2, 3, 9, 9, dtype=torch.uint8)},
            "background: expected a float tensor (batch, channels, height, width), got torch.uint8 (2, 3, 9, 9)",
        ),
        (
            {"foreground": torch.zeros(2, 1, 8, 8)},
            "foreground: expected batch 2 and 3 channels as the background has, got (2, 1, 8, 8)",
        ),
        ({"alpha": torch.zeros(2, 3, 8, 8)}, "alpha: expected the shape (2, 1, height, width), got (2, 3, 8, 8)"),
        ({"foreground": torch.zeros(2, 3, 4, 4)}, "foreground: expected the alpha's size (8, 8) or 1x1, got (4, 4)"),
        ({"matrix": torch.zeros(1, 2, 3)}, "matrix: expected the shape (2, 2, 3), got (1, 2, 3)"),
        ({"blur_sigma_px": 1.0}, "blur_sigma_px: expected 0 without binarise, got 1.0; pass binarise=True"),
    ],
)
def test_misuse_is_told_in_one_sentence(changed: dict[str, object], message: str, unchecked: None) -> None:
    fitting = {
        "background": torch.zeros(2, 3, 9, 9),
        "foreground": torch.zeros(2, 3, 8, 8),
        "alpha": torch.zeros(2, 1, 8, 8),
        "matrix": torch.zeros(2, 2, 3),
    }
    with pytest.raises(ShapeError) as caught:
        compose(**{**fitting, **changed})  # type: ignore[arg-type]
    assert str(caught.value) == message
