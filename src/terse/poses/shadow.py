"""Shadow poses: a cut-out darkens what lies behind it, sheared, flattened and soft."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from terse.config import Component, Fraction, ascending
from terse.poses.family import PoseFamily
from terse.registry import register

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

__all__ = ["ShadowConfig", "ShadowPoses"]

_SOLID = 0.5

_Angle = Annotated[float, Field(ge=-75, le=75)]
_Length = Annotated[float, Field(ge=0.1, le=3)]
_Softness = Annotated[float, Field(ge=0, le=0.2)]


@register("pose", "shadow")
class ShadowConfig(Component["ShadowPoses"]):
    """A soft shadow on the ground behind the object, from where the object stands."""

    kind: Literal["shadow"] = "shadow"
    direction_deg: Annotated[tuple[_Angle, _Angle], AfterValidator(ascending)] = (-50.0, 50.0)
    """0 falls straight back (up the picture), 90 would fall to the right."""
    length: Annotated[tuple[_Length, _Length], AfterValidator(ascending)] = (0.3, 0.9)
    """Over the object's height."""
    strength: Annotated[tuple[Fraction, Fraction], AfterValidator(ascending)] = (0.1, 0.6)
    """Share of the light that is missing in the full shadow; 0 is no shadow."""
    softness: Annotated[tuple[_Softness, _Softness], AfterValidator(ascending)] = (0.005, 0.02)
    """Sigma of the border over the canvas's shorter side."""

    def build(self) -> ShadowPoses:
        """The pose family."""
        return ShadowPoses((self.direction_deg, self.length, self.strength, self.softness))


class ShadowPoses(PoseFamily):
    """Four bounded numbers, and the shadow that they make of the mask: it shows on what is below, and has no label.

    Args:
        ranges: the limits of direction, length, strength and softness.

    Source: ours.
    """

    kind = "shadow"
    names = ("direction_deg", "length", "strength", "softness")
    neutral = (0.0, 0.5, 0.0, 0.01)

    def __init__(self, ranges: tuple[tuple[float, float], ...]) -> None:
        self.ranges = ranges

    def shade(
        self, below: Float[Tensor, "b c h w"], alpha: Float[Tensor, "b 1 h w"], pose: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """The pictures with the shadow of these masks."""
        from terse.colour import blurred

        direction, length, strength, softness = pose.t().contiguous().unbind(0)
        angle = direction * (math.pi / 180)
        cast = _cast(alpha, length * angle.sin(), length * angle.cos())
        soft = blurred(cast, softness * min(alpha.shape[-2:]))
        return below * (1 - strength.view(-1, 1, 1, 1) * soft)


def _cast(alpha: Tensor, across: Tensor, up: Tensor) -> Tensor:
    """The masks laid onto the ground: a point as high as 1 lands so far across and up from the foot below it."""
    import torch
    from torch.nn import functional

    height, width = alpha.shape[-2:]
    rows = (alpha.detach()[:, 0] > _SOLID).any(dim=2).int()
    foot = (height - rows.flip(1).argmax(dim=1)).to(alpha)  # one past the lowest row
    x = torch.arange(width, device=alpha.device, dtype=alpha.dtype) + 0.5
    y = torch.arange(height, device=alpha.device, dtype=alpha.dtype) + 0.5
    high = (foot[:, None] - y) / up[:, None]
    from_x = x - (across[:, None] * high)[..., None]
    from_y = (foot[:, None] - high)[..., None].expand_as(from_x)
    grid = torch.stack([2 * from_x / width - 1, 2 * from_y / height - 1], dim=-1)
    return functional.grid_sample(alpha, grid, align_corners=False)
