"""The recipe's `poses: {kind: affine}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from terse.config import Component, Positive
from terse.registry import register

if TYPE_CHECKING:
    from terse.compositing.affine import AffinePoses

__all__ = ["AffineConfig"]


@register("pose", "affine")
class AffineConfig(Component["AffinePoses"]):
    """Rotation, shift, shear and scale, each in its own range."""

    kind: Literal["affine"] = "affine"
    rotation_deg: tuple[float, float] = (-20.0, 20.0)
    """Anticlockwise."""
    shift: tuple[float, float] = (-1.0, 1.0)
    """Fraction of the free play to each side."""
    shear: tuple[float, float] = (-0.2, 0.2)
    scale: tuple[Positive, Positive] = (0.8, 1.2)
    """Side of the patch over the canvas's shorter side."""
    stretch: tuple[Positive, Positive] | None = None
    """Width over height. None scales x and y apart, both in `scale` (affNIST)."""
    min_visible: float = Field(default=1.0, gt=0, le=1)
    """Share of the object's bounding box that stays inside the canvas."""

    def build(self) -> AffinePoses:
        """The pose family."""
        from terse.compositing.affine import AffinePoses

        return AffinePoses(
            self.rotation_deg,
            self.shift,
            self.shear,
            self.scale,
            stretch=self.stretch,
            min_visible=self.min_visible,
        )
