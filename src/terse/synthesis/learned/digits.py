"""The synthesizer of the digits (A.1), layer by layer as dumped."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from terse.modes import eval_mode
from terse.synthesis.learned.modes import without_dropout

__all__ = ["INPUT_SHAPE", "DigitSynthesizer", "xavier"]

INPUT_SHAPE = (1, 40, 40)
"""Channels, height and width of the images that it takes."""


class DigitSynthesizer(nn.Module):
    """Foreground and background through a shared backbone and branch, then a head of six numbers.

    The dump lists one `FgBranch`, yet the head takes 40 channels: the one branch is applied to both inputs.
    Sizes: 40 -> 36 -> 17 -> 13 -> 9, and 20 * 9 * 9 = 1620. Noise, where asked for, joins the features in front
    of the regressor; `noise_size` 0 is the paper.

    A background that is the same for the whole batch is run once, with BatchNorm's running statistics and without
    dropout: in train mode a single constant image has no batch statistics worth the name, and would blur the
    foregrounds'; one mask for the whole batch would be the batch's and not each pair's.

    Source: paper A.1, Features and RegressionFC, and 3.4; the shared branch, the noise and the background run
    once are ours.
    """

    def __init__(self, pose_size: int = 6, noise_size: int = 0, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.noise_size = noise_size
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 10, kernel_size=5),
            nn.MaxPool2d(3, stride=2),
            nn.BatchNorm2d(10, eps=1e-5, momentum=0.1),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
        )
        self.branch = nn.Sequential(*_block(10, dropout), *_block(20, dropout))
        self.join = nn.Conv2d(40, 20, kernel_size=3)
        self.features = nn.Sequential(*_block(40, dropout)[1:], *_block(20, dropout))
        self.regressor = nn.Sequential(
            nn.Linear(1620 + noise_size, 50),
            nn.ReLU(inplace=True),
            nn.BatchNorm1d(50, eps=1e-5, momentum=0.1),
            nn.Dropout(dropout),
            nn.Linear(50, 20),
            nn.ReLU(inplace=True),
            nn.BatchNorm1d(20, eps=1e-5, momentum=0.1),
            nn.Dropout(dropout),
            nn.Linear(20, pose_size),
        )
        xavier(self)

    def forward(
        self,
        foreground: Float[Tensor, "b 1 40 40"],
        background: Float[Tensor, "b_or_1 1 40 40"],
        noise: Float[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b pose"]:
        """Raw, unbounded pose parameters."""
        seen = self.branch(self.backbone(foreground.contiguous(memory_format=torch.channels_last)))
        half = seen.shape[1]
        weight = self.join.weight
        # conv(cat(f, b)) = conv_f(f) + conv_b(b): a background shared by the batch costs one image.
        joined = functional.conv2d(seen, weight[:, :half], self.join.bias)
        joined = joined + functional.conv2d(self._of_background(background), weight[:, half:])
        flat = self.features(joined).flatten(1)
        if self.noise_size and noise is not None:
            flat = torch.cat([flat, noise.to(flat)], dim=1)
        raw: Tensor = self.regressor(flat)
        return raw

    def _of_background(self, background: Tensor) -> Tensor:
        background = background.contiguous(memory_format=torch.channels_last)
        if len(background) > 1:
            several: Tensor = self.branch(self.backbone(background))
            return several
        # The one image that the batch shares is no batch to take statistics from.
        norms = [part for part in self.modules() if isinstance(part, nn.BatchNorm2d) and part.training]
        with eval_mode(*norms), without_dropout(self):
            once: Tensor = self.branch(self.backbone(background))
        return once


def _block(channels: int, dropout: float) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, 20, kernel_size=3),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(20, eps=1e-5, momentum=0.1),
        nn.Dropout2d(dropout),
    ]


def xavier(module: nn.Module, gain: float = 0.4) -> None:
    """Xavier-uniform weights with this gain and zero biases in every convolution and linear layer.

    Source: paper A.1 (gain 0.4); uniform rather than normal and zero biases are ours.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight, gain=gain)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
