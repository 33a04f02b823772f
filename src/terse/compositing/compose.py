"""One paste: f = b (+) A(m), differentiable in pose, foreground and background (paper 3.1)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from terse.compositing.blend import blend
from terse.compositing.edges import binary_edges
from terse.compositing.warp import warp
from terse.errors import ShapeError

__all__ = ["Pasted", "compose"]

_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Pasted:
    """A composite image and the alpha that drew its newest object."""

    images: Float[Tensor, "b c h w"]
    alpha: Float[Tensor, "b 1 h w"]


def compose(
    background: Float[Tensor, "b c h w"],
    foreground: Float[Tensor, "b c fh fw"],
    alpha: Float[Tensor, "b 1 ah aw"],
    matrix: Float[Tensor, "b 2 3"],
    *,
    binarise: bool = False,
    blur_sigma_px: float = 0.0,
) -> Pasted:
    """Warp each foreground under its matrix and alpha-blend it onto its background.

    Colours are resampled premultiplied, so that no colour from outside the mask bleeds in.

    Args:
        background: batch of canvases, in [0, 1].
        foreground: straight colour; height and width may be 1 for a constant colour.
        alpha: straight alpha of the foregrounds, in [0, 1].
        matrix: canvas to foreground (`AffinePoses.matrix` makes it from a pose).
        binarise: take the interpolated rim off the mask (A.2); photographs want it, digits do not.
        blur_sigma_px: Gaussian blur of the binary mask; without `binarise` it must be 0.

    Raises:
        ShapeError: batches, channels or foreground sizes disagree, or blur without binarise.

    Source: paper 3.1 and A.2; premultiplied resampling is ours.
    """
    _check(background, foreground, alpha, matrix)
    if blur_sigma_px and not binarise:
        raise ShapeError(f"blur_sigma_px: expected 0 without binarise, got {blur_sigma_px}; pass binarise=True")
    size_px = (background.shape[-2], background.shape[-1])
    if foreground.shape[-2:] == (1, 1):
        warped_alpha = warp(alpha, matrix, size_px)
        colour = foreground
        premultiplied = None if binarise else foreground * warped_alpha
    else:
        warped = warp(torch.cat([foreground * alpha, alpha], dim=1), matrix, size_px)
        premultiplied, warped_alpha = warped[:, :-1], warped[:, -1:]
        colour = premultiplied / warped_alpha.clamp(min=_EPSILON) if binarise else premultiplied
    if premultiplied is None or binarise:
        warped_alpha = binary_edges(warped_alpha, blur_sigma_px) * (warped_alpha.detach() > _EPSILON)
        premultiplied = colour * warped_alpha
    return Pasted(blend(background, premultiplied, warped_alpha), warped_alpha)


def _check(background: Tensor, foreground: Tensor, alpha: Tensor, matrix: Tensor) -> None:
    for name, tensor in (("background", background), ("foreground", foreground), ("alpha", alpha)):
        if tensor.ndim != 4 or not tensor.is_floating_point():
            raise ShapeError(
                f"{name}: expected a float tensor (batch, channels, height, width), "
                f"got {tensor.dtype} {tuple(tensor.shape)}"
            )
    batch, channels = background.shape[:2]
    if foreground.shape[:2] != (batch, channels):
        raise ShapeError(
            f"foreground: expected batch {batch} and {channels} channels as the background has, "
            f"got {tuple(foreground.shape)}"
        )
    if alpha.shape[:2] != (batch, 1):
        raise ShapeError(f"alpha: expected the shape ({batch}, 1, height, width), got {tuple(alpha.shape)}")
    if foreground.shape[-2:] not in ((1, 1), alpha.shape[-2:]):
        raise ShapeError(
            f"foreground: expected the alpha's size {tuple(alpha.shape[-2:])} or 1x1, got {tuple(foreground.shape[-2:])}"
        )
    if matrix.shape != (batch, 2, 3):
        raise ShapeError(f"matrix: expected the shape ({batch}, 2, 3), got {tuple(matrix.shape)}")
