"""Affine poses: rotation, translation, shear, scale, each inside its own range (paper A.1)."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from terse.errors import ShapeError

__all__ = ["AffinePoses", "support_points"]

_DIRECTIONS = 32
_SMALLEST = 1e-6


class AffinePoses:
    """Six bounded numbers a pose, and the matrix they make.

    Rotation in degrees; shift as a fraction of the free play, -1 to 1, the play being what keeps at least
    `min_visible` of the object's bounding box inside the canvas: along x first, along y what that leaves; shear
    along x; then either the scale along x and along y (digits), or one scale and a stretch, width over height
    (photographs).

    Source: paper A.1 names the six parameters and clamps them to affNIST's ranges. The smooth map into the
    ranges, the free play and the scale-and-stretch form are ours.
    """

    def __init__(
        self,
        rotation_deg: tuple[float, float],
        shift: tuple[float, float],
        shear: tuple[float, float],
        scale: tuple[float, float],
        *,
        stretch: tuple[float, float] | None = None,
        min_visible: float = 1.0,
    ) -> None:
        self.min_visible = min_visible
        self.stretched = stretch is not None
        last = (
            (("scale", scale), ("stretch", stretch))
            if stretch is not None
            else (("scale_x", scale), ("scale_y", scale))
        )
        named = (("rotation_deg", rotation_deg), ("shift_x", shift), ("shift_y", shift), ("shear", shear), *last)
        self.names: tuple[str, ...] = tuple(name for name, _ in named)
        self.ranges: Sequence[tuple[float, float]] = tuple(limits for _, limits in named)
        self._low = torch.tensor([low for low, _ in self.ranges])
        self._high = torch.tensor([high for _, high in self.ranges])

    @property
    def size(self) -> int:
        """Six."""
        return len(self.names)

    def from_raw(self, raw: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Unbounded outputs to values inside the ranges by a sigmoid; 0 is the middle.

        Source: ours; the paper clamps (A.1), which has no gradient at the border.
        """
        low, high = self._low.to(raw), self._high.to(raw)
        return low + (high - low) * torch.sigmoid(raw)

    def random(self, count: int, generator: torch.Generator) -> Float[Tensor, "count k"]:
        """Uniform in the ranges: with affNIST's ranges, affNIST's own recipe.

        Source: Tieleman 2013 (affNIST).
        """
        unit = torch.rand(count, self.size, generator=generator)
        return self._low + (self._high - self._low) * unit

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
        half_x, half_y = canvas_px[1] / min(canvas_px), canvas_px[0] / min(canvas_px)
        return self.matrix_on(pose, hull, half_x, half_y)

    def matrix_on(
        self,
        pose: Float[Tensor, "b k"],
        hull: Float[Tensor, "b points 2"],
        half_x: float | Float[Tensor, " b"],
        half_y: float | Float[Tensor, " b"],
    ) -> Float[Tensor, "b 2 3"]:
        """As `matrix`, on canvases given by half their width and height over their shorter side, each its own.

        Raises:
            ShapeError: pose and hull disagree on the batch.

        Source: as `matrix`.
        """
        if pose.shape != (len(hull), self.size):
            raise ShapeError(f"pose: expected the shape ({len(hull)}, {self.size}), got {tuple(pose.shape)}")
        # Contiguous columns: strided ones take another code path for sin and cos, which rounds differently.
        rotation, shift_x, shift_y, shear, scale_x, scale_y = pose.t().contiguous().unbind(0)
        if self.stretched:
            root = scale_y.sqrt()
            scale_x, scale_y = scale_x * root, scale_x / root
        angle = rotation * (math.pi / 180)
        cos, sin = torch.cos(angle), torch.sin(angle)
        # Rotation (anticlockwise with y downwards) times shear along x times scale.
        a, b = cos * scale_x, (cos * shear + sin) * scale_y
        c, d = -sin * scale_x, (cos - sin * shear) * scale_y
        move_x, seen = self._move(a, b, hull, shift_x, half_x, torch.full_like(a, self.min_visible))
        move_y, _ = self._move(c, d, hull, shift_y, half_y, (self.min_visible / seen).clamp(max=1))
        determinant = a * d - b * c
        ia, ib, ic, id_ = d / determinant, -b / determinant, -c / determinant, a / determinant
        return torch.stack(
            [
                torch.stack([ia * half_x, ib * half_y, -(ia * move_x + ib * move_y)], dim=-1),
                torch.stack([ic * half_x, id_ * half_y, -(ic * move_x + id_ * move_y)], dim=-1),
            ],
            dim=1,
        )

    def _move(
        self, from_x: Tensor, from_y: Tensor, hull: Tensor, shift: Tensor, half: float | Tensor, visible: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Where the patch's centre comes to lie on one axis, and which share of the extent is seen there."""
        reach = from_x[:, None] * hull[..., 0] + from_y[:, None] * hull[..., 1]
        low, high = reach.amin(dim=1), reach.amax(dim=1)
        hidden = (1 - visible) * (high - low)
        first, last = -half - low - hidden, half - high + hidden
        move = (first + last) / 2 + shift * ((last - first) / 2).clamp(min=0)
        border = torch.as_tensor(half).to(move)
        inside = torch.minimum(high + move, border) - torch.maximum(low + move, -border)
        return move, (inside / (high - low).clamp(min=_SMALLEST)).clamp(_SMALLEST, 1)


def support_points(alpha: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n points 2"]:
    """The outermost points of each mask in 32 directions, in [-1, 1] of the patch.

    A pixel reaches one pixel beyond its centre: the support of bilinear sampling. So an object placed by
    these points touches no pixel outside them. An empty mask gives the patch's centre.

    Source: ours.
    """
    height, width = alpha.shape[-2:]
    ink = alpha[:, 0] > 0
    some = ink.any(dim=2)
    left = ink.int().argmax(dim=2)
    right = width - 1 - ink.flip(2).int().argmax(dim=2)
    rows = torch.arange(height, device=alpha.device).expand_as(left)
    xs = torch.cat([left - 1, right + 1, left, right, left, right], dim=1)
    ys = torch.cat([rows, rows, rows - 1, rows - 1, rows + 1, rows + 1], dim=1)
    points = torch.stack([(2 * xs + 1) / width - 1, (2 * ys + 1) / height - 1], dim=-1)
    angles = torch.arange(_DIRECTIONS, device=alpha.device) * (2 * math.pi / _DIRECTIONS)
    directions = torch.stack([torch.cos(angles), torch.sin(angles)])
    reach = (points @ directions).masked_fill(~some.repeat(1, 6)[..., None], -torch.inf)
    best = reach.argmax(dim=1)
    hull = points.gather(1, best[..., None].expand(-1, -1, 2))
    return torch.where(some.any(dim=1)[:, None, None], hull, 0.0)
