"""Resampling under an affine pose: the spatial transformer of paper 3.1."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from terse.compositing.window import Window, canvas_window
from terse.errors import ShapeError

__all__ = ["warp"]

MAX_LEVEL = 5


def warp(
    image: Float[Tensor, "b c h w"],
    matrix: Float[Tensor, "b 2 3"],
    size_px: tuple[int, int],
    window: Window | None = None,
    level: int | None = None,
) -> Float[Tensor, "b c out_h out_w"]:
    """Resample each image under its own affine matrix, differentiably in both.

    The matrix takes output to input; [-1, 1] spans the outer pixel edges; outside is 0. Where it shrinks,
    the image is first halved (2x2 means) as often as brings the step between samples closest to one pixel:
    plain bilinear sampling aliases, which a network can see. The level is chosen per image from the matrix's
    determinant and takes no gradient.

    Args:
        image: premultiplied where it holds a cut-out; anything works.
        matrix: output coordinates to input coordinates, both in [-1, 1].
        size_px: height and width of the output.
        window: the part of the output that is wanted, the same pixels bit for bit; None is all of it.
        level: how often to halve every image; None chooses it.

    Raises:
        ShapeError: image and matrix disagree on the batch.

    Source: paper 3.1, after Jaderberg et al. 2015. Zero outside and the prefilter are ours.
    """
    if image.ndim != 4 or matrix.shape != (len(image), 2, 3):
        raise ShapeError(
            f"matrix: expected the shape ({len(image)}, 2, 3) of the images' batch, got {tuple(matrix.shape)}"
        )
    window = window or canvas_window(size_px, 0)
    if level is not None:
        return _sample(image, matrix, level, size_px, window)
    levels = shrink_levels(matrix.detach(), image.shape[-2:], size_px)
    deepest = int(levels.max()) if len(levels) else 0
    if deepest == 0 or int(levels.min()) == deepest:
        return _sample(image, matrix, deepest, size_px, window)
    shape = (*image.shape[:2], window.y1 - window.y0, window.x1 - window.x0)
    out = torch.zeros(shape, dtype=image.dtype, device=image.device)
    for depth in range(deepest + 1):
        rows = torch.nonzero(levels == depth).flatten()
        if len(rows):
            out = out.index_copy(0, rows, _sample(image[rows], matrix[rows], depth, size_px, window))
    return out


def affine_grid(
    matrix: Float[Tensor, "b 2 3"], size_px: tuple[int, int], window: Window
) -> Float[Tensor, "b out_h out_w 2"]:
    """The input coordinate of the centre of every output pixel in the window.

    Only elementwise arithmetic: a matrix product may round differently for another batch size, and a
    placement must render the same alone and in a batch.

    Source: Jaderberg et al. 2015, Eq. 1.
    """
    xs = _centres(window.x0, window.x1, size_px[1], matrix)
    ys = _centres(window.y0, window.y1, size_px[0], matrix)
    (m00, m01, m02), (m10, m11, m12) = (row.unbind(-1) for row in matrix.unbind(1))
    x = (m00[:, None] * xs + m02[:, None])[:, None, :] + (m01[:, None] * ys)[:, :, None]
    y = (m10[:, None] * xs + m12[:, None])[:, None, :] + (m11[:, None] * ys)[:, :, None]
    return torch.stack([x, y], dim=-1)


def shrink_levels(
    matrix: Float[Tensor, "b 2 3"], in_px: tuple[int, ...], out_px: tuple[int, int]
) -> Int64[Tensor, " b"]:
    """How often each image is to be halved before sampling: log2 of input pixels a step, rounded.

    Source: mip mapping, Williams 1983.
    """
    determinant = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
    step_px = (determinant.abs() * (in_px[0] * in_px[1]) / (out_px[0] * out_px[1])).sqrt()
    smallest = max(0, min(in_px[0], in_px[1]).bit_length() - 2)
    return torch.log2(step_px.clamp(min=1e-6)).round().clamp(0, min(MAX_LEVEL, smallest)).long()


def _centres(first: int, last: int, count: int, like: Tensor) -> Tensor:
    return (2 * torch.arange(first, last, device=like.device, dtype=like.dtype) + 1) / count - 1


def _sample(image: Tensor, matrix: Tensor, level: int, size_px: tuple[int, int], window: Window) -> Tensor:
    height, width = image.shape[-2:]
    for _ in range(level):
        image = _halve(image)
    shrink_x, shrink_y = width / (image.shape[-1] * 2**level), height / (image.shape[-2] * 2**level)
    if (shrink_x, shrink_y) != (1, 1):  # zeros that made a side even widened the image, and [-1, 1] with it
        matrix = matrix * matrix.new_tensor([[shrink_x], [shrink_y]])
        matrix = matrix + matrix.new_tensor([[0, 0, shrink_x - 1], [0, 0, shrink_y - 1]])
    grid = affine_grid(matrix, size_px, window)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _halve(image: Tensor) -> Tensor:
    """Means of 2x2 pixels, in a fifth of `avg_pool2d`'s time on a CPU."""
    odd = (0, image.shape[-1] % 2, 0, image.shape[-2] % 2)
    if any(odd):
        image = functional.pad(image, odd)
    rows = image[:, :, 0::2] + image[:, :, 1::2]
    return (rows[..., 0::2] + rows[..., 1::2]) * 0.25
