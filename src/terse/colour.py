"""Light and colour of images in [0, 1] as stored, not in linear light; neutral values change nothing, bit for bit.

Each image has its own value of each parameter, so one call changes a batch.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["Light", "blurred", "relit"]

_GREY = (0.299, 0.587, 0.114)
_LEAST = 1e-6  # the slope of a power is infinite at 0


@dataclass(frozen=True, slots=True)
class Light:
    """How light and colour change: gamma first, then tint, saturation, contrast and exposure, all of them factors.

    Source: ours.
    """

    gamma: Float[Tensor, " b"]
    tint: Float[Tensor, "b c"]
    saturation: Float[Tensor, " b"]  # 0 is grey
    contrast: Float[Tensor, " b"]  # about the image's mean
    exposure: Float[Tensor, " b"]
    vignette: Float[Tensor, " b"]  # so much darker in the corners


def relit(images: Float[Tensor, "b c h w"], light: Light) -> Float[Tensor, "b c h w"]:
    """The images in other light, clipped to [0, 1]; differentiable in both.

    Source: ours.
    """
    _, channels, height, width = images.shape
    gamma = light.gamma[:, None, None, None]
    plain = gamma == 1  # such an image keeps its zeros, whatever the others of the batch have
    x = (images if bool(plain.all()) else torch.where(plain, images, images.clamp(min=_LEAST) ** gamma)).flatten(2)
    matrix = torch.diag_embed(light.tint)
    if channels == len(_GREY):
        grey = x.new_tensor(_GREY).expand(3, 3)
        mix = light.saturation[:, None, None] * torch.eye(3).to(x) + (1 - light.saturation[:, None, None]) * grey
        matrix = mix @ matrix
    matrix = matrix * (light.contrast * light.exposure)[:, None, None]
    # The mean of a linear map is the map of the mean: contrast needs no second pass over the pixels.
    mean = (matrix @ x.mean(2, keepdim=True)).mean(1, keepdim=True) / light.contrast[:, None, None]
    out = torch.baddbmm(mean * (1 - light.contrast[:, None, None]), matrix, x).reshape(images.shape)
    if bool((light.vignette != 0).any()):
        y, z = (torch.linspace(-1, 1, side).to(x) ** 2 / 2 for side in (height, width))
        out = out * (1 - light.vignette[:, None, None, None] * (y[:, None] + z)[None, None])
    return out.clamp(0, 1)


def blurred(images: Float[Tensor, "b c h w"], sigma_px: Float[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
    """Each image under a Gaussian blur of its own, over three sigmas; 0 leaves it alone. Edges are continued.

    Differentiable in both; an image has the same bits alone and in a batch.

    Source: ours.
    """
    rows = torch.nonzero(sigma_px > 0).flatten()
    if not len(rows):
        return images
    if len(rows) == len(images):
        return _Blur.apply(images, sigma_px)  # type: ignore[no-any-return]
    return images.index_copy(0, rows, _Blur.apply(images[rows], sigma_px[rows]))


class _Blur(torch.autograd.Function):
    """Sums of shifted products. A depthwise convolution takes ten times as long backwards, and rounds by the batch."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, sigma_px: Tensor) -> Tensor:
        # One by one on a CPU: each has its own number of taps, and stays in the cache.
        each = 1 if images.device.type == "cpu" else len(images)
        out = torch.empty_like(images, memory_format=torch.contiguous_format)
        ctx.weights = []
        for image, sigma, made in zip(*(torch.split(t, each) for t in (images, sigma_px, out)), strict=True):
            weights, slopes = _gaussian(sigma)
            ctx.weights.append((weights, slopes))
            made.copy_(_along(_along(image, weights, 3), weights, 2))
        ctx.save_for_backward(images)
        ctx.each = each
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (images,), on_images, on_sigma = ctx.saved_tensors, [], []
        parts = zip(torch.split(images, ctx.each), torch.split(grads[0], ctx.each), ctx.weights, strict=True)
        for image, grad, (weights, slopes) in parts:
            back = _back(grad, weights, 2)
            if ctx.needs_input_grad[0]:
                on_images.append(_back(back, weights, 3))
            if ctx.needs_input_grad[1]:
                down = _along(_along(image, weights, 3), slopes, 2).mul_(grad)
                across = _along(image, slopes, 3).mul_(back)
                on_sigma.append(down.add_(across).sum(dim=(1, 2, 3)))
        return torch.cat(on_images) if on_images else None, torch.cat(on_sigma) if on_sigma else None


def _gaussian(sigma_px: Float[Tensor, " b"]) -> tuple[list[Tensor], list[Tensor]]:
    """Weights at 0, 1, 2 ... pixels from the centre, 0 beyond three sigmas, and what they gain by a wider sigma."""
    radius = (3 * sigma_px).round().clamp(min=1)
    offset = torch.arange(int(radius.max()) + 1).to(sigma_px)
    squares = (offset / sigma_px[:, None]).square()
    bell = torch.exp(-0.5 * squares) * (offset <= radius[:, None])
    gain = bell * squares / sigma_px[:, None]
    sides = 2 - (offset == 0).to(sigma_px)
    total = (sides * bell).sum(1, keepdim=True)
    weights = bell / total
    slopes = (gain - weights * (sides * gain).sum(1, keepdim=True)) / total
    return _columns(weights), _columns(slopes)


def _columns(values: Float[Tensor, "b taps"]) -> list[Tensor]:
    return [column[:, None, None, None] for column in values.unbind(1)]


def _along(images: Tensor, weights: list[Tensor], dim: int) -> Tensor:
    """The weighted sum of neighbours along one dimension."""
    radius, length = len(weights) - 1, images.shape[dim]
    padded = functional.pad(images, [radius * (dim == 3)] * 2 + [radius * (dim == 2)] * 2, mode="replicate")
    out = images * weights[0]
    for shift, weight in enumerate(weights[1:], start=1):
        out.addcmul_(padded.narrow(dim, radius - shift, length), weight)
        out.addcmul_(padded.narrow(dim, radius + shift, length), weight)
    return out


def _back(grad: Tensor, weights: list[Tensor], dim: int) -> Tensor:
    """The transpose of `_along`: what goes to a continued edge is the edge's."""
    radius, length = len(weights) - 1, grad.shape[dim]
    size = list(grad.shape)
    size[dim] += 2 * radius
    padded = grad.new_zeros(size)
    padded.narrow(dim, radius, length).copy_(grad * weights[0])
    for shift, weight in enumerate(weights[1:], start=1):
        padded.narrow(dim, radius - shift, length).addcmul_(grad, weight)
        padded.narrow(dim, radius + shift, length).addcmul_(grad, weight)
    out = padded.narrow(dim, radius, length)
    out.narrow(dim, 0, 1).add_(padded.narrow(dim, 0, radius).sum(dim, keepdim=True))
    out.narrow(dim, length - 1, 1).add_(padded.narrow(dim, radius + length, radius).sum(dim, keepdim=True))
    return out
