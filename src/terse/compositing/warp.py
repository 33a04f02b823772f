"""Resampling under a pose, in the part of the canvas that it touches: the spatial transformer of paper 3.1."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from terse.compositing.raster import MAX_LEVEL
from terse.compositing.truth import span_of_hits
from terse.errors import ShapeError
from terse.poses.maps import AffineMap, CanvasMap

__all__ = ["Window", "canvas_window", "content_windows", "paste", "warp", "window_of_paste", "windows_of_bent_pastes"]

_RIM_POINTS = 17
_BULGE = 0.02  # of a bent paste's extent: how far its border may curve out between two points of the rim
Where = AffineMap | CanvasMap


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open rectangle of canvas pixels; it may reach over the canvas's border."""

    x0: int
    y0: int
    x1: int
    y1: int

    def on_canvas(self, height: int, width: int) -> "Window":
        """The part that lies on the canvas."""
        return Window(max(self.x0, 0), max(self.y0, 0), min(self.x1, width), min(self.y1, height))

    def of(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c wh ww"]:
        """That part of a canvas."""
        return image[:, :, self.y0 : self.y1, self.x0 : self.x1]

    def widened(self, multiple_px: int, height: int, width: int) -> "Window":
        """To multiples of so many pixels, or to the border of an image; at least one pixel."""
        left, top = self.x0 // multiple_px * multiple_px, self.y0 // multiple_px * multiple_px
        right, bottom = -(-max(self.x1, 1) // multiple_px), -(-max(self.y1, 1) // multiple_px)
        return Window(left, top, min(right * multiple_px, width), min(bottom * multiple_px, height))

    def inside(self, outer: "Window") -> "Window":
        """The same pixels, counted from the corner of another window."""
        return Window(self.x0 - outer.x0, self.y0 - outer.y0, self.x1 - outer.x0, self.y1 - outer.y0)


def canvas_window(size_px: tuple[int, int], margin_px: int) -> Window:
    """The whole canvas and a margin around it.

    Source: ours.
    """
    return Window(-margin_px, -margin_px, size_px[1] + margin_px, size_px[0] + margin_px)


def content_windows(alpha: Float[Tensor, "b 1 h w"]) -> list[Window]:
    """The part of each patch that holds its mask; no pixels where it is empty.

    Source: ours.
    """
    columns, rows = alpha[:, 0].amax(dim=1) > 0, alpha[:, 0].amax(dim=2) > 0
    spans = torch.stack([*span_of_hits(columns), *span_of_hits(rows)], dim=1).tolist()
    return [Window(x0, y0, x1, y1) for x0, x1, y0, y1 in spans]


def warp(
    image: Float[Tensor, "b c h w"],
    where: Float[Tensor, "b 2 3"] | Where,
    size_px: tuple[int, int],
    window: Window | None = None,
    level: int | None = None,
) -> Float[Tensor, "b c out_h out_w"]:
    """Resample each image under its own map, or affine matrix, differentiably in both.

    The map takes output to input; [-1, 1] spans the outer pixel edges; outside is 0. Where it shrinks,
    the image is first halved (2x2 means) as often as brings the step between samples closest to one pixel:
    plain bilinear sampling aliases, which a network can see. The level is chosen per image from how much the map
    shrinks and takes no gradient.

    Args:
        image: premultiplied where it holds a cut-out; anything works.
        where: output coordinates to input coordinates, both in [-1, 1].
        size_px: height and width of the output.
        window: the part of the output that is wanted, the same pixels bit for bit; None is all of it.
        level: how often to halve every image; None chooses it.

    Raises:
        ShapeError: image and matrix disagree on the batch.

    Source: paper 3.1, after Jaderberg et al. 2015. Zero outside and the prefilter are ours.
    """
    if isinstance(where, Tensor):
        if image.ndim != 4 or where.shape != (len(image), 2, 3):
            raise ShapeError(
                f"matrix: expected the shape ({len(image)}, 2, 3) of the images' batch, got {tuple(where.shape)}"
            )
        where = AffineMap(where)
    window = window or canvas_window(size_px, 0)
    if level is not None:
        return _sample(image, where, level, size_px, window)
    levels = shrink_levels(where, image.shape[-2:], size_px)
    deepest = int(levels.max()) if len(levels) else 0
    if deepest == 0 or int(levels.min()) == deepest:
        return _sample(image, where, deepest, size_px, window)
    shape = (*image.shape[:2], window.y1 - window.y0, window.x1 - window.x0)
    out = torch.zeros(shape, dtype=image.dtype, device=image.device)
    for depth in range(deepest + 1):
        rows = torch.nonzero(levels == depth).flatten()
        if len(rows):
            out = out.index_copy(0, rows, _sample(image[rows], where.take(rows), depth, size_px, window))
    return out


def grid_of(where: Where, size_px: tuple[int, int], window: Window, like: Tensor) -> Float[Tensor, "b out_h out_w 2"]:
    """The input coordinate of the centre of every output pixel in the window.

    Source: Jaderberg et al. 2015, Eq. 1.
    """
    xs = _centres(window.x0, window.x1, size_px[1], like)
    ys = _centres(window.y0, window.y1, size_px[0], like)
    return torch.stack(where.at(xs[None, None, :], ys[None, :, None]), dim=-1)


def shrink_levels(
    where: Float[Tensor, "b 2 3"] | Where, in_px: tuple[int, ...], out_px: tuple[int, int]
) -> Int64[Tensor, " b"]:
    """How often each image is to be halved before sampling: log2 of input pixels a step, rounded.

    Source: mip mapping, Williams 1983.
    """
    shrink = (AffineMap(where) if isinstance(where, Tensor) else where).shrink().detach()
    step_px = (shrink * (in_px[0] * in_px[1]) / (out_px[0] * out_px[1])).sqrt()
    smallest = max(0, min(in_px[0], in_px[1]).bit_length() - 2)
    return torch.log2(step_px.clamp(min=1e-6)).round().clamp(0, min(MAX_LEVEL, smallest)).long()


def window_of_paste(
    matrix: Sequence[Sequence[float]],
    content: Window,
    level: int,
    patch_px: tuple[int, int],
    size_px: tuple[int, int],
    margin_px: int,
) -> Window:
    """Where a warped patch can be above 0, and `margin_px` around it, cut off as far outside the canvas.

    It has at least one pixel on the canvas.

    Args:
        matrix: canvas to patch.
        content: the part of the patch that holds something.
        level: how often the patch is halved before it is sampled (`warp.shrink_levels`).
        patch_px: height and width of the patch.
        size_px: height and width of the canvas.
        margin_px: how far a paste spreads beyond its mask.

    Source: ours.
    """
    (a, b, c), (d, e, f) = matrix
    determinant = a * e - b * d
    if determinant == 0 or not all(map(math.isfinite, (determinant, c, f))):
        return canvas_window(size_px, margin_px)
    # A halved image's pixel is 2^level wide, begins up to one width before the mask, and is felt half a width away.
    reach = 1.5 * 2**level
    x0, y0, x1, y1 = content.x0 - reach, content.y0 - reach, content.x1 + reach, content.y1 + reach
    (height, width), (patch_height, patch_width) = size_px, patch_px
    xs, ys = [], []
    for x, y in ((x0, y0), (x1, y0), (x0, y1), (x1, y1)):
        u, v = 2 * x / patch_width - 1 - c, 2 * y / patch_height - 1 - f
        xs.append(((e * u - b * v) / determinant + 1) / 2 * width)
        ys.append(((a * v - d * u) / determinant + 1) / 2 * height)
    left, right = _span(min(xs), max(xs), width, margin_px)
    top, bottom = _span(min(ys), max(ys), height, margin_px)
    return Window(left, top, right, bottom)


def windows_of_bent_pastes(
    where: CanvasMap,
    contents: Sequence[Window],
    levels: Int64[Tensor, " b"],
    patch_px: tuple[int, int],
    size_px: tuple[int, int],
    margin_px: int,
) -> list[Window]:
    """As `window_of_paste`, for a whole batch and maps that bend the rim of what they paste.

    Source: ours.
    """
    edges = torch.tensor([[part.x0, part.y0, part.x1, part.y1] for part in contents], dtype=torch.float32)
    reach = 1.5 * torch.exp2(levels.float().cpu())[:, None]
    low, high = edges[:, :2] - reach, edges[:, 2:] + reach
    along = torch.linspace(0, 1, _RIM_POINTS)
    ends = torch.zeros_like(along), torch.ones_like(along)
    shares = torch.cat([torch.stack([along, end], 1) for end in ends] + [torch.stack([end, along], 1) for end in ends])
    rim = low[:, None] + (high - low)[:, None] * shares
    rim = 2 * rim / rim.new_tensor([patch_px[1], patch_px[0]]) - 1
    with torch.no_grad():
        found = (where.detach().inverse(rim.to(where.half)) + 1) / 2 * where.half.new_tensor([size_px[1], size_px[0]])
    first, last = found.amin(dim=1), found.amax(dim=1)
    bulge = _BULGE * (last - first)
    windows = []
    for low_px, high_px in zip((first - bulge).tolist(), (last + bulge).tolist(), strict=True):
        if not all(map(math.isfinite, (*low_px, *high_px))):
            windows.append(canvas_window(size_px, margin_px))
            continue
        left, right = _span(low_px[0], high_px[0], size_px[1], margin_px)
        top, bottom = _span(low_px[1], high_px[1], size_px[0], margin_px)
        windows.append(Window(left, top, right, bottom))
    return windows


def paste(
    canvas: Float[Tensor, "b c h w"], windows: Sequence[Window], parts: Sequence[Float[Tensor, "n c _ _"]]
) -> Float[Tensor, "b c h w"]:
    """The canvases with each part in its window; every part covers the same number of images.

    Source: ours.
    """
    pasted: Tensor = _Paste.apply(canvas, tuple(windows), *parts)
    return pasted


class _Paste(torch.autograd.Function):
    """In-place assignment that does not copy the whole batch's gradient once for each part."""

    @staticmethod
    def forward(ctx: Any, canvas: Tensor, windows: tuple[Window, ...], *parts: Tensor) -> Tensor:
        ctx.windows = windows
        ctx.each = max(1, len(canvas) // len(windows))
        out = canvas.clone()
        for window, rows, part in zip(windows, torch.split(out, ctx.each), parts, strict=True):
            window.of(rows).copy_(part)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        (grad,) = grads
        parts = [window.of(rows) for window, rows in zip(ctx.windows, torch.split(grad, ctx.each), strict=True)]
        below = None
        if ctx.needs_input_grad[0]:
            below = grad.clone()
            for window, rows in zip(ctx.windows, torch.split(below, ctx.each), strict=True):
                window.of(rows).zero_()
        return below, None, *parts


def _span(low: float, high: float, length: int, margin_px: int) -> tuple[int, int]:
    first = min(max(low - margin_px - 1, -margin_px), length - 1)
    last = max(min(high + margin_px + 1, length + margin_px), 1, first + 1)
    return math.floor(first), math.ceil(last)


def _centres(first: int, last: int, count: int, like: Tensor) -> Tensor:
    return (2 * torch.arange(first, last, device=like.device, dtype=like.dtype) + 1) / count - 1


def _sample(image: Tensor, where: Where, level: int, size_px: tuple[int, int], window: Window) -> Tensor:
    height, width = image.shape[-2:]
    for _ in range(level):
        image = _halve(image)
    shrink_x, shrink_y = width / (image.shape[-1] * 2**level), height / (image.shape[-2] * 2**level)
    if (shrink_x, shrink_y) != (1, 1):  # zeros that made a side even widened the image, and [-1, 1] with it
        where = where.into((shrink_x, shrink_y), (shrink_x - 1, shrink_y - 1))
    grid = grid_of(where, size_px, window, image)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _halve(image: Tensor) -> Tensor:
    """Means of 2x2 pixels, in a fifth of `avg_pool2d`'s time on a CPU."""
    odd = (0, image.shape[-1] % 2, 0, image.shape[-2] % 2)
    if any(odd):
        image = functional.pad(image, odd)
    rows = image[:, :, 0::2] + image[:, :, 1::2]
    return (rows[..., 0::2] + rows[..., 1::2]) * 0.25
