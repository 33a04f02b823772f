"""The built-in detectors: torchvision's own where it has one, SSDLite on MobileNetV2 from its parts.

Nothing is downloaded. Each builder also says which tensor of a plain classification network each tensor of the
detector's body is, so that a file of backbone weights can be read without converting it first.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torchvision.models import mobilenet_v2
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops.misc import Conv2dNormActivation

__all__ = ["NETWORKS", "Network"]

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_C4 = 14  # the block of MobileNetV2 that goes from stride 16 to 32
_EXTRA_CHANNELS = (512, 256, 256, 128)  # torchvision's SSDLite


@dataclass(frozen=True)
class Network:
    """How a detector is built, and how its body is named in a file of backbone weights."""

    build: Callable[[int, int], nn.Module]
    """From the number of outputs (the background included) and the image's side in pixels."""
    body: Callable[[str], str | None]
    """The backbone's own name of one of the detector's tensors; None for tensors that are no part of it."""
    softmax: bool = True
    """Whether scores compete with a background; focal ones are sigmoids of their own."""


class _SSDLiteFeatures(nn.Module):
    """The maps SSDLite looks at: C4's expansion, the last features, then four smaller ones.

    Sandler et al. 2018, section 6.2; torchvision has it for MobileNetV3 alone.
    """

    def __init__(self, features: nn.Sequential, norm_layer: Callable[..., nn.Module]) -> None:
        super().__init__()
        c4: Any = features[_C4]
        self.features = nn.ModuleList(
            [
                nn.Sequential(*features[:_C4], c4.conv[0]),
                nn.Sequential(c4.conv[1:], *features[_C4 + 1 :]),
            ]
        )
        last: Any = features[-1]
        channels = [last.out_channels, *_EXTRA_CHANNELS]
        self.extra = nn.ModuleList(_extra_block(narrow, wide, norm_layer) for narrow, wide in pairwise(channels))
        self.out_channels = [c4.conv[0].out_channels, *channels]
        for layer in self.extra.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.03)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = OrderedDict()
        for block in [*self.features, *self.extra]:
            images = block(images)
            maps[str(len(maps))] = images
        return maps


def _extra_block(inputs: int, outputs: int, norm_layer: Callable[..., nn.Module]) -> nn.Sequential:
    layer = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
    middle = outputs // 2
    return nn.Sequential(
        layer(inputs, middle, kernel_size=1),
        layer(middle, middle, kernel_size=3, stride=2, groups=middle),
        layer(middle, outputs, kernel_size=1),
    )


def _ssdlite_mobilenet_v2(outputs: int, size_px: int) -> nn.Module:
    norm_layer = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    backbone = _SSDLiteFeatures(mobilenet_v2(weights=None).features, norm_layer)
    anchors = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    head = SSDLiteHead(backbone.out_channels, anchors.num_anchors_per_location(), outputs, norm_layer)
    settings: Any = {"score_thresh": 0.001, "nms_thresh": 0.55, "detections_per_img": 300, "topk_candidates": 300}
    detector: nn.Module = SSD(backbone, anchors, (size_px, size_px), outputs, head=head, **_IMAGENET, **settings)
    _relu6_copies(detector)
    return detector


def _relu6_copies(module: nn.Module) -> None:
    """Not in place: autograd keeps a copy of the input for an in-place one, a pass over memory more (15 % of a step)."""
    for layer in module.modules():
        if isinstance(layer, nn.ReLU6):
            layer.inplace = False


def _split_body(c4: int, inside: str) -> Callable[[str], str | None]:
    """Names of a features list that SSDLite cuts in two inside one block."""

    def body(name: str) -> str | None:
        parts = name.split(".")
        if parts[:2] != ["backbone", "features"]:
            return None
        half, index, rest = parts[2], int(parts[3]), parts[4:]
        if half == "0":
            return ".".join([str(index), *rest] if index < c4 else [str(c4), inside, "0", *rest])
        if index == 0:
            return ".".join([str(c4), inside, *rest])  # a slice keeps its layers' names
        return ".".join([str(c4 + index), *rest])

    return body


NETWORKS: Mapping[str, Network] = {
    "ssdlite_mobilenet_v2": Network(_ssdlite_mobilenet_v2, _split_body(_C4, "conv")),
}
