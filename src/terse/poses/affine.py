"""Affine poses: rotation, translation, shear, scale, each inside its own range (paper A.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Discriminator, Field, Tag

from terse.config import Component, PositiveSpan, Span, ascending
from terse.poses.family import PoseFamily
from terse.poses.posed import RasterPose
from terse.poses.space import beside
from terse.registry import register

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int64
    from torch import Tensor

    from terse.poses.maps import AffineMap
    from terse.poses.space import Numbers

__all__ = ["AffineConfig", "AffinePoses"]

_SMALLEST = 1e-6
_TURN_DEG = 360.0

_Play = Annotated[float, Field(ge=-1, le=1)]
_Ranges = Annotated[dict[str, PositiveSpan], Field(min_length=1)]
_Scale = Annotated[
    Annotated[PositiveSpan, Tag("[range]")] | Annotated[_Ranges, Tag("[classes]")],
    Discriminator(lambda value: "[classes]" if isinstance(value, Mapping) else "[range]"),
]


@register("pose", "affine")
class AffineConfig(Component["AffinePoses"]):
    """Rotation, shift, shear and scale, each in its own range."""

    kind: Literal["affine"] = "affine"
    rotation_deg: Span = (-20.0, 20.0)
    """Anticlockwise; a full turn or more wraps: its ends are one pose, and a synthesizer turns through them."""
    shift: Annotated[tuple[_Play, _Play], AfterValidator(ascending)] = (-1.0, 1.0)
    """Fraction of the free play to each side; beyond 1 less than `min_visible` would be left."""
    shear: Span = (-0.2, 0.2)
    """Shift along x over the distance along y: 0.2 leans an upright side by 11 degrees."""
    scale: _Scale = (0.8, 1.2)
    """Side of the patch over the canvas's shorter side: one range, or one for each class by name.

    A class that is not named has the range that holds all that are.
    """
    stretch: PositiveSpan | None = None
    """Width over height. None scales x and y apart, both in `scale` (affNIST)."""
    min_visible: float = Field(default=1.0, gt=0, le=1)
    """Share of the object's bounding box that stays inside the canvas."""
    normal_std: float | None = Field(default=None, gt=0)
    """Draw random poses from a normal distribution about the middle of each range, cut at its ends, of this standard
    deviation as a share of half the range; None draws uniformly."""

    def build(self) -> AffinePoses:
        """The pose family."""
        return AffinePoses(
            self.rotation_deg,
            self.shift,
            self.shear,
            self.scale,
            stretch=self.stretch,
            min_visible=self.min_visible,
            normal_std=self.normal_std,
        )


