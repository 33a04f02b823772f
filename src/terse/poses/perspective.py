"""Perspective poses: the four corners of a cut-out's box move, as those of a plane seen from the side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from terse.config import Component
from terse.poses.family import PoseFamily
from terse.registry import register

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from terse.poses.maps import SamplingMap

__all__ = ["PerspectiveConfig", "PerspectivePoses"]

_CORNERS = ("top_left", "top_right", "bottom_right", "bottom_left")


@register("pose", "perspective")
class PerspectiveConfig(Component["PerspectivePoses"]):
    """Four corners, each moved across and down."""

    kind: Literal["perspective"] = "perspective"
    strength: Annotated[float, Field(ge=0, le=0.4)] = 0.2
    """How far a corner of the object's box moves at most, over half the box's side. Below 0.5 the corners stay convex
    whatever the pose; 0.4 keeps the horizon away."""

    def build(self) -> PerspectivePoses:
        """The pose family."""
        return PerspectivePoses(self.strength)


class PerspectivePoses(PoseFamily):
    """Eight bounded numbers: where the corners of the object's box go, in half sides of the box.

    Source: ours; the convexity bound is the cross product of neighbouring sides, at least (2 - 2s)^2 - (2s)^2 > 0.
    """

    kind = "perspective"
    names = tuple(f"{corner}_{axis}" for corner in _CORNERS for axis in "xy")
    neutral = (0.0,) * 8

    def __init__(self, strength: float) -> None:
        self.ranges = ((-strength, strength),) * 8

    def sampling(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], half: Float[Tensor, "b 2"]
    ) -> SamplingMap:
        """The projection in the frame of the object's own box, wherever earlier families put it."""
        from terse.poses.bending import PerspectiveMap, frame_of

        return PerspectiveMap(pose, frame_of(hull))
