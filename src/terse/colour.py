"""Light and colour of images in [0, 1] as stored, not in linear light; neutral values change nothing, bit for bit.

Each image has its own value of each parameter, so one call changes a batch.
"""

from dataclasses import dataclass

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
    plain = bool((light.gamma == 1).all())
    x = (images if plain else images.clamp(min=_LEAST) ** light.gamma[:, None, None, None]).flatten(2)
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
    """Each image under a Gaussian blur of its own; 0 leaves it alone. Edges are continued.

    Source: ours.
    """
    rows = torch.nonzero(sigma_px > 0).flatten()
    if not len(rows):
        return images
    chosen, sigma = images[rows], sigma_px[rows]
    radius = max(1, round(3 * float(sigma.detach().max())))
    offset = torch.arange(-radius, radius + 1).to(images)
    weight = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    weight = (weight / weight.sum(1, keepdim=True)).repeat_interleave(images.shape[1], 0)[:, None]
    flat = chosen.reshape(1, -1, *images.shape[-2:])
    padded = functional.pad(flat, [radius] * 4, mode="replicate")
    soft = functional.conv2d(padded, weight[:, :, None], groups=len(weight))
    soft = functional.conv2d(soft, weight[:, :, :, None], groups=len(weight))
    return images.index_copy(0, rows, soft.reshape(chosen.shape))
