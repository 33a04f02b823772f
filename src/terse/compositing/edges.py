"""The mask edges of the paper's custom spatial transformer (A.2)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["binary_edges"]

_KEEP = 1 - 1e-4


class _StraightThrough(torch.autograd.Function):
    """1 where alpha > 1 - 1e-4, else 0; the gradient passes as if nothing had been done."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor) -> Tensor:
        return (alpha > _KEEP).to(alpha.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


def binary_edges(alpha: Float[Tensor, "b 1 h w"], blur_sigma_px: float) -> Float[Tensor, "b 1 h w"]:
    """Take the interpolated rim off a warped mask, then blur the binary mask.

    The paper subtracts 1 - 1e-7 and applies ReLU; that is below float32 noise and leaves holes inside the
    object, so alpha > 1 - 1e-4 is kept. The gradient is passed straight through the step.

    Source: paper A.2, Custom Spatial Transformer; the threshold and the gradient are ours.
    """
    binary: Tensor = _StraightThrough.apply(alpha)
    if blur_sigma_px == 0:
        return binary
    kernel = gaussian_kernel(blur_sigma_px).to(alpha)
    radius = len(kernel) // 2
    # Zeros beyond the border would let the background shine through wherever it cuts an object.
    padded = functional.pad(binary, (radius, radius, radius, radius), mode="replicate")
    rows = functional.conv2d(padded, kernel.view(1, 1, 1, -1))
    return functional.conv2d(rows, kernel.view(1, 1, -1, 1))


def gaussian_kernel(sigma_px: float) -> Float[Tensor, " k"]:
    """A normalised Gaussian over three sigmas to each side."""
    radius = max(1, round(3 * sigma_px))
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    weights = torch.exp(-(x**2) / (2 * sigma_px**2))
    return weights / weights.sum()
