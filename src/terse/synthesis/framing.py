"""Where a foreground comes to lie under a pose, and which pose puts it where it should lie.

The arms without a network think in boxes; a placement stores poses of the recipe's family.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float64, Int64

from terse.poses import AffinePoses
from terse.protocols import ForegroundBank

__all__ = ["Framing"]

_NEUTRAL = {"stretch": 1.0, "scale": 1.0, "scale_x": 1.0, "scale_y": 1.0}
_KEPT_HULLS = 100_000


class Framing:
    """Boxes of a bank's foregrounds on a square canvas, under poses of a family.

    Source: ours.
    """

    def __init__(self, foregrounds: ForegroundBank, poses: AffinePoses, canvas_px: int) -> None:
        self.foregrounds = foregrounds
        self.poses = poses
        self.canvas_px = canvas_px
        self._hulls: dict[int, Float64[np.ndarray, "points 2"]] = {}

    def limits(self, name: str, wanted: tuple[float, float] | None) -> tuple[float, float]:
        """The wanted range inside the family's; the family's own where none is wanted.

        For `scale`, of families that scale x and y apart, the range that both allow.
        """
        names = [n for n in self.poses.names if n == name or (name == "scale" and n.startswith("scale_"))]
        ranges = [self.poses.ranges[self.poses.names.index(n)] for n in names] or [(_neutral(name),) * 2]
        low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
        if wanted is None:
            return low, high
        return min(max(wanted[0], low), high), min(max(wanted[1], low), high)

    def pose(self, count: int, values: Mapping[str, Float64[np.ndarray, " n"]]) -> Float64[np.ndarray, "n k"]:
        """Poses of these values; what is not named is neutral, or the nearest to it that the family allows."""
        columns = []
        for name, (low, high) in zip(self.poses.names, self.poses.ranges, strict=True):
            key = "scale" if name.startswith("scale_") and name not in values else name
            columns.append(values.get(key, np.full(count, min(max(_neutral(name), low), high))))
        return np.stack(columns, axis=1)

    def boxes_px(
        self, foreground: Int64[np.ndarray, " n"], pose: Float64[np.ndarray, "n k"]
    ) -> Float64[np.ndarray, "n 4"]:
        """The xyxy box of each foreground under its pose; what is outside the canvas counts."""
        hull = self._hull(foreground)
        side = (self.canvas_px, self.canvas_px)
        matrix = self.poses.matrix(torch.from_numpy(pose), torch.from_numpy(hull), side).numpy()
        back = np.linalg.inv(matrix[:, :, :2])
        points = (hull - matrix[:, None, :, 2]) @ back.transpose(0, 2, 1)
        points = (points + 1) / 2 * self.canvas_px
        return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)

    def extents_px(
        self, foreground: Int64[np.ndarray, " n"], pose: Float64[np.ndarray, "n k"]
    ) -> Float64[np.ndarray, "n 2"]:
        """Width and height of those boxes."""
        boxes = self.boxes_px(foreground, pose)
        extents: Float64[np.ndarray, "n 2"] = boxes[:, 2:] - boxes[:, :2]
        return extents

    def moved_to(
        self,
        pose: Float64[np.ndarray, "n k"],
        extents_px: Float64[np.ndarray, "n 2"],
        centres_px: Float64[np.ndarray, "n 2"],
    ) -> Float64[np.ndarray, "n k"]:
        """The poses with shifts that bring the boxes' centres there, or as near as the family allows."""
        half, share = self.canvas_px / 2, np.full(len(pose), self.poses.min_visible)
        moved = pose.copy()
        for axis, name in enumerate(("shift_x", "shift_y")):
            column, extent = self.poses.names.index(name), extents_px[:, axis]
            play = np.clip(half + extent * (0.5 - share), 1e-6, None)
            moved[:, column] = np.clip((centres_px[:, axis] - half) / play, *self.poses.ranges[column])
            # What is hidden along x leaves less to hide along y, as `AffinePoses` has it.
            centre = half + moved[:, column] * play
            inside = np.minimum(centre + extent / 2, 2 * half) - np.maximum(centre - extent / 2, 0)
            share = np.minimum(share / np.clip(inside / np.maximum(extent, 1e-9), 1e-6, 1), 1)
        return moved

    def _hull(self, foreground: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n points 2"]:
        if not len(foreground):
            return np.zeros((0, 1, 2))
        missing = np.array([i for i in np.unique(foreground) if int(i) not in self._hulls], dtype=np.int64)
        if len(missing):
            if len(self._hulls) > _KEPT_HULLS:
                self._hulls.clear()
                missing = np.unique(foreground)
            hulls = self.foregrounds.fetch(missing).hull.double().numpy()
            self._hulls.update(zip(missing.tolist(), hulls, strict=True))
        return np.stack([self._hulls[int(i)] for i in foreground])


def _neutral(name: str) -> float:
    return _NEUTRAL.get(name, 0.0)