class AffinePoses(PoseFamily):
    """Six bounded numbers a pose, and the matrix they make.

    Rotation in degrees; shift as a fraction of the free play, -1 to 1, the play being what keeps at least
    `min_visible` of the object's bounding box inside the canvas: along x first, along y what that leaves; shear
    along x; then either the scale along x and along y (digits), or one scale and a stretch, width over height
    (photographs).

    With `normal_std` random poses follow a truncated normal distribution about the middle of each range.

    Source: paper A.1 names the six parameters and clamps them to affNIST's ranges. The smooth map into the
    ranges, the free play, the scale-and-stretch form and the normal poses are ours.
    """

    kind = "affine"

    def __init__(
        self,
        rotation_deg: tuple[float, float],
        shift: tuple[float, float],
        shear: tuple[float, float],
        scale: tuple[float, float] | Mapping[str, tuple[float, float]],
        *,
        stretch: tuple[float, float] | None = None,
        min_visible: float = 1.0,
        normal_std: float | None = None,
    ) -> None:
        if rotation_deg[1] - rotation_deg[0] > _TURN_DEG:
            rotation_deg = (-_TURN_DEG / 2, _TURN_DEG / 2)
        self.wraps = (0,) if rotation_deg[1] - rotation_deg[0] == _TURN_DEG else ()
        self.min_visible = min_visible
        self.normal_std = normal_std
        self.stretched = stretch is not None
        self._scales = dict(scale) if isinstance(scale, Mapping) else {}
        if isinstance(scale, Mapping):
            lows, highs = zip(*scale.values(), strict=True)
            scale = (min(lows), max(highs))
        last = (
            (("scale", scale), ("stretch", stretch))
            if stretch is not None
            else (("scale_x", scale), ("scale_y", scale))
        )
        named = (("rotation_deg", rotation_deg), ("shift_x", shift), ("shift_y", shift), ("shear", shear), *last)
        self.names = tuple(name for name, _ in named)
        self.ranges = tuple(limits for _, limits in named)
        self.neutral = (0.0, 0.0, 0.0, 0.0, 1.0, 1.0)

    @property
    def named_classes(self) -> tuple[str, ...]:
        """Classes that have a scale of their own."""
        return tuple(self._scales)

    def ranges_of(self, name: str) -> Sequence[tuple[float, float]]:
        """The limits with the scale of this class."""
        own = self._scales.get(name)
        if own is None:
            return self.ranges
        pairs = zip(self.names, self.ranges, strict=True)
        return tuple(own if of.startswith("scale") else limits for of, limits in pairs)

    def random_unit(self, uniform: Numbers) -> Numbers:
        """As every family's: themselves, or the quantiles of a normal distribution cut at both ends.

        Source: inverse transform sampling.
        """
        if self.normal_std is None:
            return uniform
        from scipy.special import ndtr, ndtri

        outside = ndtr(-1 / self.normal_std)
        standard = ndtri(outside + np.asarray(uniform, dtype=np.float64) * (1 - 2 * outside))
        # Rounded: the last digits of its logarithms differ between CPUs.
        return beside(uniform, np.clip(np.round(0.5 + self.normal_std / 2 * standard, 6), 0, 1))

    def matrix(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], canvas_px: tuple[int, int]
    ) -> Float[Tensor, "b 2 3"]:
        """The matrix that takes canvas to foreground, both in [-1, 1], differentiable in the pose.

        The patch is rotated, sheared and scaled about its centre, then moved. A scale of 1 makes the patch as
        large as the canvas's shorter side.

        Args:
            pose: mapped values in the order of `names`.
            hull: the outermost points of each mask (`support_points`).
            canvas_px: height and width.

        Raises:
            ShapeError: pose and hull disagree on the batch.

        Source: paper A.1; Jaderberg et al. 2015 for the direction of the map.
        """
        where = self.place(pose, hull, canvas_px[1] / min(canvas_px), canvas_px[0] / min(canvas_px))
        (matrix,) = where.parameters
        return matrix

    def sampling(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], half: Float[Tensor, "b 2"]
    ) -> AffineMap:
        """The six numbers' map.

        Source: as `matrix`.
        """
        import torch

        from terse.poses.maps import AffineMap

        # Contiguous columns: strided ones take another code path for sin and cos, which rounds differently.
        columns = pose.t().contiguous().unbind(0)
        angle = columns[0] * (math.pi / 180)
        return AffineMap(self._matrix(torch, torch.cos(angle), torch.sin(angle), columns, hull, half))

    def raster(
        self,
        pose: Float64[np.ndarray, "n k"],
        hull: Float[np.ndarray, "n points 2"],
        sizes_px: Sequence[tuple[int, int]],
        seeds: Sequence[int] | None = None,
    ) -> list[RasterPose]:
        """As every family's, without torch. Angles are in double precision, so that every CPU draws the same."""
        if not len(pose):
            return []
        size = np.array(sizes_px, dtype=np.float64)
        half = (size / size.min(axis=1, keepdims=True)).astype(np.float32)[:, ::-1]
        columns = np.ascontiguousarray(pose.T.astype(np.float32))
        angle = columns[0].astype(np.float64) * (math.pi / 180)
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        whole = self._matrix(np, cos, sin, columns, hull.astype(np.float32), half)
        whole[..., :2] *= half[:, None]
        rows = zip(whole, pose, seeds or [0] * len(pose), strict=True)
        return [RasterPose(where, self, row, seed) for where, row, seed in rows]

    def boxes(
        self,
        pose: Float64[np.ndarray, "n k"],
        hull: Float64[np.ndarray, "n points 2"],
        size_px: Int64[np.ndarray, "n 2"],
    ) -> Float64[np.ndarray, "n 4"]:
        """As every family's, without torch."""
        half = size_px / size_px.min(axis=1, keepdims=True)
        columns = np.ascontiguousarray(pose.T)
        angle = columns[0] * (math.pi / 180)
        matrix = self._matrix(np, np.cos(angle), np.sin(angle), columns, hull, half)
        points = np.linalg.solve(matrix[..., :2], np.swapaxes(hull - matrix[:, None, :, 2], 1, 2))
        placed = (np.swapaxes(points, 1, 2) / half[:, None] + 1) / 2 * size_px[:, None]
        return np.concatenate([placed.min(axis=1), placed.max(axis=1)], axis=1)

    def _matrix(self, numbers: Any, cos: Any, sin: Any, columns: Any, hull: Any, half: Any) -> Any:
        """The matrices from the canvas, its shorter side 2, to the patch; `numbers` is torch, or NumPy for arrays."""
        _, shift_x, shift_y, shear, scale_x, scale_y = columns
        if self.stretched:
            root = numbers.sqrt(scale_y)
            scale_x, scale_y = scale_x * root, scale_x / root
        # Rotation (anticlockwise with y downwards) times shear along x times scale.
        a, b = cos * scale_x, (cos * shear + sin) * scale_y
        c, d = -sin * scale_x, (cos - sin * shear) * scale_y
        visible = numbers.full_like(a, self.min_visible)
        move_x, seen = _move(numbers, a, b, hull, shift_x, half[:, 0], visible)
        move_y, _ = _move(numbers, c, d, hull, shift_y, half[:, 1], (self.min_visible / seen).clip(None, 1))
        determinant = a * d - b * c
        ia, ib, ic, id_ = d / determinant, -b / determinant, -c / determinant, a / determinant
        first = numbers.stack([ia, ib, -(ia * move_x + ib * move_y)], -1)
        second = numbers.stack([ic, id_, -(ic * move_x + id_ * move_y)], -1)
        return numbers.stack([first, second], 1)

    def pose_of(
        self,
        count: int,
        values: Mapping[str, Float64[np.ndarray, " n"]],
        unit: Float64[np.ndarray, "n k"] | None = None,
    ) -> Float64[np.ndarray, "n k"]:
        """As every family's; `scale` stands for scales along x and y that are not named."""
        if "scale" in values:
            values = {"scale_x": values["scale"], "scale_y": values["scale"], **values}
        return super().pose_of(count, values, unit)

    def limits_of(self, name: str) -> tuple[float, float] | None:
        """As every family's; of scales along x and y, the range that both allow answers to `scale`."""
        return super().limits_of("scale_x" if name == "scale" and not self.stretched else name)

    def relative_size(self, pose: Float64[np.ndarray, "n k"]) -> tuple[Float64[np.ndarray, " n"], float, float]:
        """The geometric mean of the scales, with its limits."""
        scales = [i for i, name in enumerate(self.names) if name.startswith("scale")]
        low, high = (math.prod(self.ranges[i][end] for i in scales) ** (1 / len(scales)) for end in (0, 1))
        return np.prod(pose[:, scales], axis=1) ** (1 / len(scales)), low, high

    def position(self, pose: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n 2"]:
        """The shifts, across and down, in [0, 1] of their range."""
        (low, high), shifts = self.ranges[1], pose[:, 1:3]
        return (shifts - low) / ((high - low) or 1.0)

    def moved_to(
        self,
        pose: Float64[np.ndarray, "n k"],
        extents_px: Float64[np.ndarray, "n 2"],
        centres_px: Float64[np.ndarray, "n 2"],
        size_px: Int64[np.ndarray, "n 2"],
    ) -> Float64[np.ndarray, "n k"]:
        """The poses with shifts that bring the boxes' centres there, or as near as the ranges allow."""
        share = np.full(len(pose), self.min_visible)
        moved = pose.copy()
        for axis, column in enumerate((1, 2)):
            extent, half = extents_px[:, axis], size_px[:, axis] / 2
            play = np.clip(half + extent * (0.5 - share), 1e-6, None)
            moved[:, column] = np.clip((centres_px[:, axis] - half) / play, *self.ranges[column])
            # What is hidden along x leaves less to hide along y, as `_move` has it.
            centre = half + moved[:, column] * play
            inside = np.minimum(centre + extent / 2, 2 * half) - np.maximum(centre - extent / 2, 0)
            share = np.minimum(share / np.clip(inside / np.maximum(extent, 1e-9), 1e-6, 1), 1)
        return moved


def _move(numbers: Any, from_x: Any, from_y: Any, hull: Any, shift: Any, half: Any, visible: Any) -> tuple[Any, Any]:
    """Where the patch's centre comes to lie on one axis, and which share of the extent is seen there."""
    reach = from_x[:, None] * hull[..., 0] + from_y[:, None] * hull[..., 1]
    low, high = numbers.amin(reach, 1), numbers.amax(reach, 1)
    hidden = (1 - visible) * (high - low)
    first, last = -half - low - hidden, half - high + hidden
    move = (first + last) / 2 + shift * ((last - first) / 2).clip(0)
    inside = numbers.minimum(high + move, half) - numbers.maximum(low + move, -half)
    return move, (inside / (high - low).clip(_SMALLEST)).clip(_SMALLEST, 1)
