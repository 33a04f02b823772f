"""Real photograph or composite? The third player (paper 3.3, A.2) and its losses (Eq. 2)."""

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from terse.errors import ShapeError

__all__ = ["Discriminator", "auc_of_scores", "discriminator_loss", "realism_loss"]

_DOUBLINGS = (1, 2, 4, 8)
_SMALLEST_PX = 24  # below it, InstanceNorm meets maps of a single pixel


class Discriminator(nn.Module):
    """A PatchGAN: a logit for each overlapping patch, above zero where the patch looks real.

    Each patch is 70 px wide. With more scales, a network of its own looks at the image halved once more,
    so that its patches span more of the image.

    Args:
        weight_sigma: of the normal distribution that weights are drawn from. The paper writes "variance 0.02"
            (0.1414 here); its source, pix2pixHD, has 0.02 as the deviation.
        scales: how many networks; 1 is the paper's.
        width: channels of the first layer; 64 is the paper's.
        input_px: side that larger images are shrunk to; None keeps them.

    Source: paper A.2 as dumped, after Wang et al. 2018 (pix2pixHD). The dumped `AvgPool2d` halves between
    scales and so does nothing at one. Each patch has one vote, whatever its scale: ours, as are width and
    input size, for CPUs: 32 images at 300 px take a Xeon's core 9.3 s forward and backward, at 150 px and half
    the width 0.6 s.
    """

    def __init__(
        self, *, weight_sigma: float = 0.02, scales: int = 1, width: int = 64, input_px: int | None = None
    ) -> None:
        super().__init__()
        self.input_px = input_px
        self.networks = nn.ModuleList(_patch_network(width) for _ in range(scales))
        self.halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=weight_sigma)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b patches"]:
        """The logit of every patch, the finest scale first, rows before columns.

        Images are RGB in [0, 1] and are seen as [-1, 1].

        Raises:
            ShapeError: not RGB, or too small for the scales.

        Source: paper A.2.
        """
        smallest = _SMALLEST_PX * 2 ** (len(self.networks) - 1)
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[-2:]) < smallest:
            raise ShapeError(
                f"images: expected RGB of shape (batch, 3, height, width), at least {smallest} px a side, "
                f"got {tuple(images.shape)}"
            )
        if self.input_px is not None and min(images.shape[-2:]) > self.input_px:
            size = (self.input_px, self.input_px)
            images = functional.interpolate(images, size, mode="bilinear", antialias=True)
        image = 2 * images - 1
        logits = []
        for index, network in enumerate(self.networks):
            image = self.halve(image) if index else image
            logits.append(network(image).flatten(1))
        return torch.cat(logits, dim=1)


def discriminator_loss(
    real_logits: Float[Tensor, "r patches"], fake_logits: Float[Tensor, "f patches"]
) -> Float[Tensor, ""]:
    """What the discriminator minimises: -E log D(real) - E log(1 - D(fake)), the mean over patches.

    Source: paper Eq. 2, negated.
    """
    # -log sigmoid(x) = softplus(-x), without the overflow of the logarithm of a rounded zero.
    return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()


def realism_loss(
    fake_logits: Float[Tensor, "b patches"], form: Literal["saturating", "non_saturating"]
) -> Float[Tensor, " b"]:
    """What the synthesizer minimises, one value an image: log(1 - D), or -log D.

    Source: paper Eq. 2 and 3 for the saturating form; Goodfellow et al. 2014 for the other.
    """
    loss = -functional.softplus(fake_logits) if form == "saturating" else functional.softplus(-fake_logits)
    return loss.mean(dim=1)


def auc_of_scores(real_scores: Float[Tensor, " r"], fake_scores: Float[Tensor, " f"]) -> float:
    """How often a real image scores above a composite, ties counting half: 0.5 where they cannot be told apart.

    An image's score is the mean of its logits.

    Raises:
        ShapeError: one side has no scores.

    Source: Mann and Whitney 1947.
    """
    if not len(real_scores) or not len(fake_scores):
        raise ShapeError(
            f"scores: expected at least one of each kind, got {len(real_scores)} real and {len(fake_scores)} fake"
        )
    ordered = fake_scores.cpu().double().sort().values
    real = real_scores.cpu().double()
    below = torch.searchsorted(ordered, real, side="left")
    upto = torch.searchsorted(ordered, real, side="right")
    return float((below + upto).double().mean() / (2 * len(ordered)))


def _patch_network(width: int) -> nn.Sequential:
    widths = [width * times for times in _DOUBLINGS]
    layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, width, 4, 2, 2), nn.LeakyReLU(0.2, inplace=True))]
    for inputs, outputs in pairwise(widths):
        stride = 1 if outputs == widths[-1] else 2
        layers.append(
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 4, stride, 2), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)
            )
        )
    return nn.Sequential(*layers, nn.Sequential(nn.Conv2d(widths[-1], 1, 4, 1, 2)))
