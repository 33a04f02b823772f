"""Which part of the canvas a paste can touch, so that no work is spent on the rest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from terse.compositing.labels import span_of_hits

__all__ = ["Window", "canvas_window", "content_windows", "paste", "window_of_paste"]


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
