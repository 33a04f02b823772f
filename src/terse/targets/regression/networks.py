"""A network that says where points are, by the centres of mass of heat maps, or in which direction an object points."""

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision import models

from terse.targets.detector.networks import Network

__all__ = ["PointNetwork", "network"]

_UNTIL = {"mobilenet_v3_small": 9, "mobilenet_v3_large": 13}  # features of stride 16
_RESNET = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")


class PointNetwork(nn.Module):
    """A backbone to stride 16, then one heat map a point, whose centre of mass is the point (Sun et al. 2018).

    A direction has no place in the image: it is a linear function of the mean features, brought to length 1.
    """

    def __init__(self, backbone: str, points: int, *, direction: bool) -> None:
        super().__init__()
        whole: Any = models.get_model(backbone, weights=None)
        self.body: nn.Sequential
        if backbone in _UNTIL:
            self.body = whole.features[: _UNTIL[backbone]]
        else:
            self.body = nn.Sequential(OrderedDict((name, getattr(whole, name)) for name in _RESNET))
        with torch.no_grad():
            channels = self.body.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
        self.body.train()
        self.direction = direction
        # A constant added to a heat map moves nothing.
        self.head = nn.Conv2d(channels, 2 if direction else points, kernel_size=1, bias=direction)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b points 2"]:
        """Points in [0, 1] of width and height, or a direction of length 1."""
        maps: Tensor = self.head(self.body(images))
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        if self.direction:
            arrow = maps.mean(dim=(2, 3))
            unit: Tensor = arrow / arrow.norm(dim=1, keepdim=True).clamp(min=1e-6)
            return unit[:, None]
        height, width = maps.shape[-2:]
        heat = maps.flatten(2).softmax(dim=2).reshape(maps.shape)
        x = (torch.arange(width, device=maps.device) + 0.5) / width
        y = (torch.arange(height, device=maps.device) + 0.5) / height
        return torch.stack([(heat.sum(dim=2) * x).sum(dim=-1), (heat.sum(dim=3) * y).sum(dim=-1)], dim=-1)


def network(backbone: str, *, direction: bool) -> Network:
    """How a file of weights is read into such a network."""
    return Network(partial(_build, backbone, direction), _body, what="regressor")


def _build(backbone: str, direction: bool, outputs: int, size_px: int, state: Mapping[str, Tensor]) -> nn.Module:
    return PointNetwork(backbone, outputs, direction=direction)


def _body(name: str) -> str | None:
    return name.removeprefix("body.") if name.startswith("body.") else None
