"""What a pose family makes of a pose: foregrounds ready to be pasted, in torch and for the raster path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float64

    from terse.poses.family import PoseFamily
    from terse.poses.maps import AffineMap, CanvasMap
    from terse.types import Foregrounds

__all__ = ["Posed", "RasterPose"]


@dataclass(frozen=True, slots=True)
class Posed:
    """Foregrounds ready to be pasted: their colours, and the map that takes each canvas to its patch."""

    cut: Foregrounds
    where: AffineMap | CanvasMap


@dataclass(frozen=True, slots=True)
class RasterPose:
    """One pose for the raster path. `where` is a matrix from canvas to patch where the pose is affine."""

    where: np.ndarray | CanvasMap
    family: PoseFamily
    pose: Float64[np.ndarray, " k"]
    seed: int = 0
