"""View poses: from which side a 3-D model is seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from terse.config import Component, Span, ascending
from terse.poses.family import PoseFamily
from terse.registry import register

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor

    from terse.poses.maps import SamplingMap
    from terse.types import Foregrounds, ViewSphere

__all__ = ["ViewConfig", "ViewPoses"]

_TURN_DEG = 360.0
_LEAST_ALPHA = 1e-3

_Elevation = Annotated[float, Field(ge=-90, le=90)]


@register("pose", "view")
class ViewConfig(Component["ViewPoses"]):
    """Azimuth, elevation and roll of the camera around a 3-D model (`foregrounds: {meshes: D}`)."""

    kind: Literal["view"] = "view"
    azimuth_deg: Span = (-180.0, 180.0)
    """How far the camera goes round the model, to its right; a full turn wraps."""
    elevation_deg: Annotated[tuple[_Elevation, _Elevation], AfterValidator(ascending)] = (-30.0, 60.0)
    """How far it rises."""
    roll_deg: Span = (-15.0, 15.0)
    """The picture's own rotation, anticlockwise."""

    def build(self) -> ViewPoses:
        """The pose family."""
        return ViewPoses((self.azimuth_deg, self.elevation_deg, self.roll_deg))


class ViewPoses(PoseFamily):
    """Two angles that choose among the views of a model's sphere, and a roll.

    The nearest view is drawn; the gradient is that of the four around it, blended. Cut-outs that have no other side,
    photographs and artefact patches, are rolled only.

    Args:
        ranges: the limits of azimuth, elevation and roll.

    Source: ours.
    """

    kind = "view"
    names = ("azimuth_deg", "elevation_deg", "roll_deg")
    neutral = (0.0, 0.0, 0.0)

    def __init__(self, ranges: tuple[tuple[float, float], ...]) -> None:
        if ranges[0][1] - ranges[0][0] > _TURN_DEG:
            ranges = ((-_TURN_DEG / 2, _TURN_DEG / 2), *ranges[1:])
        self.ranges = ranges
        self.wraps = (0,) if ranges[0][1] - ranges[0][0] == _TURN_DEG else ()

    def prepare(self, cut: Foregrounds, pose: Float[Tensor, "b k"], seeds: Int64[Tensor, " b"]) -> Foregrounds:
        """The models as they are seen from there; hulls stay, since they hold all views."""
        import torch

        if cut.views is None:
            return cut
        drawn = []
        for k, sphere in enumerate(cut.views):
            own = torch.cat([cut.images[k].expand(-1, *cut.alpha.shape[-2:]), cut.alpha[k]])
            drawn.append(own if sphere is None else _seen(sphere, pose[k, 0], pose[k, 1]))
        seen = torch.stack(drawn)
        return replace(cut, images=seen[:, :-1], alpha=seen[:, -1:])

    def sampling(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], half: Float[Tensor, "b 2"]
    ) -> SamplingMap:
        """The roll about the patch's middle."""
        import torch

        from terse.poses.maps import AffineMap

        angle = pose[:, 2].contiguous() * (math.pi / 180)
        cos, sin, still = angle.cos(), angle.sin(), torch.zeros_like(angle)
        rows = torch.stack([cos, -sin, still], dim=-1), torch.stack([sin, cos, still], dim=-1)
        return AffineMap(torch.stack(rows, dim=1))


def _seen(sphere: ViewSphere, azimuth_deg: Tensor, elevation_deg: Tensor) -> Float[Tensor, "4 side side"]:
    """The nearest view, straight RGBA, with the gradient of the blended neighbours."""
    import torch

    rows, columns = sphere.tiles.shape[:2]
    low, high = sphere.elevations_deg
    column = azimuth_deg / _TURN_DEG * columns
    row = ((elevation_deg - low) * ((rows - 1) / max(high - low, 1e-9))).clamp(0, rows - 1)
    nearest = _tile(sphere, round(float(row.detach())), round(float(column.detach())), azimuth_deg)
    if not (torch.is_grad_enabled() and (column.requires_grad or row.requires_grad)):
        return nearest
    first_row, first_column = min(math.floor(float(row.detach())), max(rows - 2, 0)), math.floor(float(column.detach()))
    up, right = row - first_row, column - first_column
    mixed = torch.zeros_like(nearest)
    for r, weight_r in ((first_row, 1 - up), (min(first_row + 1, rows - 1), up)):
        for c, weight_c in ((first_column, 1 - right), (first_column + 1, right)):
            tile = _tile(sphere, r, c, azimuth_deg)
            mixed = mixed + weight_r * weight_c * torch.cat([tile[:3] * tile[3:], tile[3:]])
    blended = torch.cat([mixed[:3] / mixed[3:].clamp(min=_LEAST_ALPHA), mixed[3:]])
    return nearest + (blended - blended.detach())


def _tile(sphere: ViewSphere, row: int, column: int, like: Tensor) -> Float[Tensor, "4 side side"]:
    import torch

    pixels = torch.from_numpy(sphere.tiles[row, column % sphere.tiles.shape[1]])
    return pixels.permute(2, 0, 1).to(like) / 255
