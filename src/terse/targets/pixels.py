"""From images in [0, 1] to what a network was trained on: its side, its mean and spread."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["Pixels"]


@dataclass(frozen=True, slots=True)
class Pixels:
    """Resizes images to a square and normalises them, differentiably.

    Grey images are shown to a network of three channels as three equal ones.
    """

    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    side_px: int | None = None  # None keeps the images' own size

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b channels side side_too"]:
        """The batch as the network takes it."""
        if self.side_px is not None and images.shape[-2:] != (self.side_px, self.side_px):
            size = (self.side_px, self.side_px)
            if self.side_px < min(images.shape[-2:]):
                images = interpolate(images, size, mode="area")  # the mean of what falls into a pixel: no aliasing
            else:
                images = interpolate(images, size, mode="bilinear", align_corners=False)
        if images.shape[1] == 1 and len(self.mean) > 1:
            images = images.expand(-1, len(self.mean), -1, -1)
        mean, std = (torch.tensor(list(of), device=images.device)[:, None, None] for of in (self.mean, self.std))
        return (images - mean) / std
