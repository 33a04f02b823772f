"""The synthesizer's network for photographs (paper A.2)."""

from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from terse.errors import RecipeError, ShapeError
from terse.synthesis.learned.backbone import build_backbone, load_backbone
from terse.synthesis.learned.digits import xavier

__all__ = ["PhotoSynthesizer"]

# What the backbone's weights were trained on: mean and deviation of its RGB input in [0, 1].
_INPUT = {
    "torch": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": ((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
}
_BRANCH_OUT = 20
_MIXED = 64
_SMALLEST_PX = 128


class PhotoSynthesizer(nn.Module):
    """Foreground and background in, raw pose out; each image passes the network's larger part alone.

    The backbone is shared, each input has a branch of its own, and the head's first convolution over both is
    split: conv(cat(f, b)) = conv(f) + conv(b) is the same layer with the same weights, and makes all but the
    head a function of one image, computed once for each foreground and background, not for each pair.

    Args:
        pose_size: how many numbers a pose has.
        backbone: a torchvision classifier's name (`terse.synthesis.learned.backbone`).
        until: where a VGG ends.
        weights: a file with the backbone's weights; None draws them.
        backbone_input: the scale they were trained at: torchvision's, or Caffe's, whose inputs are 58 times as large.
        input_px: side to which images are resized.
        branch_channels: width of the branches; 256 is the paper's.
        dropout: its rate in branches and head (Table 2, column 2); 0 leaves it out, as in the dump.
        noise_size: numbers appended at the regressor's input; 0 is the paper's.
        occupancy: whether the head also sees which cells other pastes cover; the paper pastes one object.
        train_backbone: False freezes it, BatchNorm's statistics included, and spares its backward pass.

    Raises:
        RecipeError: the backbone cannot be used, or `input_px` is too small for it.
        DataError: the weights cannot be read or belong to another backbone.

    Source: paper A.2 and Figure 6. Global average pooling before the regressor (its in_f=64 asks for it),
    noise, the occupancy map, the frozen backbone and other backbones are ours; dropout stands where A.1 has it.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(
        self,
        *,
        pose_size: int = 6,
        backbone: str = "vgg16_bn",
        until: Literal["pool4", "conv5"] = "pool4",
        weights: Path | None = None,
        backbone_input: Literal["torch", "caffe"] = "torch",
        input_px: int = 300,
        branch_channels: int = 256,
        dropout: float = 0.0,
        noise_size: int = 0,
        occupancy: bool = False,
        train_backbone: bool = True,
    ) -> None:
        super().__init__()
        if input_px < _SMALLEST_PX:
            raise RecipeError(
                f"synthesis.input_px: expected an integer >= {_SMALLEST_PX}, got {input_px}; "
                "a sixteenth of it passes three 3x3 convolutions without padding, 300 is the paper's, null takes the canvas"
            )
        self.input_px = input_px
        self.noise_size = noise_size
        self.train_backbone = train_backbone
        self.backbone, channels = build_backbone(backbone, until)
        self.foreground_branch = _branch(channels, branch_channels, dropout)
        self.background_branch = _branch(channels, branch_channels, dropout)
        self.mix = nn.Conv2d(2 * _BRANCH_OUT, _MIXED, 5, padding=2)  # the dump's features[0], kept apart to be split
        self.features = nn.Sequential(*_normed(dropout), nn.Conv2d(_MIXED, _MIXED, 5, padding=2), *_normed(dropout))
        self.regressor = nn.Sequential(
            *_dense(_MIXED + noise_size, 128, dropout), *_dense(128, 128, dropout), nn.Linear(128, pose_size)
        )
        # One more channel of the first convolution; without a bias, an empty canvas changes nothing.
        self.occupied = nn.Conv2d(1, _MIXED, 5, padding=2, bias=False) if occupancy else None
        mean, std = _INPUT[backbone_input]
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        for part in (self.foreground_branch, self.background_branch, self.mix, self.features, self.regressor):
            xavier(part)
        if self.occupied is not None:
            xavier(self.occupied)
        if weights is not None:
            load_backbone(self.backbone, backbone, weights)
        self.backbone.requires_grad_(train_backbone)
        self.train()

    def train(self, mode: bool = True) -> "PhotoSynthesizer":
        """As in torch, but a frozen backbone stays in eval mode."""
        super().train(mode)
        if not self.train_backbone:
            self.backbone.eval()
        return self

    def low_level(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d fh fw"]:
        """What the shared backbone sees; a frozen one sees the same all run long, so it may be kept.

        Raises:
            ShapeError: not RGB.

        Source: paper 3.4 and A.2, BackBone.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ShapeError(f"images: expected RGB of shape (batch, 3, height, width), got {tuple(images.shape)}")
        if images.shape[-2:] != (self.input_px, self.input_px):
            images = functional.interpolate(images, (self.input_px, self.input_px), mode="bilinear", antialias=True)
        seen: Tensor = self.backbone((images - self._mean) / self._std)
        return seen

    def features_of_foregrounds(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 64 fh fw"]:
        """What the head needs of each foreground: premultiplied RGB on its patch.

        Source: paper A.2, BackBone and FgBranch.
        """
        return self._foreground_share(self.low_level(images))

    def features_of_backgrounds(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 64 fh fw"]:
        """What the head needs of each background.

        Source: paper A.2, BackBone and BgBranch.
        """
        return self._background_share(self.low_level(images))

    def head(
        self,
        foreground_features: Float[Tensor, "b 64 fh fw"],
        background_features: Float[Tensor, "b 64 fh fw"],
        noise: Float[Tensor, "b n"] | None = None,
        occupancy: Float[Tensor, "b 1 fh fw"] | None = None,
    ) -> Float[Tensor, "b k"]:
        """The raw pose of each pair; `PoseFamily.from_raw` takes it into its ranges.

        `occupancy` is the share of each cell that other pastes cover; None is an empty canvas.

        Raises:
            ShapeError: noise is missing, of another size, or was not asked for.

        Source: paper A.2, RegressionFC; the occupancy map is ours.
        """
        joined = foreground_features + background_features
        if self.occupied is not None and occupancy is not None:
            joined = joined + self.occupied(occupancy)
        pooled: Tensor = self.features(joined).mean(dim=(2, 3))
        shape = None if noise is None else tuple(noise.shape)
        if shape != ((len(pooled), self.noise_size) if self.noise_size else None):
            expected = f"the shape ({len(pooled)}, {self.noise_size})" if self.noise_size else "none"
            raise ShapeError(f"noise: expected {expected}, got {shape or 'none'}; noise_size is {self.noise_size}")
        raw: Tensor = self.regressor(pooled if noise is None else torch.cat([pooled, noise], dim=1))
        return raw

    def forward(
        self,
        foregrounds: Float[Tensor, "b c h w"],
        backgrounds: Float[Tensor, "b c h2 w2"],
        noise: Float[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b k"]:
        """The raw pose of each pair, from images.

        Both inputs pass the backbone in one batch where they have one size: its BatchNorm then trains on the
        mixture that its running statistics describe, not on cut-outs over black and on full images in turn.

        Source: paper A.2; the joint batch is ours.
        """
        return self.head(*self.features_of_both(foregrounds, backgrounds), noise)

    def pose_of(
        self,
        foreground_seen: Float[Tensor, "b d fh fw"],
        background_seen: Float[Tensor, "b d fh fw"],
        noise: Float[Tensor, "b n"] | None = None,
    ) -> Float[Tensor, "b k"]:
        """The raw pose of each pair, from what `low_level` gave.

        Source: paper A.2.
        """
        return self.head(self._foreground_share(foreground_seen), self._background_share(background_seen), noise)

    def features_of_both(
        self, foregrounds: Float[Tensor, "n c h w"], backgrounds: Float[Tensor, "b c h2 w2"]
    ) -> tuple[Float[Tensor, "n 64 fh fw"], Float[Tensor, "b 64 fh fw"]]:
        """What the head needs of each, as `forward` computes it: in one batch where they have one size.

        Source: paper A.2; several foregrounds on one background are ours.
        """
        if foregrounds.shape[1:] == backgrounds.shape[1:]:
            seen = self.low_level(torch.cat([foregrounds, backgrounds]))
            first, second = seen[: len(foregrounds)], seen[len(foregrounds) :]
        else:
            first, second = self.low_level(foregrounds), self.low_level(backgrounds)
        return self._foreground_share(first), self._background_share(second)

    def _foreground_share(self, features: Tensor) -> Tensor:
        weight = self.mix.weight[:, :_BRANCH_OUT]
        return functional.conv2d(self.foreground_branch(features), weight, padding=2)

    def _background_share(self, features: Tensor) -> Tensor:
        weight = self.mix.weight[:, _BRANCH_OUT:]
        return functional.conv2d(self.background_branch(features), weight, self.mix.bias, padding=2)


def _branch(channels: int, width: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (channels, width):
        layers += [nn.Conv2d(inputs, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers += [nn.Dropout2d(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Conv2d(width, _BRANCH_OUT, 3))


def _normed(dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.ReLU(inplace=True), nn.BatchNorm2d(_MIXED)]
    return [*layers, nn.Dropout2d(dropout)] if dropout else layers


def _dense(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.BatchNorm1d(outputs)]
    return [*layers, nn.Dropout(dropout)] if dropout else layers
