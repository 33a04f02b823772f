"""A small SSD for a CPU and no weights: it learns from nothing in minutes where MobileNets need hours."""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.ops.misc import Conv2dNormActivation

__all__ = ["SmallFeatures", "small_ssd"]

_WIDTH = 16
_MAPS = (4 * _WIDTH, 6 * _WIDTH, 6 * _WIDTH, 6 * _WIDTH)  # channels of the maps at strides 8, 16, 32 and 64


class SmallFeatures(nn.Module):
    """Plain convolutions with BatchNorm: images to maps at strides 8, 16, 32 and 64. 0.6 million parameters.

    Source: ours; the maps of Liu et al. 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(Conv2dNormActivation(3, _WIDTH, 3, 2), _halved(_WIDTH, 2 * _WIDTH))
        self.blocks = nn.ModuleList(_halved(before, after) for before, after in pairwise((2 * _WIDTH, *_MAPS)))
        self.out_channels = list(_MAPS)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The maps by number, the finest first."""
        features: Tensor = self.stem(images)
        maps: dict[str, Tensor] = OrderedDict()
        for block in self.blocks:
            features = block(features)
            maps[str(len(maps))] = features
        return maps


def small_ssd(outputs: int, size_px: int, state: Mapping[str, Tensor]) -> nn.Module:
    """The detector: SSD's head on every map, default boxes of 0.15 to 0.75 of the image and one larger.

    Source: Liu et al. 2016; the network below is ours.
    """
    features = SmallFeatures()
    anchors = DefaultBoxGenerator([[2] for _ in _MAPS], min_ratio=0.15, max_ratio=0.75)
    head = SSDHead(features.out_channels, anchors.num_anchors_per_location(), outputs)
    detector: nn.Module = SSD(
        features,
        anchors,
        (size_px, size_px),
        outputs,
        head=head,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    )
    return detector


def _halved(inputs: int, outputs: int) -> nn.Sequential:
    """Half the resolution, then a look around."""
    return nn.Sequential(Conv2dNormActivation(inputs, outputs, 3, 2), Conv2dNormActivation(outputs, outputs, 3, 1))
