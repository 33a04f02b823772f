"""The contract of a pose family: what a transform does with its pose, whose numbers `terse.poses.space` bounds.

A composite is made in stages: `prepare` changes the foreground's colours, `sampling` says where each point of the
canvas samples it, `shade` changes what lies below, blending follows, and `finish` changes the whole picture. A family
defines the stages that it has, once, in torch; the raster path takes the same ones. Nothing here imports torch at
the top, so that a file holds a family and its settings, and recipes are read at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from terse.errors import RecipeError, ShapeError
from terse.poses.posed import Posed, RasterPose
from terse.poses.space import PoseSpace

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int64
    from torch import Tensor

    from terse.poses.maps import AffineMap, CanvasMap, SamplingMap
    from terse.types import Foregrounds

__all__ = ["PoseFamily"]


class PoseFamily(PoseSpace):
    """Bounded numbers (`PoseSpace`), and what they do to a foreground or to the whole picture.

    Attributes:
        kind: as the recipe names it.
        neutral: the value of each number that changes nothing, whether in its range or not.
        on: what a pose belongs to, each paste or the whole image.
        min_visible: share of the object's bounding box that the family keeps inside the canvas; 0 keeps nothing.

    Source: paper 3.1 and A.1 for one affine family; stages and chains are ours.
    """

    kind: str
    neutral: tuple[float, ...]
    on: Literal["paste", "image"] = "paste"
    min_visible: float = 0.0

    @property
    def columns(self) -> tuple[str, ...]:
        """The numbers' names in a placement: `<position>.<kind>.<name>`."""
        return tuple(f"0.{self.kind}.{name}" for name in self.names)

    @property
    def image(self) -> PoseFamily | None:
        """The family of the whole picture's poses; its columns stand apart in a placement."""
        return self if self.on == "image" else None

    @property
    def joint(self) -> PoseFamily:
        """All numbers of a paste and, behind them, of its picture: what a network gives, and what varies."""
        return self

    @property
    def places(self) -> bool:
        """Whether the family says where foregrounds lie."""
        return type(self).moved_to is not PoseFamily.moved_to

    def pose_of(
        self,
        count: int,
        values: Mapping[str, Float64[np.ndarray, " n"]],
        unit: Float64[np.ndarray, "n k"] | None = None,
    ) -> Float64[np.ndarray, "n k"]:
        """Poses of these values by name; the others are neutral, or the nearest to it that the ranges allow.

        Args:
            count: of the poses.
            values: by name.
            unit: uniform numbers in [0, 1]: a family that places nothing takes the random poses of these.
        """
        if unit is not None and not self.places:
            return self.from_unit(self.random_unit(unit))
        columns = [
            values.get(name, np.full(count, min(max(neutral, low), high)))
            for name, neutral, (low, high) in zip(self.names, self.neutral, self.ranges, strict=True)
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((count, 0))

    # The stages -----------------------------------------------------------------------------------------------------

    def prepare(self, cut: Foregrounds, pose: Float[Tensor, "b k"], seeds: Int64[Tensor, " b"]) -> Foregrounds:
        """The foregrounds with other colours, before they are resampled; the identity unless a family has it."""
        return cut

    def sampling(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], half: Float[Tensor, "b 2"]
    ) -> SamplingMap | None:
        """The map from canvas to patch; None where the family moves nothing.

        Args:
            pose: values in the order of `names`.
            hull: the outermost points of each mask (`support_points`), as earlier families of a chain leave them.
            half: half the canvas's width and height, in units of half its shorter side; the map's own unit too.
        """
        return None

    def shade(
        self, below: Float[Tensor, "b c h w"], alpha: Float[Tensor, "b 1 h w"], pose: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """What the foreground, warped to this alpha, does to the picture below it."""
        return below

    def finish(
        self, images: Float[Tensor, "b c h w"], pose: Float[Tensor, "b k"], seeds: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The whole picture with other colours, after everything is pasted."""
        return images

    def has(self, stage: Literal["prepare", "sampling", "shade", "finish"]) -> bool:
        """Whether the family changes anything in a stage."""
        return getattr(type(self), stage) is not getattr(PoseFamily, stage)

    # What compositing asks ------------------------------------------------------------------------------------------

    def apply(
        self,
        cut: Foregrounds,
        pose: Float[Tensor, "b k"],
        size_px: tuple[int, int],
        seeds: Int64[Tensor, " b"] | None = None,
    ) -> Posed:
        """The foregrounds under their poses on canvases of one size, differentiable in the pose.

        Resampling is left to `compositing.warp`, which does it once, in the part of the canvas that is touched.

        Args:
            cut: the foregrounds.
            pose: values in the order of `names`.
            size_px: height and width of the canvases.
            seeds: what the family draws is a function of these: each placement's seed and the paste's place in it.

        Raises:
            ShapeError: pose and foregrounds disagree on the batch.
        """
        import torch

        if self.has("prepare"):
            cut = self.prepare(cut, pose, torch.zeros(len(cut), dtype=torch.int64) if seeds is None else seeds)
        return Posed(cut, self.place(pose, cut.hull, *_half(size_px)))

    def raster(
        self,
        pose: Float64[np.ndarray, "n k"],
        hull: Float[np.ndarray, "n points 2"],
        sizes_px: Sequence[tuple[int, int]],
        seeds: Sequence[int] | None = None,
    ) -> list[RasterPose]:
        """The same for the raster path: poses of foregrounds on canvases of their own sizes, height and width each."""
        import torch

        if not len(pose):
            return []
        size = np.array(sizes_px, dtype=np.float64)
        half = torch.from_numpy((size / size.min(axis=1, keepdims=True)).astype(np.float32))
        half_y, half_x = half.t().contiguous()
        placed = self.place(torch.from_numpy(pose).float(), torch.from_numpy(hull), half_x, half_y)
        where: Sequence[np.ndarray | CanvasMap] = placed.rows()
        rows = zip(where, pose, seeds or [0] * len(pose), strict=True)
        return [RasterPose(one, self, row, seed) for one, row, seed in rows]

    def extent(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], size_px: tuple[int, int]
    ) -> Float64[Tensor, "b 4"]:
        """The xyxy box in pixels of each foreground under its pose; what is outside the canvas counts."""
        import torch

        from terse.poses.maps import AffineMap

        where = self.place(pose, hull, *_half(size_px))
        points = where.double().inverse(hull.double()) if isinstance(where, AffineMap) else where.outline().double()
        x, y = (points[..., 0] + 1) / 2 * size_px[1], (points[..., 1] + 1) / 2 * size_px[0]
        return torch.stack([x.amin(dim=1), y.amin(dim=1), x.amax(dim=1), y.amax(dim=1)], dim=1)

    def boxes(
        self,
        pose: Float64[np.ndarray, "n k"],
        hull: Float64[np.ndarray, "n points 2"],
        size_px: Int64[np.ndarray, "n 2"],
    ) -> Float64[np.ndarray, "n 4"]:
        """The xyxy boxes in pixels on canvases of their own width and height; what is outside the canvas counts."""
        import torch

        from terse.poses.maps import rim_of

        half = torch.from_numpy(size_px / size_px.min(axis=1, keepdims=True))
        points = torch.from_numpy(hull)
        where = self.place(torch.from_numpy(pose), points, *half.t().contiguous())
        placed = where.inverse(rim_of(points, straight=where.straight)).numpy()
        placed = (placed + 1) / 2 * size_px[:, None]
        return np.concatenate([placed.min(axis=1), placed.max(axis=1)], axis=1)

    def place(
        self,
        pose: Float[Tensor, "b k"],
        hull: Float[Tensor, "b points 2"],
        half_x: float | Float[Tensor, " b"],
        half_y: float | Float[Tensor, " b"],
    ) -> AffineMap | CanvasMap:
        """The map from each whole canvas, in [-1, 1], to its patch.

        Raises:
            ShapeError: pose and hull disagree on the batch.
            RecipeError: nothing in the family places a foreground.
        """
        import torch

        from terse.poses.maps import AffineMap, CanvasMap

        if pose.shape != (len(hull), self.size):
            raise ShapeError(f"pose: expected the shape ({len(hull)}, {self.size}), got {tuple(pose.shape)}")
        sides = [torch.as_tensor(side, dtype=pose.dtype, device=pose.device) for side in (half_x, half_y)]
        half = torch.stack([side.expand(len(pose)) for side in sides], dim=1)
        steps, outline = self.steps(pose, hull, half)
        if not steps:
            raise RecipeError(f"poses: expected a family that places foregrounds, got {self.kind}; add kind: affine")
        affine = [step for step in steps if isinstance(step, AffineMap)]
        if len(affine) < len(steps):
            return CanvasMap(steps, half, hull, outline)
        whole = affine.pop()
        while affine:
            whole = affine.pop().after(whole)
        return whole.onto(half)

    def steps(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], half: Float[Tensor, "b 2"]
    ) -> tuple[list[SamplingMap], Float[Tensor, "b outline 2"]]:
        """The maps of the family, in the order in which they act on the foreground, and the hull before the last acts."""
        step = self.sampling(pose, hull, half)
        return [] if step is None else [step], hull

    # What other parts ask, who know no names ------------------------------------------------------------------------

    def relative_size(self, pose: Float64[np.ndarray, "n k"]) -> tuple[Float64[np.ndarray, " n"], float, float] | None:
        """How large each pose makes a foreground, with the least and the most; None for families that scale nothing."""
        return None

    def position(self, pose: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n 2"] | None:
        """Across and down in [0, 1] of the free play; None for families that move nothing."""
        return None

    def moved_to(
        self,
        pose: Float64[np.ndarray, "n k"],
        extents_px: Float64[np.ndarray, "n 2"],
        centres_px: Float64[np.ndarray, "n 2"],
        size_px: Int64[np.ndarray, "n 2"],
    ) -> Float64[np.ndarray, "n k"]:
        """The poses changed so that boxes of these extents have their centres there, or as near as the ranges allow.

        `size_px` is the width and height of each canvas.

        Raises:
            RecipeError: nothing in the family places a foreground.
        """
        raise RecipeError(f"poses: expected a family that places foregrounds, got {self.kind}; add kind: affine")


def _half(size_px: tuple[int, int]) -> tuple[float, float]:
    return size_px[1] / min(size_px), size_px[0] / min(size_px)
