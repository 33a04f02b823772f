"""Thin-plate poses: a cut-out bends smoothly, as a sheet whose control points are moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from terse.config import Component, Fraction
from terse.poses.family import PoseFamily
from terse.registry import register

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from terse.poses.maps import SamplingMap

__all__ = ["ThinPlateConfig", "ThinPlatePoses"]


@register("pose", "thin_plate")
class ThinPlateConfig(Component["ThinPlatePoses"]):
    """Offsets of a grid of control points over the object's box."""

    kind: Literal["thin_plate"] = "thin_plate"
    grid: Annotated[int, Field(ge=2, le=5)] = 3
    """Control points along each side."""
    strength: Fraction = 0.9
    """Largest offset, over the one under which the sheet cannot fold (0.18 half sides of the box for a grid of 3)."""

    def build(self) -> ThinPlatePoses:
        """The pose family."""
        return ThinPlatePoses(self.grid, self.strength)


class ThinPlatePoses(PoseFamily):
    """Two bounded numbers a control point: how far across and down it reaches for its colours, in half sides of the box.

    Args:
        grid: control points along each side.
        strength: largest offset, over the one under which the map keeps its Jacobian positive.

    Source: Bookstein 1989; the bound is ours.
    """

    kind = "thin_plate"

    def __init__(self, grid: int, strength: float) -> None:
        from terse.poses.bending import safe_offset

        most = round(strength * safe_offset(grid), 5)
        self.names = tuple(f"{axis}_{row}_{column}" for row in range(grid) for column in range(grid) for axis in "xy")
        self.neutral = (0.0,) * len(self.names)
        self.ranges = ((-most, most),) * len(self.names)

    def sampling(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], half: Float[Tensor, "b 2"]
    ) -> SamplingMap:
        """The bending in the frame of the object's own box, wherever earlier families put it."""
        from terse.poses.bending import ThinPlateMap, frame_of

        return ThinPlateMap(pose, frame_of(hull))
