"""Maps that bend a foreground in the frame of its own box: a plane seen from the side, and a thin plate."""

import math
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from terse.poses.maps import SamplingMap

__all__ = ["PerspectiveMap", "ThinPlateMap", "frame_of", "safe_offset"]

_NEAREST = 1e-2  # of a plane's depth: nothing that is seen comes so near to its horizon
_SMALLEST = 1e-6
_NODES = 41
_SPAN = 1.25  # the lattice reaches so far, in half sides of the box; beyond it the bending stays as at its border


def frame_of(hull: Float[Tensor, "b points 2"]) -> Float[Tensor, "b 4"]:
    """Centre and half sides of each hull's box: x, y, half width, half height.

    Source: ours.
    """
    low, high = hull.amin(dim=1), hull.amax(dim=1)
    return torch.cat([(low + high) / 2, ((high - low) / 2).clamp(min=_SMALLEST)], dim=1)


class PerspectiveMap(SamplingMap):
    """The box's corners move, and its inside follows as a plane does.

    Args:
        offsets: of the corners top left, top right, bottom right, bottom left, x and y, in half sides of the box.
        frame: centre and half sides of the box.

    Source: Heckbert 1989 (square to quadrilateral).
    """

    straight = True

    def __init__(self, offsets: Float[Tensor, "b 8"], frame: Float[Tensor, "b 4"]) -> None:
        super().__init__(offsets, frame)
        self._forward = _square_to_quadrilateral(offsets)

    def at(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Where the points (x, y) sample the patch."""
        (a, b, c), (d, e, f), (g, h, i) = self._forward
        back = (
            (e * i - f * h, c * h - b * i, b * f - c * e),
            (f * g - d * i, a * i - c * g, c * d - a * f),
            (d * h - e * g, b * g - a * h, a * e - b * d),
        )
        return self._moved(back, x, y)

    def inverse(self, points: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n 2"]:
        """Where points of the patch come to lie on the canvas."""
        return torch.stack(self._moved(self._forward, points[..., 0], points[..., 1]), dim=-1)

    def _moved(self, matrix: tuple[tuple[Tensor, ...], ...], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """By how much the projection moves each point, so that the identity moves nothing, bit for bit."""
        spread = (-1, *[1] * (max(x.ndim, y.ndim) - 1))
        left, top, half_x, half_y = (part.view(spread) for part in self.parameters[1].unbind(-1))
        (a, b, c), (d, e, f), (g, h, i) = (tuple(part.view(spread) for part in row) for row in matrix)
        u, v = (x - left) / half_x, (y - top) / half_y
        far = g * u + h * v + i
        far = torch.where(far.abs() < _NEAREST, torch.full_like(far, _NEAREST), far)
        return x + half_x * ((a * u + b * v + c) / far - u), y + half_y * ((d * u + e * v + f) / far - v)


def _square_to_quadrilateral(offsets: Tensor) -> tuple[tuple[Tensor, ...], ...]:
    """The projection that takes the corners of [-1, 1] to themselves moved by the offsets."""
    dx, dy = offsets[:, 0::2].contiguous(), offsets[:, 1::2].contiguous()
    (x0, x1, x2, x3), (y0, y1, y2, y3) = dx.unbind(1), dy.unbind(1)
    # Edges that meet in the corner bottom right, and what closes a parallelogram.
    ax, ay, bx, by = x1 - x2, y1 - y2 - 2, x3 - x2 - 2, y3 - y2
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    whole = ax * by - bx * ay
    g, h = (sx * by - bx * sy) / whole, (ax * sy - sx * ay) / whole
    # On [0, 1]: (1 + (x1 - x0) / 2 ...) of u; the halves take it to [-1, 1].
    a, b, c = (x1 - x0 + 2) + g * (x1 + 1), (x3 - x0) + h * (x3 - 1), x0 - 1
    d, e, f = (y1 - y0) + g * (y1 - 1), (y3 - y0 + 2) + h * (y3 + 1), y0 - 1
    middle = 1 + (g + h) / 2
    return (
        (a / 2, b / 2, c + (a + b) / 2),
        (d / 2, e / 2, f + (d + e) / 2),
        (g / 2, h / 2, middle),
    )


class ThinPlateMap(SamplingMap):
    """A grid of control points over the box moves, and the rest bends as a thin plate would.

    The plate is computed on a lattice and read by bilinear interpolation: one more resampling of two channels.

    Args:
        offsets: of the control points, row by row, x and y, in half sides of the box.
        frame: centre and half sides of the box.

    Source: Bookstein 1989.
    """

    newton_steps = 7

    def __init__(self, offsets: Float[Tensor, "b k"], frame: Float[Tensor, "b 4"]) -> None:
        super().__init__(offsets, frame)
        points = offsets.shape[1] // 2
        basis = torch.from_numpy(_basis(math.isqrt(points))).to(offsets)
        moves = offsets.view(-1, points, 2, 1, 1)
        lattice = basis[0] * moves[:, 0]
        for number in range(1, points):  # not a product of matrices, which may round otherwise in another batch
            lattice = lattice + basis[number] * moves[:, number]
        self._lattice = lattice

    def at(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Where the points (x, y) sample the patch."""
        spread = (-1, *[1] * (max(x.ndim, y.ndim) - 1))
        left, top, half_x, half_y = (part.view(spread) for part in self.parameters[1].unbind(-1))
        u, v = (x - left) / half_x, (y - top) / half_y
        u, v = u + torch.zeros_like(v), v + torch.zeros_like(u)
        grid = torch.stack([u, v], dim=-1).view(len(u), 1, -1, 2) / _SPAN
        bent = functional.grid_sample(self._lattice, grid, padding_mode="border", align_corners=True)
        move_x, move_y = (part.view(u.shape) for part in bent.unbind(1))
        return x + half_x * move_x, y + half_y * move_y


@cache
def _basis(side: int) -> Float64[np.ndarray, "points nodes nodes"]:
    """How each point of the lattice moves with each control point."""
    # Not kornia's: its weights are solved for distances between moved and unmoved points, so they are not linear in them.
    from scipy.interpolate import RBFInterpolator

    along, nodes = np.linspace(-1, 1, side), np.linspace(-_SPAN, _SPAN, _NODES)
    controls = np.stack([np.tile(along, side), np.repeat(along, side)], axis=1)
    lattice = np.stack([np.tile(nodes, _NODES), np.repeat(nodes, _NODES)], axis=1)
    height = RBFInterpolator(controls, np.eye(side**2), kernel="thin_plate_spline")(lattice)
    found: Float64[np.ndarray, "points nodes nodes"] = height.T.reshape(side**2, _NODES, _NODES)
    return found


@cache
def safe_offset(side: int) -> float:
    """Under this offset of every control point, in any direction, the plate never folds.

    The bending moves neighbours less than they are apart in the greatest norm, so the Jacobian's determinant is
    positive everywhere; the bound holds of the interpolated lattice itself, not of samples.

    Source: ours.
    """
    basis = _basis(side)
    step = 2 * _SPAN / (_NODES - 1)
    across, down = np.abs(np.diff(basis, axis=2)).sum(axis=0) / step, np.abs(np.diff(basis, axis=1)).sum(axis=0) / step
    cells = np.maximum(across[:-1], across[1:]) + np.maximum(down[:, :-1], down[:, 1:])
    return float(1 / cells.max())
