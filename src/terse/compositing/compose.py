"""One paste: f = b (+) A(m), differentiable in pose, foreground and background (paper 3.1)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from terse.compositing.blend import blend
from terse.compositing.edges import binary_edges, gaussian_weights, keep_above
from terse.compositing.raster import MAX_LEVEL
from terse.compositing.warp import (
    Where,
    Window,
    canvas_window,
    content_windows,
    paste,
    shrink_levels,
    warp,
    window_of_paste,
    windows_of_bent_pastes,
)
from terse.errors import ShapeError
from terse.poses.maps import AffineMap

__all__ = ["Pasted", "compose"]

_SMALL_PX = 128 * 128


@dataclass(frozen=True, slots=True)
class Pasted:
    """A composite image and the alpha that drew its newest object."""

    images: Float[Tensor, "b c h w"]
    alpha: Float[Tensor, "b 1 h w"]


def compose(
    background: Float[Tensor, "b c h w"],
    foreground: Float[Tensor, "b c fh fw"],
    alpha: Float[Tensor, "b 1 ah aw"],
    matrix: Float[Tensor, "b 2 3"] | Where,
    *,
    binarise: bool = False,
    blur_sigma_px: float = 0.0,
    shade: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Pasted:
    """Warp each foreground under its matrix and alpha-blend it onto its background.

    Colours are resampled premultiplied, so that no colour from outside the mask bleeds in.

    Args:
        background: batch of canvases, in [0, 1].
        foreground: straight colour; height and width may be 1 for a constant colour.
        alpha: straight alpha of the foregrounds, in [0, 1].
        matrix: canvas to foreground (`AffinePoses.matrix` makes it from a pose), or any pose family's map.
        binarise: take the interpolated rim off the mask (A.2); photographs want it, digits do not.
        blur_sigma_px: Gaussian blur of the binary mask; without `binarise` it must be 0.
        shade: what the foregrounds' alpha does to the backgrounds before they are blended, a shadow for example.

    Raises:
        ShapeError: batches, channels or foreground sizes disagree, or blur without binarise.

    Source: paper 3.1 and A.2; premultiplied resampling is ours.
    """
    _check(background, foreground, alpha, matrix)
    if blur_sigma_px and not binarise:
        raise ShapeError(f"blur_sigma_px: expected 0 without binarise, got {blur_sigma_px}; pass binarise=True")
    size_px = (background.shape[-2], background.shape[-1])
    margin_px = len(gaussian_weights(blur_sigma_px)) - 1
    where = AffineMap(matrix) if isinstance(matrix, Tensor) else matrix
    levels = shrink_levels(where, alpha.shape[-2:], size_px)
    shares = _shares(alpha.detach(), where, levels, size_px, margin_px)
    each = max(1, len(background) // len(shares))
    batches = (torch.split(t, each) for t in (foreground, alpha, keep_above(levels)))
    colours, alphas = [], []
    for number, (share, colour, mask, threshold) in enumerate(zip(shares, *batches, strict=True)):
        own = where if len(shares) == 1 else where.take(slice(number * each, (number + 1) * each))
        warped = warp(share.cut(colour, mask), share.where(own, alpha.shape), size_px, share.window, share.level)
        if binarise:
            premultiplied, edged = binary_edges(warped, threshold, blur_sigma_px)
        else:
            premultiplied, edged = warped[:, :-1], warped[:, -1:]
        inner = share.visible.inside(share.window)
        premultiplied, edged = inner.of(premultiplied), inner.of(edged)
        colours.append(colour * edged if colour.shape[-2:] == (1, 1) else premultiplied)
        alphas.append(edged)
    visible = [share.visible for share in shares]
    whole = visible == [canvas_window(size_px, 0)]
    every = alphas[0] if whole else paste(torch.zeros_like(background[:, :1]), visible, alphas)
    below = background if shade is None else shade(background, every)
    parts = zip(visible, torch.split(below, each), colours, alphas, strict=True)
    drawn = [blend(window.of(part), colour, edged) for window, part, colour, edged in parts]
    return Pasted(drawn[0] if whole else paste(below, visible, drawn), every)


@dataclass(frozen=True, slots=True)
class _Share:
    """An equal share of the batch, and what of it is worth computing."""

    content: Window  # of the patch
    window: Window  # of the canvas, with what is blurred into it
    visible: Window  # of the canvas
    level: int | None  # how often the patch is halved

    def cut(self, colour: Tensor, mask: Tensor) -> Tensor:
        """The content, premultiplied, alpha last; a constant colour is left for later."""
        mask = self.content.of(mask)
        return mask if colour.shape[-2:] == (1, 1) else torch.cat([self.content.of(colour) * mask, mask], dim=1)

    def where(self, where: Where, patch: torch.Size) -> Where:
        """The map to the content instead of the whole patch."""
        part, (height, width) = self.content, patch[-2:]
        across, down = part.x1 - part.x0, part.y1 - part.y0
        if (across, down) == (width, height):
            return where
        corner = (width - 2 * part.x0) / across - 1, (height - 2 * part.y0) / down - 1
        return where.into((width / across, height / down), corner)


def _shares(alpha: Tensor, where: Where, levels: Tensor, size_px: tuple[int, int], margin_px: int) -> list[_Share]:
    """Images one by one where leaving out what no paste touches gains more than small steps lose, else all at once."""
    patch_px = (alpha.shape[-2], alpha.shape[-1])
    small = alpha.device.type != "cpu" or size_px[0] * size_px[1] < _SMALL_PX or not len(alpha)
    if small:
        return [_Share(canvas_window(patch_px, 0), canvas_window(size_px, margin_px), canvas_window(size_px, 0), None)]
    contents, depths = content_windows(alpha), levels.tolist()
    if isinstance(where, AffineMap):
        each = zip(where.matrix.detach().tolist(), contents, depths, strict=True)
        windows = [window_of_paste(rows, part, level, patch_px, size_px, margin_px) for rows, part, level in each]
    else:
        windows = windows_of_bent_pastes(where, contents, levels, patch_px, size_px, margin_px)
    # Whole pixels of every halving, so that the part is halved as the whole would be.
    return [
        _Share(content.widened(2**MAX_LEVEL, *patch_px), window, window.on_canvas(*size_px), level)
        for content, window, level in zip(contents, windows, depths, strict=True)
    ]


def _check(background: Tensor, foreground: Tensor, alpha: Tensor, matrix: Tensor | Where) -> None:
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
    if isinstance(matrix, Tensor) and matrix.shape != (batch, 2, 3):
        raise ShapeError(f"matrix: expected the shape ({batch}, 2, 3), got {tuple(matrix.shape)}")
