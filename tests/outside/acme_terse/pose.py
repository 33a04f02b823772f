"""A pose family: cut-outs stay upright, are scaled about the centre of the canvas and moved from there."""

from typing import TYPE_CHECKING, Literal

from terse.config import Component
from terse.poses import PoseFamily
from terse.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from terse.poses.maps import AffineMap


@register("pose", "acme_upright")
class UprightConfig(Component["PoseFamily"]):
    """Shift and scale alone."""

    kind: Literal["acme_upright"] = "acme_upright"
    scale: tuple[float, float] = (0.5, 0.9)

    def build(self) -> PoseFamily:
        return UprightPoses(self.scale)


class UprightPoses(PoseFamily):
    kind = "acme_upright"
    names = ("shift_x", "shift_y", "scale")
    neutral = (0.0, 0.0, 1.0)

    def __init__(self, scale: tuple[float, float]) -> None:
        self.ranges = ((-0.1, 0.1), (-0.1, 0.1), scale)

    def sampling(self, pose: "Tensor", hull: "Tensor", half: "Tensor") -> "AffineMap":
        import torch

        from terse.poses.maps import AffineMap

        x, y, scale = pose.t().contiguous().unbind(0)
        none = torch.zeros_like(x)
        rows = torch.stack([1 / scale, none, -x / scale, none, 1 / scale, -y / scale], dim=1)
        return AffineMap(rows.view(-1, 2, 3))
