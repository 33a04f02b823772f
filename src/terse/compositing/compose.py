"""One paste: f = b (+) A(m), differentiable in pose, foreground and background (paper 3.1)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from terse.compositing.blend import blend
from terse.compositing.edges import binary_edges, gaussian_weights, keep_above
from terse.compositing.warp import shrink_levels, warp
from terse.compositing.window import Window, canvas_window, paste, windows_of_pastes
from terse.errors import ShapeError

__all__ = ["Pasted", "compose"]


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
    if binarise:
        return _with_edges(background, foreground, alpha, matrix, blur_sigma_px)
    size_px = (background.shape[-2], background.shape[-1])
    if foreground.shape[-2:] == (1, 1):
        warped_alpha = warp(alpha, matrix, size_px)
        premultiplied = foreground * warped_alpha
    else:
        warped = warp(torch.cat([foreground * alpha, alpha], dim=1), matrix, size_px)
        premultiplied, warped_alpha = warped[:, :-1], warped[:, -1:]
    return Pasted(blend(background, premultiplied, warped_alpha), warped_alpha)


def _with_edges(background: Tensor, foreground: Tensor, alpha: Tensor, matrix: Tensor, blur_sigma_px: float) -> Pasted:
    size_px = (background.shape[-2], background.shape[-1])
    margin_px = len(gaussian_weights(blur_sigma_px)) - 1
    levels = shrink_levels(matrix.detach(), alpha.shape[-2:], size_px)
    windows, depths = _plan(alpha, matrix.detach(), levels, size_px, margin_px)
    visible = [window.on_canvas(*size_px) for window in windows]
    each = max(1, len(background) // len(windows))
    batches = (torch.split(t, each) for t in (background, foreground, alpha, matrix, keep_above(levels)))
    drawn, alphas = [], []
    for window, part, depth, below, colour, mask, pose, keep in zip(windows, visible, depths, *batches, strict=True):
        warped = warp(torch.cat([colour * mask, mask], dim=1), pose, size_px, window, depth)
        premultiplied, edged = (part.inside(window).of(t) for t in binary_edges(warped, keep, blur_sigma_px))
        drawn.append(blend(part.of(below), premultiplied, edged))
        alphas.append(edged)
    nothing = torch.zeros_like(background[:, :1])
    return Pasted(paste(background, visible, drawn), paste(nothing, visible, alphas))


def _plan(
    alpha: Tensor, matrix: Tensor, levels: Tensor, size_px: tuple[int, int], margin_px: int
) -> tuple[list[Window], list[int | None]]:
    """The windows to draw one after the other, each of an equal share of the batch, and their halvings.

    A CPU gains by leaving out what no paste touches; a GPU loses more by many small steps.
    """
    if alpha.device.type == "cpu" and len(alpha):
        return windows_of_pastes(alpha, matrix, levels, size_px, margin_px), levels.tolist()
    return [canvas_window(size_px, margin_px)], [None]


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
