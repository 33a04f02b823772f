"""The mask edges of the paper's custom spatial transformer (A.2)."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["binary_edges", "gaussian_weights", "keep_above"]

_FULL = 1 - 1e-4
_LEAST = 0.5
_SOME = 1e-12


def binary_edges(
    warped: Float[Tensor, "b c h w"], threshold: Float[Tensor, " b"], blur_sigma_px: float
) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b 1 h w"]]:
    """Take the interpolated rim off a warped cut-out, then blur what is left into its surroundings.

    What is kept becomes opaque, the rest goes, its colour as well. Blurring spreads the mask over its border;
    the pixels it then covers anew take the kept colours, spread by the same blur, so that nothing from outside
    the mask shows. The gradient moves the mask as if the step were not there, and takes the border's colours as constant.

    Args:
        warped: premultiplied colour, alpha last.
        threshold: alpha above which a pixel is kept (`keep_above`), at least 0.5.
        blur_sigma_px: of the Gaussian; 0 leaves the mask hard.

    Returns:
        Premultiplied colour, without channels where `warped` is an alpha alone, and alpha.

    Source: paper A.2, Custom Spatial Transformer; the threshold, the colour of the border and the gradient
    are ours.
    """
    premultiplied, alpha = _Edges.apply(warped, threshold, blur_sigma_px)
    return premultiplied, alpha


def keep_above(levels: Int64[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The alpha above which a pixel of a warped mask is kept, for masks halved so often before sampling.

    The paper subtracts 1 - 1e-7 and applies ReLU: full alpha alone is kept, which takes half a pixel of the
    cut-out off its border. 1e-7 is below float32 noise and leaves holes, so it is 1e-4 here. Of a mask that was
    halved, full alpha would take half of a far wider pixel (at a fifth of the size a quarter of a person goes,
    limbs first), so the threshold falls to where half a pixel of the cut-out goes at every size.

    Source: paper A.2 at level 0; ours beyond.
    """
    return ((1 + torch.exp2(-levels.float())) / 2).clamp(max=_FULL)


def gaussian_weights(sigma_px: float) -> list[float]:
    """The weights of a normalised Gaussian at 0, 1, 2 ... pixels from its centre, over three sigmas.

    Source: ours.
    """
    radius = math.ceil(3 * sigma_px)
    weights = [math.exp(-(x**2) / (2 * sigma_px**2)) for x in range(radius + 1)] if radius else [1.0]
    total = weights[0] + 2 * sum(weights[1:])
    return [weight / total for weight in weights]


class _Edges(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, warped: Tensor, threshold: Tensor, sigma_px: float) -> tuple[Tensor, Tensor]:
        alpha = warped[:, -1:]
        keep = alpha > threshold.to(alpha)[:, None, None, None]
        opaque = keep / alpha.clamp(min=_LEAST)
        kept = warped * opaque
        weights = gaussian_weights(sigma_px)
        blurred = _blur(kept, weights)
        edged = blurred[:, -1:].contiguous()
        beyond = blurred[:, :-1].mul_((~keep).to(warped))
        premultiplied = (kept[:, :-1] * edged).add_(beyond)
        ctx.weights = weights
        ctx.save_for_backward(opaque, kept, premultiplied, edged)
        return premultiplied, edged

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """The mask moves as if unstepped and carries its colours along; beyond it, these are taken as constant."""
        on_colour, on_alpha = grads
        opaque, kept, premultiplied, edged = ctx.saved_tensors
        grad = torch.empty_like(kept)
        on_mask = (on_colour * premultiplied).sum(dim=1, keepdim=True).div_(edged.clamp(min=_SOME)).add_(on_alpha)
        colour = torch.mul(on_colour, edged * opaque, out=grad[:, :-1])
        divided = (colour * kept[:, :-1]).sum(dim=1, keepdim=True)
        torch.sub(_blur(on_mask, ctx.weights), divided, out=grad[:, -1:])
        return grad, None, None


def _blur(image: Tensor, weights: list[float]) -> Tensor:
    """Rows, then columns; zero outside.

    Sums of shifted products, because a convolution rounds differently for another size or batch, and a
    placement must render the same alone, in a batch and in any window. Its own transpose, so it is also
    its gradient.
    """
    for dim in (3, 2):
        length = image.shape[dim]
        out = image * weights[0]
        for shift, weight in enumerate(weights[1:], start=1):
            if shift >= length:
                break
            rest = length - shift
            out.narrow(dim, shift, rest).add_(image.narrow(dim, 0, rest), alpha=weight)
            out.narrow(dim, 0, rest).add_(image.narrow(dim, shift, rest), alpha=weight)
        image = out
    return image
