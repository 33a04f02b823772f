"""Where a foreground comes to lie under a pose, and which pose puts it where it should lie.

The arms without a network think in boxes; a placement stores poses of the recipe's family.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from terse.draws import uniform
from terse.poses import PoseFamily
from terse.protocols import ForegroundBank, KnowsHulls

__all__ = ["Framing"]

_KEPT_HULLS = 100_000

Sizes = Int64[np.ndarray, "n 2"]


class Framing:
    """Boxes of a bank's foregrounds on canvases of any size (width and height), under poses of a family.

    Source: ours.
    """

    def __init__(self, foregrounds: ForegroundBank, poses: PoseFamily) -> None:
        self.foregrounds = foregrounds
        self.poses = poses
        self._hulls: dict[int, Float64[np.ndarray, "points 2"]] = {}

    def limits(self, name: str, wanted: tuple[float, float] | None) -> tuple[float, float]:
        """The wanted range inside the family's; the family's own where none is wanted."""
        low, high = self.poses.limits_of(name) or ((1.0, 1.0) if name == "scale" else (0.0, 0.0))
        if wanted is None:
            return low, high
        return min(max(wanted[0], low), high), min(max(wanted[1], low), high)

    def pose(
        self,
        count: int,
        values: Mapping[str, Float64[np.ndarray, " n"]],
        seeds: UInt64[np.ndarray, " n"] | None = None,
    ) -> Float64[np.ndarray, "n k"]:
        """Poses of these values; what is not named is neutral, or the nearest to it that the family allows.

        With seeds, families that place nothing take random poses: light, shadow and shape are not the arm's to choose.
        """
        unit = None if seeds is None else uniform(seeds, "pose", self.poses.size)
        return self.poses.pose_of(count, values, unit)

    def boxes_px(
        self, foreground: Int64[np.ndarray, " n"], pose: Float64[np.ndarray, "n k"], size_px: Sizes
    ) -> Float64[np.ndarray, "n 4"]:
        """The xyxy box of each foreground under its pose; what is outside the canvas counts."""
        if not len(foreground):
            return np.zeros((0, 4))
        return self.poses.boxes(pose, self._hull(foreground), size_px)

    def extents_px(
        self, foreground: Int64[np.ndarray, " n"], pose: Float64[np.ndarray, "n k"], size_px: Sizes
    ) -> Float64[np.ndarray, "n 2"]:
        """Width and height of those boxes."""
        boxes = self.boxes_px(foreground, pose, size_px)
        extents: Float64[np.ndarray, "n 2"] = boxes[:, 2:] - boxes[:, :2]
        return extents

    def _hull(self, foreground: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n points 2"]:
        if not len(foreground):
            return np.zeros((0, 1, 2))
        missing = np.array([i for i in np.unique(foreground) if int(i) not in self._hulls], dtype=np.int64)
        if len(missing):
            if len(self._hulls) > _KEPT_HULLS:
                self._hulls.clear()
                missing = np.unique(foreground)
            bank = self.foregrounds
            found = bank.hulls(missing) if isinstance(bank, KnowsHulls) else bank.fetch(missing).hull.numpy()
            hulls = found.astype(np.float64)
            self._hulls.update(zip(missing.tolist(), hulls, strict=True))
        return np.stack([self._hulls[int(i)] for i in foreground])
